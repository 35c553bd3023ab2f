"""A fruit that rolls about an axis across the belt: painted once all around, then turned at little cost."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, profile_mm, section, turned, widest_mm
from simulator.calyx import calyx_reach_mm, grow_crown
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.paint import paint_around
from simulator.sprite import OVERSAMPLING, Sprite, put_together

_ANGLES = 4096


class RollingFruit:
    """Looks of one fruit at any roll; each depends on the roll alone.

    Args:
        fruit: Lies across the belt and level: its yaw is a right angle and its tilt 0.
        px_per_mm: Scale of the picture.
        light: The lamp, which stays where it is.
    """

    def __init__(self, fruit: Fruit, *, px_per_mm: float, light: Light) -> None:
        self._fruit, self._light = fruit, light
        self._px_per_mm = px_per_mm * OVERSAMPLING
        self._skin = paint_around(fruit, px_per_mm=self._px_per_mm)
        self._crown = grow_crown(fruit)

    def sprite(self, roll_rad: float) -> Sprite:
        """How it looks from above when it has turned to `roll_rad` (see `Pose`)."""
        fruit = self._fruit.posed(replace(self._fruit.pose, roll_rad=roll_rad))
        view, rows, around_rad = self._view(fruit)
        skin, on_body = self._skin.look_up(rows, around_rad)
        view = replace(view, normals=turned(basis(fruit.pose), on_body).T)
        return put_together(fruit, view, skin, self._crown, self._light)

    def _view(self, fruit: Fruit) -> tuple[View, npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Which pixels show the body; of each its row of the skin and its angle around the axis.

        Seen from the side, each row of pixels cuts the body across, and all cuts have one form: how far up around it a
        pixel looks is found once, for all of them.
        """
        shape, scale = fruit.shape, self._px_per_mm
        half = math.ceil(shape.length_mm / 2 * scale)
        reach_mm = calyx_reach_mm(fruit)
        height = 4 * math.ceil((shape.length_mm / 2 + reach_mm) * scale / 2)
        width = 4 * math.ceil((widest_mm(shape) + reach_mm) * scale / 2)
        axial = (np.arange(2 * half) + 0.5 - half) / (scale * shape.length_mm / 2)
        profile = np.where(np.abs(axial) < 1, profile_mm(shape, axial), 1e-6)
        # Angles from the picture's left over the top to its right; how far right a cut of radius 1 reaches there.
        angles = np.linspace(-0.5 * math.pi, 1.5 * math.pi, _ANGLES)
        on_body = angles - fruit.pose.roll_rad
        reach = -section(shape, np.cos(on_body), np.sin(on_body)) * np.cos(angles)
        first, last = int(np.argmin(reach[: _ANGLES // 2])), _ANGLES // 2 + int(np.argmax(reach[_ANGLES // 2 :]))
        x = (np.arange(width) + 0.5 - width / 2) / scale
        share = x / profile[:, None]
        seen = (share > reach[first]) & (share < reach[last])
        rows, columns = np.nonzero(seen)
        angle = np.interp(share[seen], reach[first : last + 1], angles[first : last + 1])
        places = (rows + (height // 2 - half)) * width + columns
        nothing = np.empty((0, 3), np.float32)
        return View((height, width), places, nothing, nothing, scale), rows, angle - fruit.pose.roll_rad
