"""A fruit as a picture with transparency: drawn once, then composited wherever the fruit is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, look_at, surface_points
from simulator.fruit import Fruit
from simulator.noise import Array
from simulator.paint import Skin, paint

_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Light:
    """Where the lamp stands, as a direction in picture coordinates (z towards the camera), and how diffuse it is.

    `ambient` is the share of light that comes from everywhere; `sharpness` is the Blinn-Phong exponent of highlights.
    """

    direction: tuple[float, float, float] = (-0.35, -0.45, 0.82)
    ambient: float = 0.45
    sharpness: float = 28.0


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
    view = look_at(fruit.shape, fruit.pose, px_per_mm=scale, margin_mm=_calyx_reach_mm(fruit))
    skin = paint(fruit, view)
    body = np.zeros((*view.pixels.shape, 4), np.float32)
    body[view.pixels, :3] = np.clip(_shade(view, skin, light), 0, 255)
    body[view.pixels, 3] = 255
    if skin.fuzz.any():
        _grow_hairs(body, view, skin, np.random.default_rng(fruit.texture_seed + 1))
    behind, front = _draw_calyx(fruit, view, light)
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


def _calyx_reach_mm(fruit: Fruit) -> float:
    """How far sepals and stem may stand out beyond a circle around the body."""
    half_length, radius = fruit.shape.length_mm / 2, fruit.shape.diameter_mm / 2
    return max(0.45 * radius, half_length + fruit.calyx.stem_mm - math.hypot(half_length, radius)) + 1


def _draw_calyx(fruit: Fruit, view: View, light: Light) -> tuple[Array, Array]:
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
        ends = (stem @ axes.T)[:, :2] * view.px_per_mm + view.centre_px
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
        to_px = lambda p: p[:, :2] * view.px_per_mm + view.centre_px  # noqa: E731
        half = len(outline) // 2
        _fill(layer, to_px(outline), tone * lit)
        side = np.concatenate([outline[:half], middle[::-1]])
        _fill(layer, to_px(side), tone * lit * 0.86)
        vein = np.round((to_px(middle) - 0.5) * 16).astype(np.int32)
        light_vein = [float(v) for v in np.clip(tone * lit * 1.18, 0, 255)] + [255.0]
        cv2.polylines(layer, [vein], False, light_vein, max(1, round(0.25 * view.px_per_mm)), cv2.LINE_8, 4)
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
    polygon = np.round((outline_px - 0.5) * 16).astype(np.int32)
    red, green, blue = (float(v) for v in np.clip(colour, 0, 255))
    cv2.fillPoly(layer, [polygon], (red, green, blue, 255.0), lineType=cv2.LINE_8, shift=4)


def _shrink(image: Array) -> npt.NDArray[np.uint8]:
    """From premultiplied and oversampled to straight alpha at the wanted scale."""
    size = (image.shape[1] // _OVERSAMPLING, image.shape[0] // _OVERSAMPLING)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _cut(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns = np.flatnonzero((image[..., 3] > 127).any(axis=1)), np.flatnonzero((image[..., 3] > 127).any(axis=0))
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
