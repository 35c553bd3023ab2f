"""Where the belt is, by the frames that were stamped with it: for lines whose only encoder is their camera."""

from __future__ import annotations

from edge_runtime.processes.ring import FrameRing, Stamp

_OLDEST_NS = 500_000_000


class RingBelt:
    """Goes on from the newest stamp at the speed between the last two; see `edge_runtime.ports.Encoder`.

    Args:
        ring: Whose frames carry a belt position.
    """

    def __init__(self, ring: FrameRing) -> None:
        self._ring = ring
        self._number = 0
        self._last: tuple[int, float] | None = None
        self._mm_per_ns = 0.0

    def position_mm(self, captured_ns: int) -> float | None:
        """Distance that the belt has run at a time near now; None where frames say nothing or are half a second old."""
        number = self._ring.newest_number
        if number != self._number and (stamp := self._ring.stamp(number)) is not None:
            self._number = number
            self._take(stamp)
        if self._last is None or captured_ns - self._last[0] > _OLDEST_NS:
            return None
        return self._last[1] + (captured_ns - self._last[0]) * self._mm_per_ns

    def _take(self, stamp: Stamp) -> None:
        if stamp.belt_mm is None:
            self._last = None
            return
        if self._last is not None and stamp.captured_ns > self._last[0]:
            self._mm_per_ns = (stamp.belt_mm - self._last[1]) / (stamp.captured_ns - self._last[0])
        self._last = (stamp.captured_ns, stamp.belt_mm)
