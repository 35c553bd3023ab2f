"""Which ejector a decision goes to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.records import Decision
from edge_runtime.settings.decision_settings import EjectorSettings


def route(decision: Decision, ejectors: Sequence[EjectorSettings]) -> int | None:
    """The first ejector, in the order of `line.toml`, that takes a decision's verdict, label and lane.

    Returns:
        Its number from 0; None for a fruit that stays on the belt.
    """
    for number, one in enumerate(ejectors):
        if (
            decision.verdict in one.verdicts
            and (one.labels is None or decision.label in one.labels)
            and (one.lane is None or decision.lane == one.lane)
        ):
            return number
    return None


def passes(decision: Decision, ejector: EjectorSettings) -> bool:
    """Whether a fruit comes past an ejector at all."""
    return ejector.lane is None or ejector.lane == decision.lane
