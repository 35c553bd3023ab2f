"""What else a picture of a fruit shows, and in what light: belt or leaves behind it, scraps, other fruit beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image
from simulator.belt import BELT_KINDS, belt_texture, drop_leaves
from simulator.fruit import sample_fruit
from simulator.light import Light
from simulator.optics import lay, make_layer
from simulator.sprite import draw_sprite

_LITTER_SHARE = 0.35
_SOUND = ("unripe", "turning", "ripe")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How much pictures vary in what is not the fruit.

    Shares of pictures with leaves behind the fruit and of further fruit at its side; ranges of the highlights'
    sharpness and of the exposure; standard deviation of the white balance.
    """

    foliage_share: float
    neighbour_share: float
    sharpness: tuple[float, float]
    exposure: tuple[float, float]
    white_balance: float


SURROUNDINGS = {
    "belt": Surroundings(0.0, 0.0, sharpness=(16, 45), exposure=(0.8, 1.3), white_balance=0.03),
    "any": Surroundings(0.3, 0.4, sharpness=(16, 80), exposure=(0.65, 1.5), white_balance=0.05),
}
"""belt: one fruit on a clean line. any: also among leaves and other fruit, in any light, as photographs have it."""


def background(side_px: int, around: Surroundings, *, px_per_mm: float, rng: np.random.Generator) -> Image:
    """A square of some belt, turned any way, perhaps with scraps on it; or leaves, as in a box or on the plant."""
    if around.foliage_share and rng.random() < around.foliage_share:
        return _foliage(side_px, rng)
    texture = belt_texture(
        BELT_KINDS[int(rng.integers(len(BELT_KINDS)))],
        height_px=side_px,
        period_px=side_px,
        mm_per_px=1 / px_per_mm,
        rng=rng,
        seam_every_mm=float(rng.uniform(60, 400)),
    )
    picture = np.ascontiguousarray(np.rot90(texture, int(rng.integers(4))))
    if rng.random() < _LITTER_SHARE:
        drop_leaves(picture, px_per_mm=px_per_mm, rng=rng)
    return picture


def lay_neighbours(
    picture: Image, around: Surroundings, *, fruit_px: float, px_per_mm: float, light: Light, rng: np.random.Generator
) -> None:
    """Other fruit at the side of one in the middle that is `fruit_px` long, in place; most often there are none."""
    while around.neighbour_share and rng.random() < around.neighbour_share:
        neighbour = sample_fruit(rng, _SOUND[int(rng.integers(len(_SOUND)))])
        sprite = draw_sprite(neighbour, px_per_mm=px_per_mm, light=light)
        layer = make_layer(sprite.by_its_box(), px_per_mm=px_per_mm, light=light, focus_px=float(rng.uniform(0.2, 2.0)))
        away_px = (fruit_px + max(sprite.size_px)) / 2 * float(rng.uniform(0.85, 1.1))
        direction_rad = float(rng.uniform(0, 2 * math.pi))
        middle_px = picture.shape[0] / 2
        lay(
            picture,
            layer,
            (middle_px + away_px * math.cos(direction_rad), middle_px + away_px * math.sin(direction_rad)),
        )


def _foliage(side_px: int, rng: np.random.Generator) -> Image:
    """Leaves over leaves on dark ground, the lower ones out of focus."""
    ground = np.array([[34, 40, 28], [70, 62, 56], [150, 150, 146]])[int(rng.integers(3))] * rng.uniform(0.6, 1.3)
    picture = np.full((side_px, side_px, 3), ground.clip(0, 255), np.uint8)
    leaf = np.array([84, 126, 50]) * rng.uniform(0.5, 1.3) + rng.uniform(0, 1) * np.array([30, 24, 10])
    layers = int(rng.integers(2, 5))
    for layer in range(layers):
        for _ in range(int(rng.integers(2, 8))):
            _leaf(picture, leaf * rng.uniform(0.65, 1.3), rng)
        blur_px = (layers - layer) * float(rng.uniform(0.002, 0.012)) * side_px
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), max(0.3, blur_px)), np.uint8)
    return picture


def _leaf(picture: Image, colour: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    side_px = picture.shape[0]
    share = np.linspace(0, 1, 12)
    length, breadth = rng.uniform(0.3, 1.0) * side_px, rng.uniform(0.12, 0.6) * side_px
    half = 0.5 * breadth * np.sin(np.pi * share**0.8) * rng.uniform(0.9, 1.1, 12)
    along = (share - 0.5) * length
    angle_rad = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]])
    place = rng.uniform(0, 1, 2) * side_px
    for sign, shade in ((1, 1.0), (-1, rng.uniform(0.75, 0.95))):
        outline = np.concatenate([np.stack([along, sign * half], 1), np.stack([along, 0 * half], 1)[::-1]])
        points = np.round((outline @ turn.T + place) * 16).astype(np.int32)
        cv2.fillPoly(picture, [points], (colour * shade).clip(0, 255).tolist(), cv2.LINE_AA, 4)
    rib = np.round((np.stack([along, 0 * half], 1) @ turn.T + place) * 16).astype(np.int32)
    cv2.polylines(picture, [rib], False, (colour * 1.25).clip(0, 255).tolist(), 1, cv2.LINE_AA, 4)
