"""A camera attached to this machine, by its index."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from edge_runtime.cameras.live import LiveCamera
from edge_runtime.cameras.opencv import open_capture
from edge_runtime.errors import CameraError


def open_device(source: str) -> LiveCamera:
    """Open camera number `source` (`/dev/videoN` on Linux).

    Raises:
        CameraError: There is no such camera, or another program holds it.
    """
    capture = open_capture(int(source), cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise CameraError(
            f"camera index {source} cannot be opened",
            expected=f"the number of an attached camera that no other program uses (found: {found})",
            remedy="Check the cable and the rights on the device (group video), or give another --source.",
        )
    # The driver's own queue would hand out old pictures.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return LiveCamera(source, capture)
