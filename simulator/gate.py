"""A gate on a score: stated figures that it must reach, read from TOML."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat

from edge_runtime.errors import InputError
from evaluation.gate_file import read_gate_file


class Gate(BaseModel):
    """`gate.toml`: `[at_least]` and `[at_most]`, each with places in `score.json` such as `"grading.accuracy" = 0.95`.

    A place that holds a share or a mean with its interval stands for that alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_least: dict[str, FiniteFloat] = {}
    at_most: dict[str, FiniteFloat] = {}


def read_gate(file: Path) -> Gate:
    """Read a gate.

    Raises:
        InputError: Missing, broken, with an unknown key or without a figure.
    """
    expected = "[at_least] and [at_most] with numbers"
    gate = read_gate_file(file, Gate, refused=InputError, expected=expected)
    if not gate.at_least and not gate.at_most:
        raise InputError(f"{file} asks for nothing, so that everything would pass.", expected=expected)
    return gate


def failures(gate: Gate, figures: dict[str, Any]) -> list[str]:
    """What the gate says no to, in words; empty if it says yes. A figure that could not be measured is a no.

    Raises:
        InputError: The score has no such figure.
    """
    said = []
    for bounds, wrong, words in (
        (gate.at_least, operator.lt, "below"),
        (gate.at_most, operator.gt, "above"),
    ):
        for place, bound in bounds.items():
            value = _figure(figures, place)
            if value is None:
                said.append(f"{place} was not measured")
            elif wrong(value, bound):
                said.append(f"{place} is {value:g}, {words} {bound:g}")
    return said


def _figure(figures: dict[str, Any], place: str) -> float | None:
    value: Any = figures
    walked: list[str] = []
    for name in place.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or name not in value:
            here = ".".join(walked) or "the score"
            known = ", ".join(value) if isinstance(value, dict) else "nothing further"
            raise InputError(f"The score has no figure {place}.", expected=f"in {here}: {known}")
        walked.append(name)
        value = value[name]
    for single in ("share", "mean"):
        if isinstance(value, dict) and single in value:
            value = value[single]
    if isinstance(value, dict):
        raise InputError(f"{place} is a group of figures.", expected=f"{place}. and one of {', '.join(value)}")
    if isinstance(value, list):
        raise InputError(f"{place} is no single number.", expected="a figure with one value, or a share or mean")
    return None if value is None else float(value)
