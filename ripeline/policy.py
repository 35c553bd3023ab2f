"""`--accept` and `--costs`: which label leads to which verdict, as several verbs ask for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ripeline import console

if TYPE_CHECKING:
    from edge_runtime.bundles.manifest import Manifest
    from edge_runtime.deciding.decide import Policy
    from edge_runtime.settings.config import LineConfig
    from edge_runtime.settings.decision_settings import PolicySettings

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def options(default: str) -> Callable[[_Verb], _Verb]:
    """Both options, with what holds when neither is given."""

    def add(verb: _Verb) -> _Verb:
        costs = click.option(
            "--costs",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Instead of --accept: costs.toml, for each label what ACCEPT, DIVERT and UNDECIDED cost.",
        )
        accept = click.option(
            "--accept", metavar="LABELS", help=f"Labels of good fruit, comma-separated. Default: {default}"
        )
        return accept(costs(verb))

    return add


def settings(accept: str | None, costs: Path | None) -> PolicySettings | None:
    """What the two options say; None when neither is given.

    Raises InputError for both at once, and ConfigError when the file cannot be understood.
    """
    from edge_runtime.errors import InputError
    from edge_runtime.settings.config_file import load_costs
    from edge_runtime.settings.decision_settings import PolicySettings

    if accept is not None and costs is not None:
        raise InputError("--accept and --costs contradict each other.", remedy="give one of the two")
    if costs is not None:
        return PolicySettings(costs=load_costs(costs))
    if accept is None:
        return None
    labels = console.split_names(accept)
    if not labels:
        raise InputError("The policy accepts no label.", remedy="name the labels of good fruit with --accept")
    return PolicySettings(accept=labels)


def of_line(manifest: Manifest, line: LineConfig, config: Path | None) -> Policy:
    """The bundle's own, unless `line.toml` (`config`, if it was named) has one."""
    if line.policy is None:
        return manifest.policy
    return line.policy.policy(manifest.labels, str(config or "line.toml"))
