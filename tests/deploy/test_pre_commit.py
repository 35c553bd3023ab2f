"""The hooks are those of `make check`, and none of them comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def hooks(repository: Path) -> list[dict[str, Any]]:
    repos = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [one["repo"] for one in repos] == ["local"]
    found: list[dict[str, Any]] = repos[0]["hooks"]
    return found


def test_pre_commit_accepts_it(repository: Path) -> None:
    words = [sys.executable, "-m", "pre_commit", "validate-config", repository / ".pre-commit-config.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout + done.stderr, "an unknown key is only warned about"


def test_hooks_are_the_commands_of_make_check(repository: Path) -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (repository / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    checked = {command.strip().removesuffix(" .") for command in re.findall(r"\$\(BIN\)/(.*)", recipe[1])}
    hooked = {one["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for one in hooks(repository)}
    assert hooked == checked
    assert all(one["language"] == "system" for one in hooks(repository))
