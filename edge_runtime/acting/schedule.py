"""When to throw a fruit out: by the belt's place, corrected for the ejector's latency. Pure: no clock, no I/O.

At most once: an order for a fruit is given when its place comes and never again; one that comes too late is dropped and
said to be, since firing late hits the neighbour. Where a neighbour would be hit as well, the cost table decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LATE = "late"
RUN_ENDED = "run ended"
NO_POSITION = "no belt position"
NEIGHBOUR = "neighbour"
_REMEMBERED = 1024
"""Fruit that an order may still come for a second time; more than lie on any belt between camera and ejector."""


@dataclass(frozen=True, slots=True)
class EjectorSpec:
    """One ejector of a line.

    `at_mm` is its distance from the picture's downstream edge, along the belt; `latency_ms` passes between order and
    action. An order that would act more than `tolerance_mm` behind the fruit's centre is too late. What has its centre
    within `width_mm` is thrown out.
    """

    at_mm: float
    latency_ms: float
    tolerance_mm: float
    width_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Firing:
    """What became of one planned ejection; the fields of `firings.jsonl`.

    `planned_mm` is the encoder's distance at which the fruit's centre is before the ejector, `fired_mm` the one at
    which the order was given. `reason` says why there was none. `neighbours` counts other fruit within the ejector's
    width at that moment, without those that were thrown out before.
    """

    fruit_id: int
    ejector: int
    planned_mm: float | None
    fired_mm: float | None
    fired_ns: int | None
    reason: str | None = None
    neighbours: int = 0


@dataclass(slots=True)
class _Passing:
    """A fruit on its way past the ejector; `gain` is what throwing it out is worth, `wanted` whether it is to be."""

    fruit_id: int
    planned_mm: float
    gain: float
    wanted: bool


class Schedule:
    """The fruit that pass one ejector.

    Args:
        spec: The ejector.
        number: Its number, for the records.
    """

    def __init__(self, spec: EjectorSpec, number: int = 0) -> None:
        self._spec, self._number = spec, number
        self._passing: dict[int, _Passing] = {}
        self._seen: dict[int, None] = {}

    def plan(
        self, fruit_id: int, position_mm: float | None, belt_mm: float | None, speed_mm_s: float, gain: float = 1.0
    ) -> Firing | None:
        """Take in a fruit to be thrown out.

        Args:
            fruit_id: A second plan for the same fruit is ignored.
            position_mm: As in its decision.
            belt_mm: The encoder's distance now.
            speed_mm_s: The belt's speed now.
            gain: What throwing it out is expected to save, by the cost table.

        Returns:
            A record where it cannot be done any more, else None.
        """
        if fruit_id in self._seen:
            return None
        self._see(fruit_id)
        if position_mm is None or belt_mm is None:
            return Firing(fruit_id, self._number, None, None, None, NO_POSITION)
        planned_mm = position_mm + self._spec.at_mm
        if self._is_late(planned_mm, belt_mm, speed_mm_s):
            return Firing(fruit_id, self._number, planned_mm, None, None, LATE)
        self._passing[fruit_id] = _Passing(fruit_id, planned_mm, gain, wanted=True)
        return None

    def let_pass(self, fruit_id: int, position_mm: float | None, gain: float) -> None:
        """Take in a fruit that is not to be thrown out here; `gain` as for `plan`, negative for a good one."""
        if fruit_id not in self._seen and position_mm is not None:
            self._see(fruit_id)
            self._passing[fruit_id] = _Passing(fruit_id, position_mm + self._spec.at_mm, gain, wanted=False)

    def move(self, fruit_id: int, position_mm: float) -> None:
        """Correct where a fruit lies, as long as the camera sees it; a fruit that does not wait here is ignored."""
        if fruit_id in self._passing:
            self._passing[fruit_id].planned_mm = position_mm + self._spec.at_mm

    def due(self, belt_mm: float, speed_mm_s: float, now_ns: int) -> list[Firing]:
        """What is to be fired now, and what should have been and was not."""
        acts_at_mm = belt_mm + self._spec.latency_ms / 1000 * speed_mm_s
        done: list[Firing] = []
        reached = [one for one in self._passing.values() if one.wanted and one.planned_mm <= acts_at_mm]
        for one in sorted(reached, key=lambda each: (each.planned_mm, each.fruit_id)):
            if self._is_late(one.planned_mm, belt_mm, speed_mm_s):
                done.append(Firing(one.fruit_id, self._number, one.planned_mm, None, None, LATE))
            else:
                done.append(self._fire(one, acts_at_mm, belt_mm, now_ns))
            one.wanted = False
            if done[-1].fired_ns is not None:
                self.take_away(one.fruit_id)
        return done

    def take_away(self, fruit_id: int) -> None:
        """A fruit was thrown out, here or upstream: no neighbour of others any more."""
        self._passing.pop(fruit_id, None)

    def forget_passed(self, belt_mm: float) -> None:
        """Forget fruit that have gone by, so that a line on which all is good does not gather them."""
        gone_mm = belt_mm - self._spec.width_mm
        for fruit_id in [one.fruit_id for one in self._passing.values() if not one.wanted and one.planned_mm < gone_mm]:
            del self._passing[fruit_id]

    @property
    def passing(self) -> int:
        """How many fruit are on their way past the ejector, to be thrown out or not."""
        return len(self._passing)

    def rest_s(self, belt_mm: float, fastest_mm_s: float) -> float:
        """How long nothing can be due if the belt gets no faster than that; infinite while nothing waits."""
        nearest_mm = min((one.planned_mm for one in self._passing.values() if one.wanted), default=math.inf)
        return (nearest_mm - belt_mm) / fastest_mm_s - self._spec.latency_ms / 1000

    @property
    def is_waiting(self) -> bool:
        """Whether some fruit is still to be thrown out."""
        return any(one.wanted for one in self._passing.values())

    def abandon(self, reason: str) -> list[Firing]:
        """Give up what still waits."""
        waiting = sorted((one for one in self._passing.values() if one.wanted), key=lambda one: one.planned_mm)
        self._passing = {}
        return [Firing(one.fruit_id, self._number, one.planned_mm, None, None, reason) for one in waiting]

    def _see(self, fruit_id: int) -> None:
        """Remember it for as long as it can come again."""
        self._seen[fruit_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _fire(self, one: _Passing, acts_at_mm: float, belt_mm: float, now_ns: int) -> Firing:
        half_mm = self._spec.width_mm / 2
        beside = [
            each for each in self._passing.values() if each is not one and abs(each.planned_mm - acts_at_mm) <= half_mm
        ]
        # A neighbour that is to be thrown out too gains nothing by it: its own turn comes.
        harm = sum(each.gain for each in beside if not each.wanted)
        if one.gain + min(0.0, harm) < 0:
            return Firing(one.fruit_id, self._number, one.planned_mm, None, None, NEIGHBOUR, len(beside))
        return Firing(one.fruit_id, self._number, one.planned_mm, belt_mm, now_ns, None, len(beside))

    def _is_late(self, planned_mm: float, belt_mm: float, speed_mm_s: float) -> bool:
        return belt_mm + self._spec.latency_ms / 1000 * speed_mm_s > planned_mm + self._spec.tolerance_mm
