"""What the tests of `deploy/` share: the repository, and the real command line as a judge of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from ripeline.main import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Its root."""
    return ROOT


@pytest.fixture(scope="session")
def parse() -> Callable[[Sequence[str]], dict[str, Any]]:
    """What the verb would be called with, for the words after `ripeline`; a usage error is raised as click's."""

    def parse(words: Sequence[str]) -> dict[str, Any]:
        command: click.Command = cli
        context, rest = click.Context(cli, info_name="ripeline"), list(words)
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command, context = found, click.Context(found, parent=context, info_name=name)
        return command.make_context(command.name, rest, parent=context.parent).params

    return parse
