"""The green crown of a fruit: sepals over the shoulder, and a stem."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, surface_points
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.noise import Array

_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Crown:
    """The calyx of one fruit in body coordinates, mm: `k` sepals, and a stem or none.

    `outlines` `[k, 16, 3]` run up one side of each sepal and down the other, `middles` `[k, 8, 3]` from root to tip;
    `tones` `[k, 3]` and `green` `[3]` are colours of sepals and stem; `stem` is `[2, 3]`.
    """

    outlines: Array
    middles: Array
    tones: Array
    stem: Array | None
    green: Array
    lift: float


def calyx_reach_mm(fruit: Fruit) -> float:
    """How far sepals and stem may stand out beyond a box around the body."""
    return max(0.45 * fruit.shape.diameter_mm / 2, fruit.calyx.stem_mm) + 1


def grow_crown(fruit: Fruit) -> Crown | None:
    """Sepals and stem of a fruit; None of a hulled one."""
    calyx, shape = fruit.calyx, fruit.shape
    if calyx.sepals == 0:
        return None
    rng = np.random.default_rng(fruit.texture_seed + 2)
    fresh = np.array([84, 128, 44], np.float32) * float(rng.uniform(0.75, 1.2))
    dry = np.array([150, 118, 66], np.float32)
    green = fresh + calyx.dryness * (dry - fresh)
    angles = np.arange(calyx.sepals) * (2 * math.pi / calyx.sepals) + rng.normal(0, 0.12, calyx.sepals)
    # Of each sepal in turn: its length, how far it is lifted, and its brightness.
    drawn = rng.uniform([0.8, 0.8, 0.82], [1.15, 1.2, 1.2], size=(calyx.sepals, 3)).astype(np.float32)
    outlines, middles = _sepals(
        fruit, angles.astype(np.float32), calyx.length_share * drawn[:, 0], calyx.lift * drawn[:, 1]
    )
    stem = None
    if calyx.stem_mm:
        root_mm = shape.length_mm / 2
        stem = np.array([[-root_mm * 0.96, 0, 0], [-root_mm - calyx.stem_mm, 0, 0]], np.float32)
    return Crown(outlines, middles, green * drawn[:, 2:], stem, green, calyx.lift)


def draw_crown(crown: Crown, fruit: Fruit, view: View, light: Light) -> tuple[Strokes, Strokes]:
    """What there is to draw of a crown, in order, behind and in front of the body."""
    axes = basis(fruit.pose)
    lamp = np.array(light.direction, np.float32) / np.linalg.norm(light.direction)
    behind: Strokes = []
    front: Strokes = []
    if crown.stem is not None:
        ends = view.to_px(crown.stem @ axes.T)
        ribbon = _ribbon(ends, 0.9 * view.px_per_mm)
        (front if axes[2, 0] < 0 else behind).append(Stroke(_fixed_point(ribbon), _rgba(crown.green * 1.12)))
    outlines, middles = crown.outlines @ axes.T, crown.middles @ axes.T
    lit = crown.tones * (0.72 + 0.38 * np.abs(_facing(outlines, middles) @ lamp))[:, None]
    heights = middles[..., 2].mean(axis=1)
    covers = heights > -0.12 * fruit.shape.diameter_mm * (1 - crown.lift * 0.5)
    half = outlines.shape[1] // 2
    sides = np.concatenate([outlines[:, :half], middles[:, ::-1]], axis=1)
    whole, shaded, veins = (_fixed_point(view.to_px(part)) for part in (outlines, sides, middles))
    # Lines of one pixel run otherwise in OpenCV 5 than in 4.
    width_px = max(2, round(0.25 * view.px_per_mm))
    for sepal in np.argsort(heights, kind="stable"):
        strokes, tone = front if covers[sepal] else behind, lit[sepal]
        strokes.append(Stroke(whole[sepal], _rgba(tone)))
        strokes.append(Stroke(shaded[sepal], _rgba(tone * 0.86)))
        strokes.append(Stroke(veins[sepal], _rgba(tone * 1.1), width_px))
    return behind, front


@dataclass(frozen=True, slots=True)
class Stroke:
    """A polygon to fill, or a line of so many pixels; `points` `[n, 2]` int32 in sixteenths of a pixel."""

    points: npt.NDArray[np.int32]
    rgba: tuple[float, float, float, float]
    width_px: int | None = None

    def draw(self, picture: Array | npt.NDArray[np.uint8]) -> None:
        """Lay it on a picture of four channels, or of one, which gets the red."""
        if self.width_px is None:
            cv2.fillPoly(picture, [self.points], self.rgba, lineType=cv2.LINE_8, shift=_SHIFT)
        else:
            cv2.polylines(picture, [self.points], False, self.rgba, self.width_px, cv2.LINE_8, _SHIFT)


Strokes = list[Stroke]


def _sepals(fruit: Fruit, around: Array, length: Array, lift: Array) -> tuple[Array, Array]:
    """Outlines `[k, 16, 3]` and middle lines `[k, 8, 3]` of sepals in body coordinates, mm.

    They run from the stem end outwards over the shoulder, standing off by `lift`, each `[k]` like the others.
    """
    shape = fruit.shape
    share = np.linspace(0, 1, 8, dtype=np.float32)
    out_mm = share * length[:, None] * np.float32(shape.diameter_mm / 2 * 1.25)
    # Follow the shoulder: how far towards the tip the surface has come at that distance from the axis.
    axial = np.linspace(-1, -0.1, 60, dtype=np.float32)
    surface = surface_points(shape, *np.broadcast_arrays(axial, around[:, None]))
    steps = np.sqrt((np.diff(surface, axis=1) ** 2).sum(axis=-1))
    walked = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    follow = np.stack(
        [
            [np.interp(to_mm, way, line[:, axis]) for axis in range(3)]
            for to_mm, way, line in zip(out_mm, walked, surface, strict=True)
        ]
    ).transpose(0, 2, 1)
    cosine, sine, none = np.cos(around), np.sin(around), np.zeros_like(around)
    outward = np.stack([none, cosine, sine], axis=1)[:, None]
    sideways = np.stack([none, -sine, cosine], axis=1)[:, None]
    along = np.array([1.0, 0, 0], np.float32)
    free = surface[:, :1] + out_mm[..., None] * (outward - 0.25 * along)
    middles = follow + (lift[:, None] * share**1.5)[..., None] * (free - follow) + 0.6 * outward - 0.5 * along
    width_mm = fruit.calyx.width_share * shape.diameter_mm
    half = 0.5 * width_mm * (np.sin(np.pi * share**0.75) * 0.95 + 0.12 * (1 - share))
    left, right = middles + half[:, None] * sideways, middles - half[:, None] * sideways
    return np.concatenate([left, right[:, ::-1]], axis=1).astype(np.float32), middles.astype(np.float32)


def _facing(outlines: Array, middles: Array) -> Array:
    """Unit normals of sepals, `[k, 3]`, up to their sign."""
    quarter = outlines.shape[1] // 4
    normal = np.cross(outlines[:, quarter] - middles[:, quarter], middles[:, -1] - middles[:, 0])
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6), np.float32)


def _ribbon(ends: Array, half_px: float) -> Array:
    along = ends[1] - ends[0]
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6) * half_px
    return np.asarray([ends[0] + normal, ends[1] + normal, ends[1] - normal, ends[0] - normal], np.float32)


def _fixed_point(points_px: Array) -> npt.NDArray[np.int32]:
    """Places with fractions as OpenCV's drawing takes them; pixel centres are at halves here, at integers there."""
    return np.asarray(np.round((points_px - 0.5) * 2**_SHIFT), np.int32)


def _rgba(colour: Array) -> tuple[float, float, float, float]:
    red, green, blue = (min(max(float(level), 0.0), 255.0) for level in colour)
    return red, green, blue, 255.0
