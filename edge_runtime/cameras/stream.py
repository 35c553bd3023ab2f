"""A camera on the network: RTSP, HTTP (MJPEG) and whatever else FFmpeg plays from a URL."""

from __future__ import annotations

import logging
import re

import cv2

from edge_runtime.cameras.live import LiveCamera
from edge_runtime.cameras.lock import stated
from edge_runtime.cameras.opencv import open_capture
from edge_runtime.errors import CameraError
from edge_runtime.settings.vision_settings import CameraSettings

log = logging.getLogger("ripeline")


def open_stream(source: str, settings: CameraSettings) -> LiveCamera:
    """Open a URL. What the camera behind it must not adjust cannot be set from here.

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
    for name in stated(settings):
        log.warning("camera %s: the %s of a network camera can only be set on itself", hide_password(source), name)
    return LiveCamera(hide_password(source), capture, unheld=stated(settings))


def hide_password(url: str) -> str:
    """The URL as it may stand in a log; an `@` in the password that should have been written `%40` is hidden, too."""
    return re.sub(r"(://[^/:@]*):[^/]*@", r"\1:***@", url)
