"""A camera on the network: RTSP, HTTP (MJPEG) and whatever else FFmpeg plays from a URL."""

from __future__ import annotations

import re

import cv2

from edge_runtime.cameras.live import LiveCamera
from edge_runtime.cameras.opencv import open_capture
from edge_runtime.errors import CameraError


def open_stream(source: str) -> LiveCamera:
    """Open a URL.

    Raises:
        CameraError: Nothing answers there, or not with video.
    """
    capture = open_capture(source, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise CameraError(
            f"stream {hide_password(source)} cannot be opened",
            expected="a URL that FFmpeg can play, such as rtsp://host/stream or http://host/video.mjpg",
            remedy="Try the URL in a video player; check address, user name and network.",
        )
    return LiveCamera(hide_password(source), capture)


def hide_password(url: str) -> str:
    """The URL as it may stand in a log."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", url)
