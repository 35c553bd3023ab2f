"""Between the lens and the reader: how much light each pixel gets, what the sensor adds, what compression takes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image
from simulator.light import uneven_light
from simulator.noise import Array
from simulator.optics import SensorNoise
from simulator.scenario import CameraSection, DriftSection

_STEP = 0.004
"""Light is followed in steps of this share: less than one grey level, and the map of it is seldom made anew."""


class Sensor:
    """Turns what the lens throws onto the chip into what the camera delivers.

    Args:
        camera: Gain, white balance, light, dust, noise and compression.
        drift: What changes with time.
        rng: Draws the lamps' unevenness.
        seed: Of noise and dust.
    """

    def __init__(self, camera: CameraSection, drift: DriftSection, *, rng: np.random.Generator, seed: int) -> None:
        self._camera, self._drift = camera, drift
        height, width = camera.height_px, camera.width_px
        lamps = uneven_light(height, width, strength=camera.uneven_light, rng=rng)
        self._amplified = 10 ** (camera.gain_db / 20)
        self._lamps = lamps * _vignette(height, width, camera.vignetting) * np.float32(self._amplified)
        self._dust = _Dust(height, width, seed)
        self._noise = SensorNoise(height, width, sigma=camera.noise_levels * self._amplified, seed=seed)
        self._key: tuple[int, ...] = ()
        self._gain: Image = np.empty(0, np.uint8)
        self._scale = 1.0

    def develop(self, light: Image, index: int, seconds: float) -> Image:
        """The picture of frame `index`, exposed `seconds` after the start."""
        self._set_gain(seconds)
        picture = cv2.multiply(light, self._gain, scale=self._scale)
        picture = self._noise.add_to(picture, index)  # type: ignore[arg-type]
        if self._camera.jpeg_quality is None or self._camera.mpeg4:
            return picture
        # JPEG keeps less of colours than of brightness, and of blue than of red: the order of channels matters.
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._camera.jpeg_quality])
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore[return-value]

    def _set_gain(self, seconds: float) -> None:
        """Grey levels out for a grey level in are `gain * scale`; in bytes, as a sixth of the work it is in floats."""
        minutes = self._drift.minutes(seconds)
        light = minutes * math.log1p(self._drift.light_per_minute)
        levels = [light + minutes * math.log1p(share) for share in self._drift.colour_per_minute]
        specks = self._camera.dust + math.floor(minutes * self._drift.dust_per_minute)
        key = (*(round(level / _STEP) for level in levels), specks)
        if key != self._key:
            colours = [
                balance * math.exp(step * _STEP)
                for balance, step in zip(self._camera.white_balance, key[:3], strict=True)
            ]
            gain = (self._lamps * self._dust.map(specks))[..., None] * np.array(colours, np.float32)
            self._scale = float(gain.max()) / 255
            self._gain = cv2.convertScaleAbs(gain, alpha=1 / self._scale)  # type: ignore[assignment]
            self._key = key


class _Dust:
    """Dark soft specks that stay where they settled, each on its own random stream."""

    def __init__(self, height: int, width: int, seed: int) -> None:
        self._map = np.ones((height, width), np.float32)
        self._seed, self._count = seed, 0

    def map(self, count: int) -> Array:
        """Share of light that `count` specks let through, `[height, width]`."""
        if count < self._count:
            self._map[:], self._count = 1, 0
        for number in range(self._count, count):
            self._settle(np.random.default_rng([self._seed, 0xD057, number]))
        self._count = count
        return self._map

    def _settle(self, rng: np.random.Generator) -> None:
        height, width = self._map.shape
        radius = float(np.exp(rng.uniform(np.log(0.006), np.log(0.05)))) * height
        x, y, dark = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.08, 0.35)
        reach = math.ceil(2 * radius)
        x0, x1 = max(0, int(x) - reach), min(width, int(x) + reach + 1)
        y0, y1 = max(0, int(y) - reach), min(height, int(y) + reach + 1)
        rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        near = np.exp(-((((rows - y) ** 2 + (columns - x) ** 2) / radius**2) ** 2)).astype(np.float32)
        self._map[y0:y1, x0:x1] *= 1 - dark * near


def _vignette(height: int, width: int, strength: float) -> npt.NDArray[np.float32]:
    """1 in the middle, less by `strength` in the corners, with the square of the distance."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = ((x / (width - 1) - 0.5) ** 2 + (y / (height - 1) - 0.5) ** 2) * 2
    return np.asarray(1 - strength * far, np.float32)
