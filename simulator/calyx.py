"""The green crown of a fruit: sepals over the shoulder, and a stem."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, surface_points
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.noise import Array

_SHIFT = 4


def calyx_reach_mm(fruit: Fruit) -> float:
    """How far sepals and stem may stand out beyond a circle around the body."""
    half_length, radius = fruit.shape.length_mm / 2, fruit.shape.diameter_mm / 2
    return max(0.45 * radius, half_length + fruit.calyx.stem_mm - math.hypot(half_length, radius)) + 1


def draw_calyx(fruit: Fruit, view: View, light: Light) -> tuple[Array, Array]:
    """Sepals and stem as two layers, behind and in front of the body."""
    calyx, shape = fruit.calyx, fruit.shape
    layers = np.zeros((*view.pixels.shape, 4), np.float32), np.zeros((*view.pixels.shape, 4), np.float32)
    if calyx.sepals == 0:
        return layers
    rng = np.random.default_rng(fruit.texture_seed + 2)
    axes = basis(fruit.pose)
    fresh = np.array([84, 128, 44], np.float32) * float(rng.uniform(0.75, 1.2))
    dry = np.array([150, 118, 66], np.float32)
    green = fresh + calyx.dryness * (dry - fresh)
    lamp = np.array(light.direction, np.float32) / np.linalg.norm(light.direction)
    angles = np.arange(calyx.sepals) * (2 * math.pi / calyx.sepals) + rng.normal(0, 0.12, calyx.sepals)
    if calyx.stem_mm:
        stem = np.array([[-shape.length_mm / 2 * 0.96, 0, 0], [-shape.length_mm / 2 - calyx.stem_mm, 0, 0]], np.float32)
        ends = view.to_px(stem @ axes.T)
        layer = layers[1] if axes[2, 0] < 0 else layers[0]
        _fill(layer, _ribbon(ends, 0.9 * view.px_per_mm), green * 1.12)
    sepals = []
    for angle in angles:
        length = calyx.length_share * float(rng.uniform(0.8, 1.15))
        outline, middle = _sepal(fruit, float(angle), length, float(rng.uniform(0.8, 1.2)) * calyx.lift)
        outline_picture, middle_picture = outline @ axes.T, middle @ axes.T
        tone = green * float(rng.uniform(0.82, 1.2))
        sepals.append((float(middle_picture[:, 2].mean()), outline_picture, middle_picture, tone))
    for height, outline, middle, tone in sorted(sepals, key=lambda sepal: sepal[0]):
        facing = _unit_cross(outline, middle) @ lamp
        lit = 0.72 + 0.38 * abs(facing)
        layer = layers[1] if height > -0.12 * shape.diameter_mm * (1 - calyx.lift * 0.5) else layers[0]
        half = len(outline) // 2
        _fill(layer, view.to_px(outline), tone * lit)
        side = np.concatenate([outline[:half], middle[::-1]])
        _fill(layer, view.to_px(side), tone * lit * 0.86)
        vein = _fixed_point(view.to_px(middle))
        # Lines of one pixel run otherwise in OpenCV 5 than in 4.
        width_px = max(2, round(0.25 * view.px_per_mm))
        cv2.polylines(layer, [vein], False, _rgba(tone * lit * 1.1), width_px, cv2.LINE_8, _SHIFT)
    return layers


def _sepal(fruit: Fruit, around: float, length: float, lift: float) -> tuple[Array, Array]:
    """Outline `[2k, 3]` and middle line `[k, 3]` of one sepal in body coordinates, mm.

    It runs from the stem end outwards over the shoulder, standing off by `lift`.
    """
    shape = fruit.shape
    share = np.linspace(0, 1, 8, dtype=np.float32)
    radius = shape.diameter_mm / 2
    out_mm = share * length * radius * 1.25
    # Follow the shoulder: how far towards the tip the surface has come at that distance from the axis.
    axial = np.linspace(-1, -0.1, 60, dtype=np.float32)
    surface = surface_points(shape, axial, np.full_like(axial, around))
    walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(surface, axis=0), axis=1))])
    follow = np.stack([np.interp(out_mm, walked, surface[:, c]) for c in range(3)], axis=1)
    outward = np.array([0, math.cos(around), math.sin(around)], np.float32)
    free = surface[0] + out_mm[:, None] * outward - np.array([1.0, 0, 0]) * (0.25 * out_mm[:, None])
    middle = follow + lift * share[:, None] ** 1.5 * (free - follow) + 0.6 * outward + np.array([-0.5, 0, 0])
    sideways = np.array([0, -math.sin(around), math.cos(around)], np.float32)
    width_mm = fruit.calyx.width_share * fruit.shape.diameter_mm
    half = 0.5 * width_mm * (np.sin(np.pi * np.clip(share, 0, 1) ** 0.75) * 0.95 + 0.12 * (1 - share))
    left, right = middle + half[:, None] * sideways, middle - half[:, None] * sideways
    return np.concatenate([left, right[::-1]]).astype(np.float32), middle.astype(np.float32)


def _unit_cross(outline: Array, middle: Array) -> Array:
    half = len(outline) // 2
    normal = np.cross(outline[half // 2] - middle[half // 2], middle[-1] - middle[0])
    return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-6), np.float32)


def _ribbon(ends: Array, half_px: float) -> Array:
    along = ends[1] - ends[0]
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6) * half_px
    return np.asarray([ends[0] + normal, ends[1] + normal, ends[1] - normal, ends[0] - normal], np.float32)


def _fill(layer: Array, outline_px: Array, colour: Array) -> None:
    cv2.fillPoly(layer, [_fixed_point(outline_px)], _rgba(colour), lineType=cv2.LINE_8, shift=_SHIFT)


def _fixed_point(points_px: Array) -> npt.NDArray[np.int32]:
    """Places with fractions as OpenCV's drawing takes them; pixel centres are at halves here, at integers there."""
    return np.asarray(np.round((points_px - 0.5) * 2**_SHIFT), np.int32)


def _rgba(colour: Array) -> tuple[float, float, float, float]:
    red, green, blue = (float(v) for v in np.clip(colour, 0, 255))
    return red, green, blue, 255.0
