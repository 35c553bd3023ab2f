"""Decisions in, orders to ejectors out, for every ejector of a line. Pure: the belt's place and the time are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.acting.routing import passes, route
from edge_runtime.acting.schedule import EjectorSpec, Firing, Schedule
from edge_runtime.ports import Encoder
from edge_runtime.records import Decision
from edge_runtime.settings.decision_settings import EjectorSettings

SPEED_OVER_NS = 40_000_000
"""The belt's speed is the encoder's way over this time: long against its ticks, short against a ramp."""


@dataclass(frozen=True, slots=True)
class Belt:
    """How far the belt has run and how fast it is at a moment; `way_mm` is None where the encoder has no word."""

    way_mm: float | None
    speed_mm_s: float


def belt_at(encoder: Encoder, now_ns: int, *, since_ns: int) -> Belt:
    """Read an encoder that has counted `since_ns`."""
    over_ns = min(now_ns - since_ns, SPEED_OVER_NS)
    here = encoder.position_mm(now_ns)
    before = encoder.position_mm(now_ns - over_ns)
    if here is None or before is None or over_ns <= 0:
        return Belt(here, 0.0)
    return Belt(here, (here - before) / (over_ns / 1e9))


def spec_of(one: EjectorSettings) -> EjectorSpec:
    """What the schedule needs to know of an ejector."""
    return EjectorSpec(one.at_mm, one.latency_ms, one.tolerance_mm or one.width_mm / 4, one.width_mm)


class Ejection:
    """One schedule an ejector.

    Args:
        ejectors: As in `line.toml`.
    """

    def __init__(self, ejectors: Sequence[EjectorSettings]) -> None:
        self._ejectors = tuple(ejectors)
        self._schedules = [Schedule(spec_of(each), number) for number, each in enumerate(ejectors)]

    def decided(self, decision: Decision, gain: float, belt: Belt) -> list[Firing]:
        """Take in a decision; `gain` is what throwing this fruit out is worth. Returns what cannot be done any more."""
        chosen = route(decision, self._ejectors)
        records = []
        for number, schedule in enumerate(self._schedules):
            if number == chosen:
                firing = schedule.plan(
                    decision.fruit_id, decision.position_mm, belt.way_mm, belt.speed_mm_s, max(gain, 0)
                )
                records += [firing] if firing is not None else []
            elif passes(decision, self._ejectors[number]):
                # Thrown out here, what belongs to another outlet would save nothing.
                schedule.let_pass(decision.fruit_id, decision.position_mm, gain if chosen is None else min(gain, 0))
            if belt.way_mm is not None:
                schedule.forget_passed(belt.way_mm)
        return records

    def seen(self, fruit_id: int, position_mm: float) -> None:
        """Correct where a fruit lies."""
        for schedule in self._schedules:
            schedule.move(fruit_id, position_mm)

    def due(self, belt: Belt, now_ns: int) -> list[Firing]:
        """What is to be fired now, and what should have been and was not."""
        if belt.way_mm is None or not self.is_waiting:
            return []
        records = []
        for schedule in self._schedules:
            for firing in schedule.due(belt.way_mm, belt.speed_mm_s, now_ns):
                records.append(firing)
                if firing.fired_ns is not None:
                    for other in self._schedules:
                        other.take_away(firing.fruit_id)
        return records

    def rest_s(self, belt: Belt, *, fastest_mm_s: float) -> float:
        """How long nothing can be due if the belt gets no faster than that; infinite while nothing waits."""
        if belt.way_mm is None:
            return 0.0
        return min((schedule.rest_s(belt.way_mm, fastest_mm_s) for schedule in self._schedules), default=math.inf)

    def abandon(self, reason: str) -> list[Firing]:
        """Give up what waits."""
        return [firing for schedule in self._schedules for firing in schedule.abandon(reason)]

    @property
    def passing(self) -> int:
        """How many fruit are on their way past ejectors, each counted at each."""
        return sum(schedule.passing for schedule in self._schedules)

    @property
    def is_waiting(self) -> bool:
        """Whether some fruit is still to be thrown out."""
        return any(schedule.is_waiting for schedule in self._schedules)
