"""A camera that must not adjust itself: exposure and white balance set, and read back to see whether it obeys."""

from __future__ import annotations

from typing import Protocol

import cv2

from edge_runtime.ports import Camera
from edge_runtime.settings.vision_settings import CameraSettings

_MANUAL_EXPOSURE = 1.0
"""V4L2_EXPOSURE_MANUAL, which OpenCV hands through."""

_CLOSE_ENOUGH = 0.1

EXPOSURE, WHITE_BALANCE = "exposure", "white balance"
HELD = (EXPOSURE, WHITE_BALANCE)
"""What `[camera]` may state."""


class Adjustable(Protocol):
    """What is needed of `cv2.VideoCapture`."""

    def set(self, property_id: int, value: float, /) -> bool: ...  # noqa: D102

    def get(self, property_id: int, /) -> float: ...  # noqa: D102


def stated(settings: CameraSettings) -> tuple[str, ...]:
    """Which of `HELD` `line.toml` states."""
    values = (settings.exposure_ms, settings.white_balance_k)
    return tuple(name for name, value in zip(HELD, values, strict=True) if value is not None)


def unheld(camera: Camera) -> tuple[str, ...]:
    """Which of `HELD` a camera does not keep as stated; recordings are not asked to keep any."""
    return getattr(camera, "unheld", ())


def lock(capture: Adjustable, settings: CameraSettings) -> dict[str, str]:
    """Set what `line.toml` states; what of `HELD` did not take, and why.

    Ripeness is read from brightness and colour.
    """
    wanted = []
    if settings.exposure_ms is not None:
        # V4L2 counts exposure in units of 100 us.
        wanted.append(
            (EXPOSURE, cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE, cv2.CAP_PROP_EXPOSURE, 10 * settings.exposure_ms)
        )
    if settings.white_balance_k is not None:
        wanted.append(
            (WHITE_BALANCE, cv2.CAP_PROP_AUTO_WB, 0.0, cv2.CAP_PROP_WB_TEMPERATURE, float(settings.white_balance_k))
        )
    refused = {}
    for name, automatic, off, property_id, value in wanted:
        capture.set(automatic, off)
        capture.set(property_id, value)
        if capture.get(automatic) != off:
            refused[name] = f"the camera keeps adjusting its {name} by itself"
        elif abs((found := capture.get(property_id)) - value) > _CLOSE_ENOUGH * value:
            refused[name] = f"the camera does not take {name} {value:g} and stays at {found:g}"
    return refused
