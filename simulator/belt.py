"""Belts to look at: a periodic texture, and how motion smears it."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image
from simulator.noise import Array, flat_noise

BeltKind = Literal["rubber", "weave", "blue", "green", "white"]
BELT_KINDS: tuple[BeltKind, ...] = get_args(BeltKind)

_COLOURS: dict[BeltKind, tuple[int, int, int]] = {
    "rubber": (52, 52, 54),
    "weave": (84, 82, 80),
    "blue": (36, 84, 150),
    "green": (22, 86, 58),
    "white": (196, 198, 196),
}


def belt_texture(
    kind: BeltKind,
    *,
    height_px: int,
    period_px: int,
    mm_per_px: float,
    rng: np.random.Generator,
    seam_every_mm: float | None = None,
) -> Image:
    """Draw one period of a belt.

    Args:
        kind: Material.
        height_px: Width of the belt as the camera sees it.
        period_px: Length after which the texture repeats.
        mm_per_px: Scale.
        rng: Draws tint, stains and scratches.
        seam_every_mm: Distance between seams; None for none.

    Returns:
        `[height_px, period_px, 3]` uint8 RGB whose left and right edges meet.
    """
    colour = np.array(_COLOURS[kind], np.float32) * float(rng.uniform(0.85, 1.15)) + rng.normal(0, 3, 3)
    level = np.ones((height_px, period_px), np.float32)
    level += 0.05 * flat_noise(height_px, period_px, blot_px=60 / mm_per_px, rng=rng)
    level += 0.03 * flat_noise(height_px, period_px, blot_px=3 / mm_per_px, rng=rng)
    if kind in ("rubber", "weave"):
        level += _studs(height_px, period_px, pitch_mm=float(rng.uniform(2.2, 4.0)), mm_per_px=mm_per_px)
    level += 0.025 * rng.normal(size=level.shape).astype(np.float32)
    _scratch(level, rng)
    if seam_every_mm is not None:
        seam_px = max(2, round(1.5 / mm_per_px))
        for x in np.arange(rng.uniform(0, seam_every_mm), period_px * mm_per_px, seam_every_mm):
            left = int(x / mm_per_px) % period_px
            level[:, left : left + seam_px] *= 0.72
            level[:, left + seam_px : left + seam_px + 1] *= 1.15
    return np.clip(level[..., None] * colour, 0, 255).astype(np.uint8)


def drop_leaves(picture: Image, *, px_per_mm: float, rng: np.random.Generator) -> None:
    """Scatter scraps of leaf and stalk over a picture of a belt, in place."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        length, breadth = rng.uniform(6, 26) * px_per_mm, rng.uniform(1, 12) * px_per_mm
        share = np.linspace(0, 1, 9)
        half = 0.5 * breadth * np.sin(np.pi * share**0.8) * rng.uniform(0.7, 1.3, 9)
        along = (share - 0.5) * length
        outline = np.concatenate([np.stack([along, half], 1), np.stack([along, -half], 1)[::-1]])
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        place = outline @ turn.T + rng.uniform(0, 1, 2) * [width, height]
        green = np.array([78, 116, 46]) * rng.uniform(0.6, 1.35) + rng.uniform(0, 1) * np.array([50, 10, 10])
        points = np.round(place * 16).astype(np.int32)
        cv2.fillPoly(picture, [points], green.clip(0, 255).tolist(), cv2.LINE_AA, 4)


def motion_kernel(length_px: float) -> npt.NDArray[np.float32]:
    """Share of the exposure that a point spends over each pixel: a box of `length_px`, `[1, odd]`, summing to 1.

    A point that is one pixel wide thereby smears over `length_px + 1`.
    """
    half = length_px / 2
    reach = max(0, int(np.ceil(half - 0.5)))
    edges = np.arange(-reach, reach + 2) - 0.5
    cover = np.diff(np.clip(edges, -half, half)) if length_px > 0 else np.ones(2 * reach + 1)
    return np.asarray(cover / cover.sum(), np.float32)[None, :]


def _studs(height_px: int, period_px: int, *, pitch_mm: float, mm_per_px: float) -> Array:
    """A diamond pattern that repeats a whole number of times in a period."""
    across = 2 * np.pi * np.arange(height_px, dtype=np.float32) * mm_per_px / pitch_mm
    repeats = max(1, round(period_px * mm_per_px / pitch_mm))
    along = 2 * np.pi * np.arange(period_px, dtype=np.float32) * repeats / period_px
    wave = np.cos(across)[:, None] * np.cos(along)[None, :]
    return np.asarray(0.22 * np.maximum(wave, -0.4), np.float32)


def _scratch(level: Array, rng: np.random.Generator) -> None:
    """Thin lines along the belt and a few stains."""
    height, width = level.shape
    for _ in range(int(rng.integers(2, 7))):
        x, y, length = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(20, 200))
        end = (min(width - 1, x + length), y + int(rng.integers(-4, 5)))
        cv2.line(level, (x, y), end, (float(level[y, x] * rng.uniform(0.8, 1.25)),), 1)
    stains = flat_noise(height, width, blot_px=max(4.0, height / 6), rng=rng)
    level *= 1 - 0.12 * np.clip(2 * (stains - 1.3), 0, 1)


def soil(texture: Image, *, dirt: float, wet: float, px_per_mm: float, rng: np.random.Generator) -> None:
    """Stain a belt and wet it, in place.

    Args:
        texture: One period.
        dirt: 0 clean to 1: dark smears, and scraps of leaf and stalk on it.
        wet: 0 dry to 1: puddles that shine with the lamps' light.
        px_per_mm: Scale.
        rng: Draws where.
    """
    height, width = texture.shape[:2]
    if dirt > 0:
        smear = np.clip(flat_noise(height, width, blot_px=25 * px_per_mm, rng=rng) - 0.4, 0, 1.5)
        brown = np.array([86, 66, 48], np.float32)
        share = (0.5 * dirt * smear / 1.5)[..., None]
        texture[:] = np.clip(texture * (1 - share) + brown * share, 0, 255).astype(np.uint8)
        for _ in range(round(2 * dirt)):
            drop_leaves(texture, px_per_mm=px_per_mm, rng=rng)
    if wet > 0:
        puddle = np.clip(flat_noise(height, width, blot_px=35 * px_per_mm, rng=rng) + 1.2 * wet - 1.2, 0, 0.5)
        ripple = flat_noise(height, width, blot_px=6 * px_per_mm, rng=rng)
        shine = puddle * (40 + 60 * np.clip(ripple - 1.2, 0, 1)) - 14 * (puddle > 0)
        texture[:] = np.clip(texture + shine[..., None], 0, 255).astype(np.uint8)
