"""Orders from vision to the ejectors, at most one a fruit, also when vision was killed and counts anew. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_runtime.acting.ejection import Belt, Ejection
from edge_runtime.acting.routing import route
from edge_runtime.acting.schedule import Firing
from edge_runtime.records import Decision
from edge_runtime.settings.decision_settings import EjectorSettings

AGAIN = "ordered before"
SAFE_STATE = "safe state"
_REMEMBERED = 256
_RUN_BITS = 40


@dataclass(frozen=True, slots=True)
class Sight:
    """What vision tells the actuator of one frame.

    `decided` holds each decision and what throwing the fruit out is worth; `seen` the places of fruit, by number.
    """

    run_id: str
    decided: tuple[tuple[Decision, float], ...] = ()
    seen: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What became of an order, and of which run of vision its fruit number is."""

    run_id: str
    firing: Firing


class Orders:
    """Takes in what vision saw; says what is to be fired.

    Each run of vision has fruit numbers of its own, and a new run sees fruit again that the old one has decided. An
    order for the place of an order of another run is therefore refused.

    Args:
        ejectors: As in `line.toml`.
        fired_mm: For each ejector, where on the belt the last fruit lay that it was fired at, from before a restart of
            this process; None if it never was.
    """

    def __init__(self, ejectors: Sequence[EjectorSettings], fired_mm: Sequence[float | None] = ()) -> None:
        self._ejectors = tuple(ejectors)
        self._ejection = Ejection(ejectors)
        self._runs: list[str] = []
        self._ordered: deque[tuple[int, float, str]] = deque(
            ((number, place_mm, "") for number, place_mm in enumerate(fired_mm) if place_mm is not None),
            maxlen=_REMEMBERED,
        )

    def take(self, sight: Sight, belt: Belt) -> list[Order]:
        """Take in a frame's worth; returns the orders that cannot be carried out."""
        run = self._run(sight.run_id)
        for fruit_id, position_mm in sight.seen:
            self._ejection.seen(run | fruit_id, position_mm)
        refused: list[Firing] = []
        for decision, gain in sight.decided:
            numbered = replace(decision, fruit_id=run | decision.fruit_id)
            number = route(decision, self._ejectors)
            if number is not None and decision.position_mm is not None:
                if self._is_known(number, decision.position_mm, sight.run_id):
                    refused.append(Firing(numbered.fruit_id, number, None, None, None, AGAIN))
                    continue
                self._ordered.append((number, decision.position_mm, sight.run_id))
            refused += self._ejection.decided(numbered, gain, belt)
        return self._as_orders(refused)

    def due(self, belt: Belt, now_ns: int, *, sorting: bool) -> list[Order]:
        """What is to be fired now; while the line is not `sorting`, each is dropped instead."""
        firings = self._ejection.due(belt, now_ns)
        if not sorting:
            firings = [
                replace(one, fired_mm=None, fired_ns=None, reason=SAFE_STATE) if one.fired_ns is not None else one
                for one in firings
            ]
        return self._as_orders(firings)

    def abandon(self, reason: str) -> list[Order]:
        """Give up what waits."""
        return self._as_orders(self._ejection.abandon(reason))

    def forget_places(self) -> None:
        """The belt is counted anew: no place says anything of an earlier one."""
        self._ordered.clear()

    @property
    def is_waiting(self) -> bool:
        """Whether some fruit is still to be thrown out."""
        return self._ejection.is_waiting

    def _is_known(self, ejector: int, position_mm: float, run_id: str) -> bool:
        within_mm = self._ejectors[ejector].width_mm / 2
        return any(
            number == ejector and by != run_id and abs(place_mm - position_mm) <= within_mm
            for number, place_mm, by in self._ordered
        )

    def _run(self, run_id: str) -> int:
        if run_id not in self._runs:
            self._runs.append(run_id)
        return self._runs.index(run_id) << _RUN_BITS

    def _as_orders(self, firings: Sequence[Firing]) -> list[Order]:
        return [
            Order(self._runs[one.fruit_id >> _RUN_BITS], replace(one, fruit_id=one.fruit_id & ((1 << _RUN_BITS) - 1)))
            for one in firings
        ]
