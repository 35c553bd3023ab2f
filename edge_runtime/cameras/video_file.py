"""A recorded clip: lossless, every frame once, stamped with its place in the recording."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_runtime.cameras.opencv import frame_rate_hz, open_capture
from edge_runtime.errors import CameraError
from edge_runtime.records import Frame, Image

DEFAULT_RATE_HZ = 30.0


class VideoFile:
    """Frames of a video file (whatever OpenCV's FFmpeg reads: mp4, avi, mkv, gif, ...).

    Frame i is stamped `round(i * 1e9 / frame rate)`. After the last frame `truncated` says, in words, if the file held
    clearly fewer frames than it promised.

    Raises:
        CameraError: Missing, or not a video that can be read.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.dropped = 0
        self.truncated: str | None = None
        if not path.is_file():
            raise CameraError(
                f"{path}: no such file",
                expected="a video file, a folder of pictures, a camera index or a URL",
                remedy="Check the path given as --source.",
            )
        self._closed = False
        # Releasing a capture while another thread reads from it crashes the process.
        self._lock = threading.Lock()
        self._capture = open_capture(str(path.resolve()), cv2.CAP_FFMPEG)
        self._first = self._read() if self._capture.isOpened() else None
        if self._first is None:
            self._capture.release()
            raise CameraError(
                f"{path}: no video frame can be read from it",
                expected="a whole video file in a format that FFmpeg knows",
                remedy="Play it in a video player to check it; if it was cut off while recording, record it again.",
            )
        self.frame_rate_hz = frame_rate_hz(self._capture)
        self._promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def frames(self) -> Iterator[Frame]:
        """Yield all frames once, in order."""
        period_ns = 1e9 / (self.frame_rate_hz or DEFAULT_RATE_HZ)
        index, image = 0, self._first
        self._first = None
        while image is not None:
            yield Frame(image, index, round(index * period_ns))
            index += 1
            image = self._read()
        if not self._closed:
            self._note_end(index)
            self.close()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._closed = True
            self._capture.release()

    def _read(self) -> Image | None:
        with self._lock:
            readable, bgr = (False, None) if self._closed else self._capture.read()
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if readable and bgr is not None else None  # type: ignore[return-value]

    def _note_end(self, read: int) -> None:
        # Containers without an index estimate their count from duration and rate: a small difference is no damage.
        if self._promised - read > max(1, self._promised // 50):
            self.truncated = f"{self.name} ends after {read} of {self._promised} frames: the file is cut off or damaged"
