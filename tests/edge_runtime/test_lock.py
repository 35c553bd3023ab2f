"""Cameras that obey, that only pretend to, and that have no such setting."""

from __future__ import annotations

import cv2

from edge_runtime.cameras.lock import lock
from edge_runtime.settings.vision_settings import CameraSettings

SETTINGS = CameraSettings(exposure_ms=4.0, white_balance_k=4600)


class Device:
    """Properties as a driver keeps them: some cannot be changed, some are clipped."""

    def __init__(self, fixed: dict[int, float] | None = None) -> None:
        self._fixed = fixed or {}
        self.now = {cv2.CAP_PROP_AUTO_EXPOSURE: 3.0, cv2.CAP_PROP_EXPOSURE: 156.0, cv2.CAP_PROP_AUTO_WB: 1.0}

    def set(self, property_id: int, value: float, /) -> bool:
        self.now[property_id] = self._fixed.get(property_id, value)
        return property_id not in self._fixed

    def get(self, property_id: int, /) -> float:
        return self.now.get(property_id, -1.0)


def test_automatics_go_off_and_values_are_set() -> None:
    device = Device()
    assert lock(device, SETTINGS) == {}
    assert device.now == {
        cv2.CAP_PROP_AUTO_EXPOSURE: 1.0,
        cv2.CAP_PROP_EXPOSURE: 40.0,
        cv2.CAP_PROP_AUTO_WB: 0.0,
        cv2.CAP_PROP_WB_TEMPERATURE: 4600.0,
    }


def test_a_camera_that_does_not_obey_is_told_on() -> None:
    assert lock(Device({cv2.CAP_PROP_AUTO_EXPOSURE: 3.0}), SETTINGS) == {
        "exposure": "the camera keeps adjusting its exposure by itself"
    }
    ((name, words),) = lock(Device({cv2.CAP_PROP_WB_TEMPERATURE: 6500.0}), SETTINGS).items()
    assert name == "white balance"
    assert "white balance 4600 and stays at 6500" in words


def test_what_is_not_stated_stays_as_it_is() -> None:
    device = Device()
    before = dict(device.now)
    assert lock(device, CameraSettings()) == {}
    assert device.now == before
