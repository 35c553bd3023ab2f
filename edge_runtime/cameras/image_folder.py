"""A folder of pictures as a recording: lossless, in the order of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import CameraError
from edge_runtime.records import Frame, Image

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
DEFAULT_RATE_HZ = 30.0


class ImageFolder:
    """Every picture of a folder as one frame; numbers in names count as numbers (2 before 10).

    Grey, 16-bit and transparent pictures become 8-bit RGB.

    Args:
        path: The folder; sub-folders and files that are no pictures are ignored.
        frame_rate_hz: The rate at which they were taken; None takes 30 a second.

    Raises:
        CameraError: No pictures; and while reading, a damaged picture or one of another size than the first.
    """

    live = False

    def __init__(self, path: Path, frame_rate_hz: float | None = None) -> None:
        self.name = str(path)
        self.dropped = 0
        self.frame_rate_hz = frame_rate_hz
        self.truncated: str | None = None
        self._closed = False
        self._paths = sorted(
            (entry for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()),
            key=_natural_order,
        )
        if not self._paths:
            raise CameraError(
                f"{path}: no pictures in this folder",
                expected=f"files ending in {', '.join(sorted(PICTURE_SUFFIXES))}",
                remedy="Check the path given as --source; pictures in sub-folders are not read.",
            )

    def frames(self) -> Iterator[Frame]:
        """Yield all pictures once, in order."""
        period_ns = 1e9 / (self.frame_rate_hz or DEFAULT_RATE_HZ)
        shape: tuple[int, ...] | None = None
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            image = read_picture(path)
            shape = shape or image.shape
            if image.shape != shape:
                raise CameraError(
                    f"{path}: {image.shape[1]}x{image.shape[0]} pixels",
                    expected=f"{shape[1]}x{shape[0]} like the first picture of the folder",
                    remedy="Keep the pictures of one recording in a folder of their own.",
                )
            yield Frame(image, index, round(index * period_ns))

    def close(self) -> None:
        """End the iteration."""
        self._closed = True


def read_picture(path: Path) -> Image:
    """Read one picture file as `[height, width, 3]` uint8 RGB, turned upright as its EXIF data say.

    Raises:
        CameraError: Missing, cut off or no picture at all.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CameraError(f"{path}: cannot be read ({error.strerror})", remedy="Check that it is readable.") from error
    # OpenCV fills the missing part of a cut-off picture with grey and says nothing that a program could notice.
    bgr = None
    # OpenCV raises where a damaged header promises more pixels than it takes.
    with suppress(cv2.error):
        if data and not _is_cut_off(data):
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise CameraError(
            f"{path}: damaged, cut off or not a picture",
            expected="a whole picture file",
            remedy="Replace it or move it out of the folder.",
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _is_cut_off(data: bytes) -> bool:
    if data.startswith(b"\xff\xd8"):
        # In the second half only: a thumbnail near the start has an end mark of its own.
        return b"\xff\xd9" not in data[len(data) // 2 :]
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-64:]


def _natural_order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]
