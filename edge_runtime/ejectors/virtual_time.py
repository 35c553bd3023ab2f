"""Ejection for a source in virtual time: between two frames the encoder is read every millisecond, as a loop would.

Also writes `firings.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.config import EjectorSettings
from edge_runtime.decide import Policy
from edge_runtime.ports import Ejector, Encoder
from edge_runtime.records import Decision, TrackedDetection
from edge_runtime.routing import passes, route
from edge_runtime.schedule import NO_POSITION, RUN_ENDED, Firing, Schedule

POLL_NS = 1_000_000
SPEED_OVER_NS = 40_000_000
"""The belt's speed is the encoder's way over this time: long against its ticks, short against a ramp."""

_OVERRUN_NS = 60_000_000_000


class EjectionInVirtualTime:
    """A reporter that plans what is to be thrown out and fires it when its place comes.

    Args:
        file: `firings.jsonl`, created.
        encoder: Read at every poll.
        ejector: Gets the orders.
        ejectors: As in `line.toml`.
        policy: Weighs a fruit against the neighbours that it would take along.
        delay_ms: From the exposure of the frame that decided to the decision being known.
    """

    def __init__(
        self,
        file: Path,
        encoder: Encoder,
        ejector: Ejector,
        ejectors: Sequence[EjectorSettings],
        policy: Policy,
        *,
        delay_ms: float = 0.0,
    ) -> None:
        self._encoder, self._ejector, self._policy = encoder, ejector, policy
        self._ejectors = tuple(ejectors)
        self._schedules = [Schedule(each.spec(), number) for number, each in enumerate(ejectors)]
        self._delay_ns = round(1e6 * delay_ms)
        self._now_ns = 0
        self._stream = file.open("w", encoding="utf-8")

    def report(self, decision: Decision) -> None:
        """Plan the ejection of a fruit, if its verdict asks for one."""
        self._run_until(decision.decided_ns)
        chosen = route(decision, self._ejectors)
        gain = self._policy.gain_by_throwing_out(decision.probabilities)
        belt_mm, speed_mm_s = self._belt()
        for number, schedule in enumerate(self._schedules):
            if number == chosen:
                self._write(schedule.plan(decision.fruit_id, decision.position_mm, belt_mm, speed_mm_s, max(gain, 0)))
            elif passes(decision, self._ejectors[number]):
                schedule.let_pass(decision.fruit_id, decision.position_mm, gain)

    def advance(self, captured_ns: int, tracked: Iterable[TrackedDetection] = ()) -> None:
        """Let time run until a frame exposed at `captured_ns` has been read, and take in where it shows fruit."""
        self._run_until(captured_ns)
        for view in tracked:
            if view.position_mm is None:
                continue
            for schedule in self._schedules:
                schedule.move(view.fruit_id, view.position_mm)

    def close(self) -> None:
        """Let the belt run on until what waits has been fired, a minute at most, and close the file."""
        end_ns = self._now_ns + _OVERRUN_NS
        while self._waiting and self._now_ns < end_ns and self._belt()[0] is not None:
            self._now_ns += POLL_NS
            self._poll()
        reason = RUN_ENDED if self._belt()[0] is not None else NO_POSITION
        for schedule in self._schedules:
            self._write(*schedule.abandon(reason))
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _waiting(self) -> bool:
        return any(schedule.is_waiting for schedule in self._schedules)

    def _run_until(self, captured_ns: int) -> None:
        while self._now_ns + POLL_NS <= captured_ns + self._delay_ns:
            self._now_ns += POLL_NS
            self._poll()

    def _poll(self) -> None:
        if not self._waiting:
            return
        belt_mm, speed_mm_s = self._belt()
        if belt_mm is None:
            return
        for schedule in self._schedules:
            self._write(*schedule.due(belt_mm, speed_mm_s, self._now_ns))

    def _belt(self) -> tuple[float | None, float]:
        """Encoder distance and speed, mm/s, now."""
        here = self._encoder.position_mm(self._now_ns)
        before = self._encoder.position_mm(max(0, self._now_ns - SPEED_OVER_NS))
        if here is None or before is None or self._now_ns == 0:
            return here, 0.0
        return here, (here - before) / (min(self._now_ns, SPEED_OVER_NS) / 1e9)

    def _write(self, *firings: Firing | None) -> None:
        for firing in firings:
            if firing is None:
                continue
            if firing.fired_ns is not None:
                self._ejector.fire(firing.ejector, firing.fruit_id, firing.fired_ns)
            self._stream.write(json.dumps(asdict(firing), allow_nan=False) + "\n")
        self._stream.flush()
