"""When to throw a fruit out: by the belt's place, corrected for the ejector's latency. Pure: no clock, no I/O.

At most once: an order for a fruit is given when its place comes and never again; one that comes too late is dropped and
said to be, since firing late hits the neighbour.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

LATE = "late"
RUN_ENDED = "run ended"
NO_POSITION = "no belt position"


@dataclass(frozen=True, slots=True)
class EjectorSpec:
    """One ejector of a line.

    `at_mm` is its distance from the picture's downstream edge, along the belt; `latency_ms` passes between order and
    action. An order that would act more than `tolerance_mm` behind the fruit's centre is too late.
    """

    at_mm: float
    latency_ms: float
    tolerance_mm: float


@dataclass(frozen=True, slots=True)
class Firing:
    """What became of one planned ejection; the fields of `firings.jsonl`.

    `planned_mm` is the encoder's distance at which the fruit's centre is before the ejector, `fired_mm` the one at
    which the order was given. `reason` says why there was none.
    """

    fruit_id: int
    ejector: int
    planned_mm: float | None
    fired_mm: float | None
    fired_ns: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class _Planned:
    planned_mm: float
    fruit_id: int


class Schedule:
    """The fruit that wait for one ejector.

    Args:
        spec: The ejector.
        number: Its number, for the records.
    """

    def __init__(self, spec: EjectorSpec, number: int = 0) -> None:
        self._spec, self._number = spec, number
        self._waiting: list[_Planned] = []
        self._seen: set[int] = set()

    def plan(self, fruit_id: int, position_mm: float | None, belt_mm: float | None, speed_mm_s: float) -> Firing | None:
        """Take in a fruit to be thrown out.

        Args:
            fruit_id: A second plan for the same fruit is ignored.
            position_mm: As in its decision.
            belt_mm: The encoder's distance now.
            speed_mm_s: The belt's speed now.

        Returns:
            A record where it cannot be done any more, else None.
        """
        if fruit_id in self._seen:
            return None
        self._seen.add(fruit_id)
        if position_mm is None or belt_mm is None:
            return Firing(fruit_id, self._number, None, None, None, NO_POSITION)
        planned_mm = position_mm + self._spec.at_mm
        if self._is_late(planned_mm, belt_mm, speed_mm_s):
            return Firing(fruit_id, self._number, planned_mm, None, None, LATE)
        bisect.insort(self._waiting, _Planned(planned_mm, fruit_id))
        return None

    def due(self, belt_mm: float, speed_mm_s: float, now_ns: int) -> list[Firing]:
        """What is to be fired now, and what should have been and was not."""
        acts_at_mm = belt_mm + self._spec.latency_ms / 1000 * speed_mm_s
        done: list[Firing] = []
        while self._waiting and self._waiting[0].planned_mm <= acts_at_mm:
            one = self._waiting.pop(0)
            if self._is_late(one.planned_mm, belt_mm, speed_mm_s):
                done.append(Firing(one.fruit_id, self._number, one.planned_mm, None, None, LATE))
            else:
                done.append(Firing(one.fruit_id, self._number, one.planned_mm, belt_mm, now_ns))
        return done

    @property
    def next_mm(self) -> float | None:
        """Encoder distance of the fruit that comes first; None if none waits."""
        return self._waiting[0].planned_mm if self._waiting else None

    def abandon(self, reason: str) -> list[Firing]:
        """Give up what still waits."""
        left = [Firing(one.fruit_id, self._number, one.planned_mm, None, None, reason) for one in self._waiting]
        self._waiting = []
        return left

    def _is_late(self, planned_mm: float, belt_mm: float, speed_mm_s: float) -> bool:
        return belt_mm + self._spec.latency_ms / 1000 * speed_mm_s > planned_mm + self._spec.tolerance_mm
