"""From a picture file to uint8 RGB, refusing files that a decoder would half accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.records import Image

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
BEHIND_TRANSPARENT = 128
"""Grey level shown through transparent pixels: neutral, so that hidden colours of a cut-out do not pose as fruit."""


def read_image(path: Path) -> Image:
    """Decode a picture to `[height, width, 3]` uint8 RGB.

    EXIF orientation is honoured, grey becomes three equal channels, 16 bits become 8, and transparency shows neutral
    grey. A JPEG or PNG that ends early is refused, although OpenCV would fill the rest with grey.

    Raises:
        InputError: Not there, no picture, or cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", remedy="Check the path and its rights."
        ) from error
    if not _is_whole(data):
        raise InputError(
            f"{path} ends early.", expected="a whole picture file", remedy="Copy it again from its origin."
        )
    # The default decoding applies the EXIF orientation and reduces to 8 bits and three channels.
    decoded = _decoded(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise InputError(f"{path} is no picture.", expected="a JPEG, PNG, BMP, WebP or TIFF file")
    if not data.startswith(_JPEG_START):
        untouched = _decoded(data, cv2.IMREAD_UNCHANGED)
        if untouched is not None and untouched.ndim == 3 and untouched.shape[2] == 4:
            decoded = _over_grey(untouched)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def is_readable(data: bytes) -> bool:
    """Whether `read_image` would take a file with these bytes; finds out without making its pixels."""
    # A JPEG is decoded at an eighth of its size, from every one of its blocks.
    return _is_whole(data) and _decoded(data, cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None


def _decoded(data: bytes, how: int) -> npt.NDArray[Any] | None:
    """What OpenCV makes of it; it raises where a damaged header promises more pixels than it takes."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except cv2.error:
        return None


_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_PNG_START = b"\x89PNG\r\n\x1a\n"


def _is_whole(data: bytes) -> bool:
    if data.startswith(_JPEG_START):
        return _jpeg_has_end(data)
    if data.startswith(_PNG_START):
        return b"IEND" in data
    return True


def _jpeg_has_end(data: bytes) -> bool:
    """Whether an end marker follows the first scan; one before it belongs to an embedded thumbnail."""
    at = len(_JPEG_START)
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
        elif data[at + 1] == _JPEG_SCAN:
            # Inside a scan 0xFF is followed by 0 or a restart marker, so this is the end and not picture data.
            return data.find(_JPEG_END, at) >= 0
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _over_grey(bgra: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    scaled = bgra.astype(np.float32) * (255.0 / float(np.iinfo(bgra.dtype).max))
    opacity = scaled[..., 3:] / 255.0
    mixed = scaled[..., :3] * opacity + BEHIND_TRANSPARENT * (1.0 - opacity)
    return cast(npt.NDArray[np.uint8], np.rint(mixed).astype(np.uint8))
