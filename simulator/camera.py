"""The simulated camera behind the runtime's port: every frame in virtual time, or the newest in real time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import numpy as np

from edge_runtime.records import Frame, Image
from simulator.encoder import SimulatedEncoder
from simulator.renderer import Renderer
from simulator.scenario import FaultKind
from simulator.shutter import LOST
from simulator.world import World

_OVEREXPOSURE = 6
_BEHIND_S = 1.0
"""So late a drawn picture is said to be late."""

log = logging.getLogger("ripeline")


class SimulatedCamera:
    """Every frame of a world as fast as it is read, faults included.

    Indices count exposures; those of lost frames are missing and counted in `dropped`.
    """

    live = False

    def __init__(self, world: World, encoder: SimulatedEncoder, *, name: str, renderer: Renderer) -> None:
        self.name = name
        self.dropped = 0
        self.frame_rate_hz: float | None = world.scenario.camera.frame_rate_hz
        self._world, self._encoder, self._renderer = world, encoder, renderer
        self._first = 0
        self._closed = False

    def begin_at(self, time_ns: int) -> None:
        """Leave out what was exposed before that time of the world."""
        self._first = int(np.searchsorted(self._world.shutter.exposed_ns, time_ns))

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, stamped with time and encoder position."""
        shutter = self._world.shutter
        before: Image | None = None
        for index in range(self._first, shutter.frames):
            if self._closed:
                return
            fault = shutter.fault(index)
            if fault in LOST:
                self.dropped += 1
                continue
            image = _faulty(fault, self._renderer, index, before)
            before = image
            stamped_ns, read_ns = (
                int(at[index]) + self._encoder.start_ns for at in (shutter.stamped_ns, shutter.read_ns)
            )
            yield Frame(image, index, stamped_ns, self._encoder.position_mm(stamped_ns), read_ns)

    @property
    def ends_ns(self) -> int:
        """When by the clock the last exposure could be read, lost or not."""
        return int(self._world.shutter.read_ns[-1]) + self._encoder.start_ns

    def picture(self, index: int) -> Image:
        """What was delivered for one exposure, faults included; for a lost one the picture before it."""
        shutter = self._world.shutter
        first = index
        while first > 0 and shutter.fault(first) in ("frozen", "half", *LOST):
            first -= 1
        picture: Image | None = None
        for at in range(first, index + 1):
            fault = shutter.fault(at)
            if fault not in LOST:
                picture = _faulty(fault, self._renderer, at, picture)
        return self._renderer.render(index) if picture is None else picture

    def close(self) -> None:
        """Stop after the current frame."""
        self._closed = True


class PacedCamera:
    """The same frames at the pace of the monotonic clock: the newest is kept.

    `dropped` counts frames that the camera lost and frames that nobody fetched in time.

    Args:
        camera: Whose frames are drawn, in a thread of their own, ahead of time where the machine is fast enough.
        encoder: Set to the clock's time of the first exposure.
        start_ns: The clock's time of the first exposure, which may be past: a camera that is opened again joins a world
            that has run on. None for now.
    """

    live = True

    def __init__(self, camera: SimulatedCamera, encoder: SimulatedEncoder, *, start_ns: int | None = None) -> None:
        self.name, self.frame_rate_hz = camera.name, camera.frame_rate_hz
        self._camera, self._encoder, self._start_ns = camera, encoder, start_ns
        self.dropped = 0
        self._overrun = 0
        self._newest: Frame | None = None
        self._done = False
        self._changed = threading.Condition()

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame each time, on the monotonic clock, until the run is over."""
        now_ns = time.monotonic_ns()
        self._encoder.start_ns = now_ns if self._start_ns is None else self._start_ns
        self._camera.begin_at(now_ns - self._encoder.start_ns)
        threading.Thread(target=self._pace, name="simulated camera", daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._done)
                frame, self._newest = self._newest, None
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        """End the iteration."""
        self._camera.close()
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _pace(self) -> None:
        told = False
        for frame in self._camera.frames():
            early_s = (frame.readable_ns - time.monotonic_ns()) / 1e9
            time.sleep(max(0.0, early_s))
            if early_s < -_BEHIND_S and not told:
                told = True
                log.warning(
                    "The simulated camera is %.1f s behind the clock: this machine draws fewer pictures than the line "
                    "takes, and what comes late is the drawing's doing, not the runtime's. Leave clock=real out, or "
                    "lower the frame rate or the size of the picture.",
                    -early_s,
                )
            with self._changed:
                if self._done:
                    return
                self._overrun += self._newest is not None
                self.dropped = self._camera.dropped + self._overrun
                self._newest = frame
                self._changed.notify_all()
        with self._changed:
            # A camera that loses its last frames is not at its end any sooner.
            self._changed.wait_for(lambda: self._done, max(0.0, (self._camera.ends_ns - time.monotonic_ns()) / 1e9))
            self.dropped = self._camera.dropped + self._overrun
            self._done = True
            self._changed.notify_all()


def _faulty(fault: FaultKind | None, renderer: Renderer, index: int, before: Image | None) -> Image:
    """What arrives instead of a good frame."""
    if fault == "frozen" and before is not None:
        return before
    image = renderer.render(index)
    if fault == "black":
        return np.asarray(image // 64, np.uint8)
    if fault == "overexposed":
        return np.asarray(np.minimum(image.astype(np.uint16) * _OVEREXPOSURE + 90, 255), np.uint8)
    if fault == "half" and before is not None:
        middle = image.shape[0] // 2
        return np.concatenate([image[:middle], before[middle:]])
    return image
