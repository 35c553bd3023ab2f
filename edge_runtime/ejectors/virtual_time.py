"""Ejection for a source in virtual time: as by a loop that reads the encoder every millisecond, less the readings that
come to nothing because no fruit can be there yet.

Also writes `firings.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.acting.ejection import Belt, Ejection, belt_at
from edge_runtime.acting.schedule import NO_POSITION, RUN_ENDED, Firing
from edge_runtime.deciding.decide import Policy
from edge_runtime.ports import Ejector, Encoder
from edge_runtime.records import Decision, TrackedDetection
from edge_runtime.settings.decision_settings import EjectorSettings

POLL_NS = 1_000_000
_OVERRUN_NS = 60_000_000_000
_LONGEST_REST_NS = 50_000_000
_GAIN_MM_S = 500.0
"""Within the longest rest no belt gets faster than twice its speed and this."""


class EjectionInVirtualTime:
    """A reporter that plans what is to be thrown out and fires it when its place comes.

    Args:
        file: `firings.jsonl`, created.
        encoder: Read at every poll.
        ejector: Gets the orders.
        ejectors: As in `line.toml`.
        policy: Weighs a fruit against the neighbours that it would take along.
    """

    def __init__(
        self,
        file: Path,
        encoder: Encoder,
        ejector: Ejector,
        ejectors: Sequence[EjectorSettings],
        policy: Policy,
    ) -> None:
        self._encoder, self._ejector, self._policy = encoder, ejector, policy
        self._ejection = Ejection(ejectors)
        self._now_ns = self._rest_until_ns = 0
        self._stream = file.open("w", encoding="utf-8")

    def report(self, decision: Decision) -> None:
        """Plan the ejection of a fruit, if its verdict asks for one."""
        self._run_until(decision.decided_ns)
        gain = self._policy.gain_by_throwing_out(decision.probabilities)
        self._write(*self._ejection.decided(decision, gain, self._belt()))
        self._rest_until_ns = 0

    def advance(self, read_ns: int, tracked: Iterable[TrackedDetection] = ()) -> None:
        """Let time run until `read_ns`, when a frame has been read, and take in where it shows fruit."""
        self._run_until(read_ns)
        for view in tracked:
            if view.position_mm is not None:
                self._ejection.seen(view.fruit_id, view.position_mm)
                self._rest_until_ns = 0

    def close(self) -> None:
        """Let the belt run on until what waits has been fired, a minute at most, and close the file."""
        end_ns = self._now_ns + _OVERRUN_NS
        while self._ejection.is_waiting and self._now_ns < end_ns and self._belt().way_mm is not None:
            self._now_ns += POLL_NS
            self._poll()
        reason = RUN_ENDED if self._belt().way_mm is not None else NO_POSITION
        self._write(*self._ejection.abandon(reason))
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run_until(self, time_ns: int) -> None:
        while self._now_ns + POLL_NS <= time_ns:
            self._now_ns += POLL_NS
            self._poll()

    def _poll(self) -> None:
        if self._now_ns < self._rest_until_ns:
            return
        belt = self._belt()
        self._write(*self._ejection.due(belt, self._now_ns))
        rest_s = self._ejection.rest_s(belt, fastest_mm_s=2 * belt.speed_mm_s + _GAIN_MM_S)
        self._rest_until_ns = self._now_ns + min(round(1e9 * min(rest_s, 1.0)), _LONGEST_REST_NS)

    def _belt(self) -> Belt:
        return belt_at(self._encoder, self._now_ns, since_ns=0)

    def _write(self, *firings: Firing) -> None:
        for firing in firings:
            if firing.fired_ns is not None:
                self._ejector.fire(firing.ejector, firing.fruit_id, firing.fired_ns)
            self._stream.write(json.dumps(asdict(firing), allow_nan=False) + "\n")
        self._stream.flush()
