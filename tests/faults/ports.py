"""The edges of a simulated line that break when a test says so: a file in a folder is a fault that holds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_runtime.clock import SystemClock
from edge_runtime.errors import CameraError
from edge_runtime.ports import Camera, Clock, Encoder, LinePorts, Outputs
from edge_runtime.records import Frame

FOR_EVER_S = 3600.0
_HOLDS_NS = 2_000_000
_LATER_S, _LATEST_S = 0.04, 4.0
"""How much later each picture comes than the one before, and how late it may become."""


class Switches:
    """Which faults hold; looked up at most every 2 ms, as an encoder is read more often than that."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._on, self._looked_ns = folder, frozenset[str](), 0

    def __contains__(self, fault: str) -> bool:
        now_ns = time.monotonic_ns()
        if now_ns - self._looked_ns > _HOLDS_NS:
            self._on = frozenset(path.name for path in self._folder.iterdir())
            self._looked_ns = now_ns
        return fault in self._on


@dataclass(frozen=True)
class FaultyPorts:
    """A line's ports, each with its ways to break."""

    inner: LinePorts
    folder: Path

    @property
    def source(self) -> str:
        return self.inner.source

    @property
    def live(self) -> bool:
        return self.inner.live

    def open_camera(self) -> Camera:
        if "gone" in Switches(self.folder):
            raise CameraError("The camera is not there.")
        return FaultyCamera(self.inner.open_camera(), Switches(self.folder))

    def open_encoder(self) -> Encoder | None:
        encoder = self.inner.open_encoder()
        return None if encoder is None else FaultyEncoder(encoder, Switches(self.folder))

    def open_outputs(self) -> Outputs:
        return self.inner.open_outputs()

    def clock(self) -> Clock:
        return FaultyClock(Switches(self.folder))


class FaultyCamera:
    """Hangs in a read, breaks off, freezes, goes black, delivers half frames, comes later and later, leaks."""

    live = True

    def __init__(self, inner: Camera, faults: Switches) -> None:
        self._inner, self._faults = inner, faults
        self.name, self.frame_rate_hz = inner.name, inner.frame_rate_hz
        self._leaked: list[bytearray] = []

    @property
    def dropped(self) -> int:
        return self._inner.dropped

    def frames(self) -> Iterator[Frame]:
        before: Frame | None = None
        for frame in self._in_time():
            image = frame.image
            if "hang" in self._faults:
                time.sleep(FOR_EVER_S)
            if "gone" in self._faults:
                raise CameraError("The camera was unplugged.")
            if "leak" in self._faults:
                self._leaked.append(bytearray(b"x" * 20_000_000))
            if "frozen" in self._faults and before is not None:
                image = before.image
            if "black" in self._faults:
                image = np.asarray(image // 64, np.uint8)
            if "half" in self._faults and before is not None:
                middle = image.shape[0] // 2
                image = np.concatenate([image[:middle], before.image[middle:]])
            before = replace(frame, image=image, belt_mm=None)
            yield before

    def _in_time(self) -> Iterator[Frame]:
        """As a network's buffer that fills up: no picture is missing, each has its time and place."""
        buffer: deque[Frame] = deque()
        late_s = 0.0
        for newest in self._inner.frames():
            buffer.append(newest)
            late_s = min(late_s + _LATER_S, _LATEST_S) if "late" in self._faults else 0.0
            while buffer and buffer[0].readable_ns + late_s * 1e9 <= max(newest.readable_ns, time.monotonic_ns()):
                yield buffer.popleft()

    def close(self) -> None:
        self._inner.close()


class FaultyEncoder:
    """Stands, runs backward, jumps, has no word."""

    def __init__(self, inner: Encoder, faults: Switches) -> None:
        self._inner, self._faults = inner, faults
        self._since: tuple[int, float] | None = None

    def position_mm(self, captured_ns: int) -> float | None:
        found = self._inner.position_mm(captured_ns)
        assert found is not None
        if not any(fault in self._faults for fault in ("stopped", "backward")):
            self._since = None
        elif self._since is None:
            self._since = (captured_ns, found)
        if self._since is not None:
            since_ns, there_mm = self._since
            if captured_ns < since_ns:
                return found
            found = there_mm if "stopped" in self._faults else there_mm - (captured_ns - since_ns) / 1e6
        if "spiking" in self._faults and captured_ns // 20_000_000 % 5 == 0:
            return found + 700.0
        return None if "speechless" in self._faults else found


class FaultyClock(SystemClock):
    """Somebody sets the wall clock back by an hour."""

    def __init__(self, faults: Switches) -> None:
        self._faults = faults

    def wall_ns(self) -> int:
        return super().wall_ns() - (3_600_000_000_000 if "clock" in self._faults else 0)
