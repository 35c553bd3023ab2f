"""What live sources share: a reader thread that keeps the newest frame and counts what nobody fetched in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import cv2

from edge_runtime.cameras.opencv import frame_rate_hz
from edge_runtime.errors import CameraError
from edge_runtime.records import Frame

SILENCE_S = 10.0


class LiveCamera:
    """Newest frame wins.

    Frame indices count every picture that the source gave, so a gap in them is a dropped frame. Frames are stamped with
    the monotonic time at which they were read.

    Args:
        name: The source in a person's words.
        capture: An opened OpenCV capture; the reader thread owns it from here on.
        unheld: What it does not keep as stated; see `edge_runtime.cameras.lock`.
    """

    live = True

    def __init__(self, name: str, capture: cv2.VideoCapture, *, unheld: tuple[str, ...] = ()) -> None:
        self.name, self.unheld = name, unheld
        self.dropped = 0
        self.frame_rate_hz = frame_rate_hz(capture)
        self._capture = capture
        self._newest: Frame | None = None
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name=f"camera {name}", daemon=True)
        self._reader.start()

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame each time; raises CameraError when the source ends or falls silent."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._ended or self._closed, timeout=SILENCE_S)
                frame, self._newest = self._newest, None
                if self._closed:
                    return
                if frame is None:
                    state = "stopped giving pictures" if self._ended else f"gave no picture for {SILENCE_S:.0f} s"
                    raise CameraError(
                        f"camera {self.name} {state}",
                        remedy="Check its cable, power and network, then start again.",
                    )
            yield frame

    def close(self) -> None:
        """End the iteration; the device is released as soon as the read in progress returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout=2.0)

    def _read(self) -> None:
        index = 0
        while not self._closed:
            readable, bgr = self._capture.read()
            captured_ns = time.monotonic_ns()
            if not readable or bgr is None:
                break
            frame = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, captured_ns)  # type: ignore[arg-type]
            index += 1
            with self._changed:
                self.dropped += self._newest is not None
                self._newest = frame
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        # Only here: releasing a capture while another thread reads from it crashes the process.
        self._capture.release()
