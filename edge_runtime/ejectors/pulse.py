"""Outputs that are switched on for a while: on at the order, off by a thread that waits for the end of the pulse."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence


class Pulses:
    """Switches outputs on and, `pulse_ms` later, off again.

    An order during a pulse lengthens it: the fruit behind is thrown out by the same stroke.

    Args:
        switch: `switch(ejector, on)`; called from the caller's thread and from this one's, never at the same time.
        pulse_ms: Of each ejector.
    """

    def __init__(self, switch: Callable[[int, bool], None], pulse_ms: Sequence[float]) -> None:
        self._switch = switch
        self._pulse_ns = [round(1e6 * each) for each in pulse_ms]
        self._off_at_ns = [0] * len(pulse_ms)
        self._ends: list[tuple[int, int]] = []
        self._held = False
        self._broken: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ejector pulses", daemon=True)
        self._thread.start()

    def fire(self, ejector: int) -> None:
        """Switch an output on at once; raises what went wrong when one was last switched off."""
        with self._changed:
            self._check()
            self._switch(ejector, True)
            self._off_at_ns[ejector] = time.monotonic_ns() + self._pulse_ns[ejector]
            heapq.heappush(self._ends, (self._off_at_ns[ejector], ejector))
            self._changed.notify()

    def hold(self, on: bool) -> None:
        """Switch all on and leave them on, or let go: off, and what was a pulse is over."""
        with self._changed:
            self._check()
            if on == self._held:
                return
            self._held = on
            self._off_at_ns = [0] * len(self._pulse_ns)
            for ejector in range(len(self._pulse_ns)):
                self._switch(ejector, on)

    def check(self) -> None:
        """Raise what went wrong when an output was last switched off: it may still be on."""
        with self._changed:
            self._check()

    def close(self) -> None:
        """Switch everything off."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for ejector in range(len(self._pulse_ns)):
            self._switch(ejector, False)

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _run(self) -> None:
        try:
            self._switch_off_in_time()
        except Exception as error:
            self._broken = error

    def _switch_off_in_time(self) -> None:
        with self._changed:
            while not self._closed:
                if not self._ends:
                    self._changed.wait()
                    continue
                end_ns, ejector = self._ends[0]
                left_ns = end_ns - time.monotonic_ns()
                if left_ns > 0:
                    self._changed.wait(left_ns / 1e9)
                    continue
                heapq.heappop(self._ends)
                if end_ns == self._off_at_ns[ejector] and not self._held:
                    self._switch(ejector, False)
