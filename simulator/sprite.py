"""A fruit as a picture with transparency: drawn once, then composited wherever the fruit is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, look_at, silhouette
from simulator.calyx import Crown, calyx_reach_mm, draw_crown, grow_crown
from simulator.fruit import Fruit
from simulator.light import Light
from simulator.noise import Array
from simulator.paint import Skin, paint

OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """The box around all of a fruit: its width and height, and how far right and down of the anchor its middle lies."""

    size_px: tuple[int, int]
    offset_px: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a fruit covers, `mask` `[height, width]`, cut to the box around it, and its anchor there (see `Sprite`)."""

    mask: npt.NDArray[np.bool_]
    anchor_px: tuple[float, float]

    @property
    def extent(self) -> Extent:
        """The box around all of it."""
        height, width = self.mask.shape
        return Extent((width, height), (width / 2 - self.anchor_px[0], height / 2 - self.anchor_px[1]))


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture of a fruit and where it is held.

    `image`: `[height, width, 4]` uint8 RGBA, straight alpha, cut to the box around all of the fruit, stem and sepals
    included. `anchor_px` (x, y) is the middle of the body's own box in it: where a fruit is, is where its body is, and
    the body is what an ejector must hit.
    """

    image: npt.NDArray[np.uint8]
    anchor_px: tuple[float, float]

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def outline(self) -> Outline:
        """What it covers."""
        return Outline(self.image[..., 3] > 127, self.anchor_px)

    def by_its_box(self) -> Sprite:
        """The same, held by the middle of the whole box."""
        width, height = self.size_px
        return replace(self, anchor_px=(width / 2, height / 2))


def draw_sprite(fruit: Fruit, *, px_per_mm: float, light: Light | None = None) -> Sprite:
    """Draw a fruit as it lies, seen from above."""
    view = look_at(fruit.shape, fruit.pose, px_per_mm=px_per_mm * OVERSAMPLING, margin_mm=calyx_reach_mm(fruit))
    skin, relief_mm = paint(fruit, view)
    return put_together(fruit, _roughened(view, relief_mm), skin, grow_crown(fruit), light or Light())


def draw_outline(fruit: Fruit, *, px_per_mm: float) -> Outline:
    """The outline of what `draw_sprite` draws, as a rule without painting it."""
    if any(defect.kind == "mould" for defect in fruit.defects):
        return draw_sprite(fruit, px_per_mm=px_per_mm).outline  # hairs stand out from it
    margin_mm = calyx_reach_mm(fruit)
    view = silhouette(fruit.shape, fruit.pose, px_per_mm=px_per_mm * OVERSAMPLING, margin_mm=margin_mm)
    crown, cover = grow_crown(fruit), view.pixels.astype(np.uint8)
    behind, front = draw_crown(crown, fruit, view, Light()) if crown else ([], [])
    for stroke in behind + front:
        replace(stroke, rgba=(1.0, 0.0, 0.0, 0.0)).draw(cover)
    # At the wanted scale a pixel is covered where half of it is.
    height, width = (side // OVERSAMPLING for side in view.shape)
    mask = cover.reshape(height, OVERSAMPLING, width, OVERSAMPLING).sum(axis=(1, 3)) * 2 >= OVERSAMPLING**2
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    across, down = _middle(view)
    return Outline(mask[y : y + height, x : x + width], (across - x, down - y))


def put_together(fruit: Fruit, view: View, skin: Skin, crown: Crown | None, light: Light) -> Sprite:
    """Body, mould and calyx in one picture, from a view that is `OVERSAMPLING` times too large.

    Its normals have the skin's relief in them; its points are not asked for.
    """
    behind, front = draw_crown(crown, fruit, view, light) if crown else ([], [])
    body = np.full((len(view.places), 4), 255, np.float32)
    np.clip(_shade(view.normals, skin, light), 0, 255, out=body[:, :3])
    if front:
        # Front sepals throw a soft shadow on the shoulder that lifts them off it.
        cover = np.zeros(view.shape, np.uint8)
        for stroke in front:
            replace(stroke, rgba=(255.0, 0.0, 0.0, 0.0)).draw(cover)
        shadow = view.pick(cv2.GaussianBlur(cover, (0, 0), max(1.0, 0.5 * view.px_per_mm)))
        body[:, :3] *= (1 - np.float32(0.45 / 255) * shadow)[:, None]
    picture = np.zeros((*view.shape, 4), np.float32)
    for stroke in behind:
        stroke.draw(picture)
    if skin.fuzz.any():
        _grow_hairs(picture, body, view, skin, np.random.default_rng(fruit.texture_seed + 1))
    picture.reshape(-1, 4)[view.places] = body
    for stroke in front:
        stroke.draw(picture)
    return _cut(_shrink(picture), _middle(view))


def _roughened(view: View, relief_mm: Array) -> View:
    """The same with the relief of its skin, `[n]`, in its normals."""
    relief = view.spread(relief_mm)
    x, y, z = view.normals.T
    x = x - view.pick(cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=view.px_per_mm / 8))
    y = y - view.pick(cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=view.px_per_mm / 8))
    return replace(view, normals=(np.stack([x, y, z]) / np.sqrt(x * x + y * y + z * z)).T)


def _shade(normals: Array, skin: Skin, light: Light) -> Array:
    """Diffuse light with soft shadow, a little light through the flesh, and highlights (Blinn 1977)."""
    direction = np.array(light.direction, np.float32)
    direction /= np.linalg.norm(direction)
    halfway = direction + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    x, y, z = normals.T
    wrap = 0.25
    towards = direction[0] * x + direction[1] * y + direction[2] * z
    diffuse = np.clip((towards + wrap) / (1 + wrap), 0, 1)
    sky = 0.55 + 0.45 * z
    facing = np.clip(halfway[0] * x + halfway[1] * y + halfway[2] * z, 0, 1)
    wide = facing ** np.float32(light.sharpness / 5)
    wide_2 = wide * wide
    shine = 185 * skin.gloss * (0.75 * wide_2 * wide_2 * wide + 0.16 * wide)
    lit = light.ambient * sky + (1.12 - light.ambient) * diffuse
    return np.asarray(skin.colour * lit[:, None] + shine[:, None], np.float32)


def _grow_hairs(picture: Array, body: Array, view: View, skin: Skin, rng: np.random.Generator) -> None:
    """Mould blurs the outline that it covers: a torn halo of its own colour, premultiplied."""
    reach_px = max(0.8, 0.35 * view.px_per_mm)
    fuzz = view.spread(skin.fuzz)
    x, y, width, height = cv2.boundingRect((fuzz > 0).astype(np.uint8))
    room = math.ceil(4 * reach_px)
    part = np.s_[max(0, y - room) : y + height + room, max(0, x - room) : x + width + room]
    fuzz = fuzz[part]
    spread = cv2.GaussianBlur(fuzz, (0, 0), reach_px)
    torn = spread * (0.9 + 0.5 * rng.standard_normal(spread.shape, dtype=np.float32))
    halo = np.clip(torn, 0, 1) * ~view.pixels[part]
    mould = cv2.GaussianBlur(view.spread(body * (skin.fuzz > 0.3)[:, None])[part], (0, 0), reach_px)
    picture[part] *= 1 - halo[..., None]
    picture[part] += mould * (255 * halo / np.maximum(mould[..., 3], 1.0))[..., None]


def _shrink(image: Array) -> npt.NDArray[np.uint8]:
    """From premultiplied and oversampled to straight alpha at the wanted scale."""
    size = (image.shape[1] // OVERSAMPLING, image.shape[0] // OVERSAMPLING)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    flat = small.reshape(-1, 4)
    edge = np.flatnonzero((flat[:, 3] > 0) & (flat[:, 3] < 255))
    flat[edge, :3] *= 255 / np.maximum(flat[edge, 3:], 1)
    return cv2.convertScaleAbs(small)  # type: ignore[return-value]


def _middle(view: View) -> tuple[float, float]:
    """The middle of the body's box in the picture at the wanted scale."""
    rows, columns = np.divmod(view.places, view.shape[1])
    across, down = (int(at.min()) + int(at.max()) + 1 for at in (columns, rows))
    return across / 2 / OVERSAMPLING, down / 2 / OVERSAMPLING


def _cut(image: npt.NDArray[np.uint8], anchor_px: tuple[float, float]) -> Sprite:
    x, y, width, height = cv2.boundingRect((image[..., 3] > 127).astype(np.uint8))
    return Sprite(np.ascontiguousarray(image[y : y + height, x : x + width]), (anchor_px[0] - x, anchor_px[1] - y))
