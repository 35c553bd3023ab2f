"""The page that a person reads after training."""

from __future__ import annotations

from train.run_directory import Run


def write_report(run: Run, *args: object) -> None:
    """Draft."""
