"""The lamps: where they stand and how unevenly they light the belt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.noise import Array


@dataclass(frozen=True, slots=True)
class Light:
    """Where the lamp stands, as a direction in picture coordinates (z towards the camera), and how diffuse it is.

    `ambient` is the share of light that comes from everywhere; `sharpness` is the Blinn-Phong exponent of highlights.
    """

    direction: tuple[float, float, float] = (-0.35, -0.45, 0.82)
    ambient: float = 0.45
    sharpness: float = 28.0


def uneven_light(height_px: int, width_px: int, *, strength: float, rng: np.random.Generator) -> Array:
    """Gain of the lamps over the picture, `[height, width]` float32 around 1: a bright spot, a slope, dim corners."""
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    x, y = x / width_px - 0.5, y / max(height_px, 1) - 0.5
    spot_x, spot_y = rng.uniform(-0.3, 0.3, 2)
    spot = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / 0.25)
    slope_x, slope_y = rng.uniform(-0.5, 0.5, 2)
    corners = (x**2 + y**2) * 0.8
    gain = 1 + strength * (spot - 0.5 + slope_x * x + slope_y * y - corners)
    return np.asarray(gain, np.float32)
