"""A fruit as a picture with transparency: drawn once, then composited wherever the fruit is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, look_at
from simulator.calyx import Crown, calyx_reach_mm, draw_crown, grow_crown
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.noise import Array
from simulator.paint import Skin, paint

OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Sprite:
    """`image`: `[height, width, 4]` uint8 RGBA, straight alpha, cut to the fruit's bounding box."""

    image: npt.NDArray[np.uint8]

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.image.shape[1], self.image.shape[0]


def draw_sprite(fruit: Fruit, *, px_per_mm: float, light: Light | None = None) -> Sprite:
    """Draw a fruit as it lies, seen from above."""
    view = look_at(fruit.shape, fruit.pose, px_per_mm=px_per_mm * OVERSAMPLING, margin_mm=calyx_reach_mm(fruit))
    return put_together(fruit, view, paint(fruit, view), grow_crown(fruit), light or Light())


def put_together(fruit: Fruit, view: View, skin: Skin, crown: Crown | None, light: Light) -> Sprite:
    """Body, mould and calyx in one picture, from a view that is `OVERSAMPLING` times too large."""
    behind, front = draw_crown(crown, fruit, view, light) if crown else ([], [])
    picture = np.zeros((*view.pixels.shape, 4), np.float32)
    for stroke in behind:
        stroke.draw(picture)
    body = np.full((len(view.points), 4), 255, np.float32)
    np.clip(_shade(view, skin, light), 0, 255, out=body[:, :3])
    if front:
        # Front sepals throw a soft shadow on the shoulder that lifts them off it.
        cover = np.zeros(view.pixels.shape, np.uint8)
        for stroke in front:
            replace(stroke, rgba=(255.0, 0.0, 0.0, 0.0)).draw(cover)
        shadow = cv2.GaussianBlur(cover, (0, 0), max(1.0, 0.5 * view.px_per_mm))[view.pixels]
        body[:, :3] *= (1 - np.float32(0.45 / 255) * shadow)[:, None]
    if skin.fuzz.any():
        halo = _hairs(body, view, skin, np.random.default_rng(fruit.texture_seed + 1))
        picture *= 1 - halo[..., 3:] / 255
        picture += halo
    picture[view.pixels] = body
    for stroke in front:
        stroke.draw(picture)
    return Sprite(_cut(_shrink(picture)))


def _shade(view: View, skin: Skin, light: Light) -> Array:
    """Diffuse light with soft shadow, a little light through the flesh, and highlights (Blinn 1977)."""
    direction = np.array(light.direction, np.float32)
    direction /= np.linalg.norm(direction)
    halfway = direction + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    relief = np.zeros(view.pixels.shape, np.float32)
    relief[view.pixels] = skin.height_mm
    x, y, z = view.normals.T
    x = x - cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=view.px_per_mm / 8)[view.pixels]
    y = y - cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=view.px_per_mm / 8)[view.pixels]
    length = np.sqrt(x * x + y * y + z * z)
    wrap = 0.25
    towards = (direction[0] * x + direction[1] * y + direction[2] * z) / length
    diffuse = np.clip((towards + wrap) / (1 + wrap), 0, 1)
    sky = 0.55 + 0.45 * z
    facing = np.clip((halfway[0] * x + halfway[1] * y + halfway[2] * z) / length, 0, 1)
    wide = facing ** np.float32(light.sharpness / 5)
    wide_2 = wide * wide
    shine = 185 * skin.gloss * (0.75 * wide_2 * wide_2 * wide + 0.16 * wide)
    lit = light.ambient * sky + (1.12 - light.ambient) * diffuse
    return np.asarray(skin.colour * lit[:, None] + shine[:, None], np.float32)


def _hairs(body: Array, view: View, skin: Skin, rng: np.random.Generator) -> Array:
    """Mould blurs the outline that it covers: a torn halo of its own colour, `[h, w, 4]` premultiplied."""
    fuzz = np.zeros(view.pixels.shape, np.float32)
    fuzz[view.pixels] = skin.fuzz
    reach_px = max(0.8, 0.35 * view.px_per_mm)
    spread = cv2.GaussianBlur(fuzz, (0, 0), reach_px)
    torn = spread * (0.9 + 0.5 * rng.standard_normal(spread.shape, dtype=np.float32))
    halo = np.clip(torn, 0, 1) * ~view.pixels
    mould = np.zeros((*view.pixels.shape, 4), np.float32)
    mould[view.pixels] = body * (skin.fuzz > 0.3)[:, None]
    mould = np.asarray(cv2.GaussianBlur(mould, (0, 0), reach_px), np.float32)
    return np.asarray(mould * (255 * halo / np.maximum(mould[..., 3], 1.0))[..., None], np.float32)


def _shrink(image: Array) -> npt.NDArray[np.uint8]:
    """From premultiplied and oversampled to straight alpha at the wanted scale."""
    size = (image.shape[1] // OVERSAMPLING, image.shape[0] // OVERSAMPLING)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _cut(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns = np.flatnonzero((image[..., 3] > 127).any(axis=1)), np.flatnonzero((image[..., 3] > 127).any(axis=0))
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
