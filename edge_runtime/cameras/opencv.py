"""OpenCV's VideoCapture, opened quietly."""

from __future__ import annotations

import os
from typing import Any

import cv2

_TIMEOUT_MS = 10_000

# OpenCV and FFmpeg explain failures on stderr in their own words, which would stand between the user and ours. FFmpeg's
# level is read once, at the first use of any kind in the process, hence here and not in a function.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def open_capture(source: str | int, backend: int) -> cv2.VideoCapture:
    """Open a source; ask `isOpened` whether it worked."""
    _silence()
    parameters: list[int] = []
    if backend == cv2.CAP_FFMPEG:
        parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    return cv2.VideoCapture(source, backend, parameters)


def _silence() -> None:
    # OpenCV 5 moved the function; 0 is silent in both.
    opencv: Any = cv2
    home = opencv if hasattr(opencv, "setLogLevel") else opencv.utils.logging
    home.setLogLevel(0)


def frame_rate_hz(capture: cv2.VideoCapture) -> float | None:
    """The rate that the source states, None where it states none that is possible."""
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return rate_hz if 0.01 < rate_hz <= 1000 else None
