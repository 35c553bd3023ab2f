"""A camera attached to this machine, by its index or device file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import cv2

from edge_runtime.cameras.live import LiveCamera
from edge_runtime.cameras.lock import lock
from edge_runtime.cameras.opencv import open_capture
from edge_runtime.errors import CameraError
from edge_runtime.settings.vision_settings import CameraSettings

log = logging.getLogger("ripeline")


def open_device(source: str, settings: CameraSettings) -> LiveCamera:
    """Open camera number `source`, or the one behind a device file such as `/dev/v4l/by-id/…`, which stays the same
    when cameras are plugged in another order. What it must not adjust is locked each time that it is opened.

    Raises:
        CameraError: There is no such camera, or another program holds it.
    """
    capture = open_capture(
        int(source) if source.isdigit() else source, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    )
    if not capture.isOpened():
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise CameraError(
            f"camera {source} cannot be opened",
            expected=f"the number or device file of an attached camera that no other program uses (found: {found})",
            remedy="Check the cable and the rights on the device (group video), or give another --source.",
        )
    # The driver's own queue would hand out old pictures.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    refused = lock(capture, settings)
    for words in refused.values():
        log.warning("camera %s: %s", source, words)
    return LiveCamera(source, capture, unheld=tuple(refused))
