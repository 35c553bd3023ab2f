"""Every command that the guide tells people to type exists, with these options, and every file that it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "deploy" / "README.md"


def shell_lines() -> list[str]:
    """Every line of every fenced block without a language."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.strip() for language, block in blocks if not language for line in block.splitlines()]


def ripeline_words(line: str) -> list[str] | None:
    """The words after `ripeline`, on a device or in the container; None if the line starts another program."""
    words = [word for word in shlex.split(line) if word != "sudo"]
    if words[:2] == ["podman", "run"]:
        return words[words.index("ripeline") + 1 :]
    return words[1:] if Path(words[0]).name == "ripeline" else None


COMMANDS = {line: words for line in shell_lines() if (words := ripeline_words(line)) is not None}


def test_commands_are_found() -> None:
    assert {words[0] for words in COMMANDS.values()} == {"bundle", "check", "run"}
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_command_parses(line: str, parse: Callable[..., dict[str, Any]]) -> None:
    assert parse(COMMANDS[line])["bundle"]


def test_blocks_are_sound_shell() -> None:
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(shell_lines()), capture_output=True, text=True, timeout=10, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_of_the_repository_that_it_names_exist(repository: Path) -> None:
    text = GUIDE.read_text("utf-8")
    linked = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert linked
    named = [GUIDE.parent / link for link in linked]
    named += [repository / word for word in re.findall(r"\b(?:deploy|requirements)/[\w./-]*\w", text)]
    assert [str(file) for file in named if not file.exists()] == []


def test_service_finds_everything_where_the_guide_puts_it(repository: Path) -> None:
    typed = "\n".join(shell_lines())
    unit = (repository / "deploy" / "systemd" / "ripeline.service").read_text("utf-8")
    settings = (repository / "deploy" / "systemd" / "ripeline.env").read_text("utf-8")
    places = re.findall(r"(?:EnvironmentFile|RIPELINE_BUNDLE|RIPELINE_CONFIG)=(/\S+)", unit + settings)
    assert len(places) == 3
    for place in places:
        assert re.search(rf"(?:install|cp) .* {re.escape(place)}$", typed, re.MULTILINE), place
    (program,) = re.findall(r"ExecStart=(\S+)/bin/ripeline", unit)
    assert f"-m venv {program}\n" in typed
    (user,) = re.findall(r"^User=(\w+)", unit, re.MULTILINE)
    assert re.search(rf"useradd .* {user}$", typed, re.MULTILINE)


def test_what_a_line_needs_beside_the_edge_is_named_as_the_project_pins_it(repository: Path) -> None:
    extras = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for extra in ("gpio", "modbus", "mqtt", "opcua", "metrics", "sign"):
        (library,) = (one.split(";")[0] for one in extras[extra] if not one.startswith("ripeline["))
        assert re.search(rf"[`']{re.escape(library)}[`']", GUIDE.read_text("utf-8")), library
