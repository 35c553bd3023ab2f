"""What happens to light between a fruit and a pixel: shadow, motion blur, noise and compositing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image
from simulator.belt import motion_kernel
from simulator.light import Light
from simulator.noise import Array
from simulator.sprite import Sprite


@dataclass(frozen=True, slots=True)
class Layer:
    """A fruit with its shadow, ready to lay on the belt.

    `colour` is premultiplied, `[h, w, 3]` float32 0..255; `cover` `[h, w, 1]` float32 0..1 is what hides the belt;
    `centre_px` is where the sprite's anchor lies in the layer (x, y).
    """

    colour: Array
    cover: Array
    centre_px: tuple[float, float]


def make_layer(sprite: Sprite, *, px_per_mm: float, light: Light, blur_px: float = 0.0, focus_px: float = 0.0) -> Layer:
    """Give a sprite its shadow and blur.

    Args:
        sprite: The fruit.
        px_per_mm: Scale, for the reach of the shadow.
        light: The lamp; the shadow falls away from it.
        blur_px: Distance that the belt moves in x during an exposure.
        focus_px: Standard deviation of the lens's blur.
    """
    reach_px = 5 * px_per_mm
    pad = int(np.ceil(2.5 * reach_px + blur_px / 2 + 3 * focus_px)) + 2
    image = cv2.copyMakeBorder(sprite.image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    alpha = image[..., 3].astype(np.float32) / 255
    away_px = (-light.direction[0] * reach_px, -light.direction[1] * reach_px)
    thrown = cv2.GaussianBlur(moved(alpha, *away_px, size_px=alpha.shape[::-1]), (0, 0), 0.45 * reach_px)
    contact = cv2.GaussianBlur(alpha, (0, 0), 0.22 * reach_px)
    shadow = np.minimum(0.42 * thrown + 0.45 * contact, 0.8)
    colour = image[..., :3].astype(np.float32) * alpha[..., None]
    cover = alpha + (1 - alpha) * shadow
    if focus_px > 0:
        colour, cover = (cv2.GaussianBlur(part, (0, 0), focus_px) for part in (colour, cover))
    if blur_px > 0:
        kernel = motion_kernel(blur_px)
        colour, cover = (cv2.filter2D(part, -1, kernel) for part in (colour, cover))
    return Layer(colour, cover[..., None], (pad + sprite.anchor_px[0], pad + sprite.anchor_px[1]))


def lay(picture: Image, layer: Layer, centre_px: tuple[float, float]) -> None:
    """Composite a layer in place, its centre at a place given to a fraction of a pixel; off-picture parts are cut."""
    left, top = centre_px[0] - layer.centre_px[0], centre_px[1] - layer.centre_px[1]
    whole_x, whole_y = int(np.floor(left)), int(np.floor(top))
    height, width = layer.cover.shape[:2]
    x0, y0 = max(whole_x, 0), max(whole_y, 0)
    x1, y1 = min(whole_x + width + 1, picture.shape[1]), min(whole_y + height + 1, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    shift, size_px = (left - x0, top - y0), (x1 - x0, y1 - y0)
    colour = moved(layer.colour, *shift, size_px=size_px)
    cover = moved(layer.cover, *shift, size_px=size_px)
    patch = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = patch * (1 - cover) + colour


class SensorNoise:
    """Gaussian noise from a fixed stock, so that a frame costs two additions and depends on its index alone."""

    def __init__(self, height_px: int, width_px: int, *, sigma: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 0x5E50])
        self._spare_px = 64
        shape = (height_px + self._spare_px, width_px + self._spare_px, 3)
        values = np.round(rng.normal(0, sigma, size=shape))
        self._brighter = np.maximum(values, 0).astype(np.uint8)
        self._darker = np.maximum(-values, 0).astype(np.uint8)
        self._seed = seed

    def add_to(self, picture: Image, index: int) -> Image:
        """The picture as the sensor delivers it at that frame."""
        rng = np.random.default_rng([self._seed, 0x5E51, index])
        y, x = (int(v) for v in rng.integers(self._spare_px, size=2))
        window = (slice(y, y + picture.shape[0]), slice(x, x + picture.shape[1]))
        brighter: npt.NDArray[np.uint8] = self._brighter[window]
        darker: npt.NDArray[np.uint8] = self._darker[window]
        return cv2.subtract(cv2.add(picture, brighter), darker)  # type: ignore[return-value]


def moved(picture: Array, x_px: float, y_px: float, *, size_px: tuple[int, ...]) -> Array:
    """A picture moved right and down by a fraction of pixels, bilinearly, on a dark canvas.

    `cv2.warpAffine` would do, but rounds the fraction differently from version to version.

    Args:
        picture: `[h, w]` or `[h, w, c]` float32.
        x_px: How far right.
        y_px: How far down.
        size_px: Width and height of the canvas.
    """
    whole_x, whole_y = int(np.floor(x_px)), int(np.floor(y_px))
    width, height = size_px
    canvas = np.zeros((height, width, *picture.shape[2:]), np.float32)
    x0, y0 = max(0, whole_x), max(0, whole_y)
    x1, y1 = min(width, whole_x + picture.shape[1]), min(height, whole_y + picture.shape[0])
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = picture[y0 - whole_y : y1 - whole_y, x0 - whole_x : x1 - whole_x]
    along, down = (np.array([fraction, 1 - fraction], np.float32) for fraction in (x_px - whole_x, y_px - whole_y))
    mixed = cv2.sepFilter2D(canvas, -1, along, down, anchor=(1, 1), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(mixed, np.float32).reshape(canvas.shape)
