"""The belt's way as the frames of a camera tell it, for who asks about times between and after them."""

from __future__ import annotations

import bisect

from edge_runtime.records import Frame

_AHEAD_NS = 500_000_000


class EncoderByFrames:
    """Linear between frames; after the last one on at its speed, for half a second. Keeps every frame's place."""

    def __init__(self) -> None:
        self._times_ns: list[int] = []
        self._ways_mm: list[float] = []

    def take(self, frame: Frame) -> None:
        """Remember where the belt was; a frame that does not say is passed over."""
        if frame.belt_mm is not None:
            self._times_ns.append(frame.captured_ns)
            self._ways_mm.append(frame.belt_mm)

    def position_mm(self, captured_ns: int) -> float | None:
        """See `edge_runtime.ports.Encoder`."""
        times, ways = self._times_ns, self._ways_mm
        if len(times) < 2 or not times[0] <= captured_ns <= times[-1] + _AHEAD_NS:
            return None
        after = min(bisect.bisect_right(times, captured_ns), len(times) - 1)
        speed = (ways[after] - ways[after - 1]) / (times[after] - times[after - 1])
        return ways[after - 1] + speed * (captured_ns - times[after - 1])
