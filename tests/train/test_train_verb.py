"""What `ripeline train` tells a person to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.conftest import Ripeline


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(
    ripeline: Ripeline, drawn: Path, tmp_path: Path
) -> None:
    run = tmp_path / "my run"
    words = ["--weights", "none", "--image-size", 64, "--epochs", 1, "--fine-tune-epochs", 0, "--json"]
    outcome = ripeline("train", drawn, "-o", run, *words)
    assert outcome.code == 0, outcome.stderr
    line = next(line for line in outcome.stderr.splitlines() if line.startswith("Next: "))
    assert shlex.split(line.removeprefix("Next: ")) == ["ripeline", "export", str(run), "-o", "BUNDLE"]


def test_the_help_says_what_dropout_and_rate_still_do(ripeline_here) -> None:
    outcome = ripeline_here("train", "--help")
    assert "neither this nor --dropout shows in the model" in " ".join(outcome.stdout.split())
