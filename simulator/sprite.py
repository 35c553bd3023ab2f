"""A fruit as a picture with transparency: drawn once, then composited wherever the fruit is seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, look_at
from simulator.calyx import calyx_reach_mm, draw_calyx
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.noise import Array
from simulator.paint import Skin, paint

_OVERSAMPLING = 2


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
    light = light or Light()
    scale = px_per_mm * _OVERSAMPLING
    view = look_at(fruit.shape, fruit.pose, px_per_mm=scale, margin_mm=calyx_reach_mm(fruit))
    skin = paint(fruit, view)
    body = np.zeros((*view.pixels.shape, 4), np.float32)
    body[view.pixels, :3] = np.clip(_shade(view, skin, light), 0, 255)
    body[view.pixels, 3] = 255
    if skin.fuzz.any():
        _grow_hairs(body, view, skin, np.random.default_rng(fruit.texture_seed + 1))
    behind, front = draw_calyx(fruit, view, light)
    # Front sepals throw a soft shadow on the shoulder that lifts them off it.
    shade_px = max(1.0, 0.5 * scale)
    body[..., :3] *= 1 - 0.45 * cv2.GaussianBlur(front[..., 3] / 255, (0, 0), shade_px)[..., None]
    return Sprite(_cut(_shrink(_over(_over(behind, body), front))))


def _over(below: Array, above: Array) -> Array:
    """Premultiplied `above` over `below`, both `[h, w, 4]` float32 0..255."""
    return np.asarray(below * (1 - above[..., 3:] / 255) + above, np.float32)


def _shade(view: View, skin: Skin, light: Light) -> Array:
    """Diffuse light with soft shadow, a little light through the flesh, and highlights (Blinn 1977)."""
    direction = np.array(light.direction, np.float32)
    direction /= np.linalg.norm(direction)
    relief = np.zeros(view.pixels.shape, np.float32)
    relief[view.pixels] = skin.height_mm
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=view.px_per_mm / 8)[view.pixels]
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=view.px_per_mm / 8)[view.pixels]
    normals = view.normals - np.stack([slope_x, slope_y, np.zeros_like(slope_x)], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wrap = 0.25
    diffuse = np.clip((normals @ direction + wrap) / (1 + wrap), 0, 1)
    sky = 0.55 + 0.45 * view.normals[:, 2]
    halfway = direction + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    facing = np.clip(normals @ halfway, 0, 1)
    shine = skin.gloss * (0.75 * facing**light.sharpness + 0.16 * facing ** (light.sharpness / 5))
    lit = light.ambient * sky + (1.12 - light.ambient) * diffuse
    return np.asarray(skin.colour * lit[:, None] + 185 * shine[:, None], np.float32)


def _grow_hairs(body: Array, view: View, skin: Skin, rng: np.random.Generator) -> None:
    """Mould blurs the outline that it covers: a torn halo of its own colour."""
    fuzz = np.zeros(view.pixels.shape, np.float32)
    fuzz[view.pixels] = skin.fuzz
    reach_px = max(0.8, 0.35 * view.px_per_mm)
    spread = cv2.GaussianBlur(fuzz, (0, 0), reach_px)
    torn = spread * (0.9 + 0.5 * rng.standard_normal(spread.shape, dtype=np.float32))
    halo = np.clip(torn, 0, 1)[..., None] * ~view.pixels[..., None]
    mould = cv2.GaussianBlur(body * (fuzz > 0.3)[..., None], (0, 0), reach_px)
    body += halo * mould * (255 / np.maximum(mould[..., 3:], 1.0))


def _shrink(image: Array) -> npt.NDArray[np.uint8]:
    """From premultiplied and oversampled to straight alpha at the wanted scale."""
    size = (image.shape[1] // _OVERSAMPLING, image.shape[0] // _OVERSAMPLING)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _cut(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns = np.flatnonzero((image[..., 3] > 127).any(axis=1)), np.flatnonzero((image[..., 3] > 127).any(axis=0))
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
