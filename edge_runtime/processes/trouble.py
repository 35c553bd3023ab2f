"""What keeps a process from its work, in its own words and for as long as it does: for who asks how the line is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edge_runtime.errors import RipelineError


def tell(folder: Path, role: str, error: RipelineError) -> None:
    """For the process: this is in its way."""
    with suppress(OSError):  # of a full disk, which has an alarm of its own
        _file(folder, role).write_text(" ".join(str(error).split()), "utf-8")


def forget(folder: Path, role: str) -> None:
    """For the process, once it works, or for the supervisor before it begins."""
    with suppress(OSError):
        _file(folder, role).unlink(missing_ok=True)


def told(folder: Path, role: str) -> str:
    """What is in its way; empty where nothing is that it knows of."""
    try:
        return _file(folder, role).read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _file(folder: Path, role: str) -> Path:
    return folder / f"trouble-{role}"
