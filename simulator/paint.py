"""The skin of a fruit: what colour, relief and shine each visible point has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, spread_over_surface, surface_points
from simulator.fruit import RIPE_FROM, TURNING_FROM, Defect, Fruit
from simulator.noise import Array, solid_noise

# Skin colours (RGB) by local ripeness: leaf green, green, pale green, cream, blush, orange-red, red, deep red.
_RIPENESS_STOPS = np.array([0.0, 0.15, 0.3, 0.42, 0.5, 0.58, 0.67, 0.85, 1.05], np.float32)
_SKIN = np.array(
    [
        [108, 138, 52],
        [150, 170, 74],
        [188, 198, 112],
        [220, 214, 150],
        [236, 184, 126],
        [232, 112, 66],
        [216, 52, 40],
        [200, 26, 34],
        [146, 10, 26],
    ],
    np.float32,
)
_CRIMSON_SHIFT = np.array([-4, -8, 14], np.float32)
_ORANGE_SHIFT = np.array([6, 20, -4], np.float32)
_YELLOW_SHIFT = np.array([32, 22, -26], np.float32)


@dataclass(slots=True)
class Skin:
    """Rows as in the view: `colour` `[n, 3]` 0..255, `height_mm` relief, `gloss` 0..1, `fuzz` 0..1."""

    colour: Array
    height_mm: Array
    gloss: Array
    fuzz: Array


def paint(fruit: Fruit, view: View) -> Skin:
    """Colour the visible surface of a fruit."""
    rng = np.random.default_rng(fruit.texture_seed)
    points = view.points
    size_mm = fruit.shape.diameter_mm
    blots = solid_noise(points, wavelength=0.6 * size_mm, rng=rng)
    grain = solid_noise(points, wavelength=0.12 * size_mm, rng=rng)
    local = _local_ripeness(fruit, points, blots + 0.5 * grain)
    colour = _skin_colour(fruit, local)
    seeds, dimples = _draw_achenes(fruit, view)
    colour *= (1 - 0.26 * dimples)[:, None]
    colour += seeds[:, None] * (_achene_colour(fruit, local) - colour)
    skin = Skin(
        colour=colour,
        height_mm=(-0.75 * fruit.achenes.dimple_depth * dimples + 0.25 * seeds).astype(np.float32),
        gloss=np.full(len(points), fruit.colouring.gloss, np.float32) * np.interp(local, [0.1, 0.8], [0.45, 1.0]),
        fuzz=np.zeros(len(points), np.float32),
    )
    for number, defect in enumerate(fruit.defects):
        # Each has its own stream, so that how much of one shows does not change the next.
        _spoil(skin, fruit, defect, points, np.random.default_rng([fruit.texture_seed, number]))
    return skin


def _local_ripeness(fruit: Fruit, points: Array, noise: Array) -> Array:
    """Tip and sunny side ripen first; the spread is widest half way and vanishes at both ends."""
    colouring = fruit.colouring
    axial = points[:, 0] / (fruit.shape.length_mm / 2)
    around = np.arctan2(points[:, 2], points[:, 1])
    lead = (
        colouring.tip_lead * axial
        + colouring.sun_lead * np.cos(around - colouring.sun_phase_rad)
        + colouring.mottle * noise
    )
    spread = 0.12 + 0.88 * 4 * fruit.ripeness * (1 - fruit.ripeness)
    local = np.clip(fruit.ripeness + 0.85 * spread * lead, 0.0, 1.05)
    # No unripe fruit has a red tip, no ripe one a green shoulder: beyond a blush the lead is held back.
    if fruit.ripeness < TURNING_FROM:
        return np.asarray(np.where(local > 0.4, 0.4 + 0.2 * (local - 0.4), local), np.float32)
    if fruit.ripeness >= RIPE_FROM:
        return np.asarray(np.where(local < 0.62, 0.62 - 0.3 * (0.62 - local), local), np.float32)
    return np.asarray(local, np.float32)


def _skin_colour(fruit: Fruit, local: Array) -> Array:
    colour = np.stack([np.interp(local, _RIPENESS_STOPS, _SKIN[:, c]) for c in range(3)], axis=1).astype(np.float32)
    crimson = fruit.colouring.crimson
    redness = np.interp(local, [0.48, 0.68], [0.0, 1.0]).astype(np.float32)[:, None]
    colour += redness * (crimson * _CRIMSON_SHIFT + (1 - crimson) * _ORANGE_SHIFT)
    colour += (1 - redness) * fruit.colouring.yellow * _YELLOW_SHIFT
    return np.asarray(colour * fruit.colouring.lightness, np.float32)


def _achene_colour(fruit: Fruit, local: Array) -> Array:
    green = np.array([142, 118, 56], np.float32)
    brown = np.array([150, 70, 34], np.float32)
    yellow = np.array([226, 182, 86], np.float32)
    ripe = brown + fruit.achenes.paleness * (yellow - brown)
    share = np.interp(local, [0.3, 0.7], [0.0, 1.0]).astype(np.float32)[:, None]
    return np.asarray(green + share * (ripe - green), np.float32)


def _draw_achenes(fruit: Fruit, view: View) -> tuple[Array, Array]:
    """Cover of seeds and depth of their dimples, 0..1 a visible point."""
    axial, around = spread_over_surface(fruit.shape, fruit.achenes.count)
    places = surface_points(fruit.shape, axial, around)
    ahead = surface_points(fruit.shape, np.minimum(axial + 0.02, 0.999), around) - places
    beside = surface_points(fruit.shape, axial, around + 0.02) - places
    outward = np.cross(ahead, beside)
    axes = basis(fruit.pose)
    along, across, normal = (
        _unit(v @ axes.T) for v in (ahead, beside, outward * np.sign((outward * places).sum(1, keepdims=True)))
    )
    seen = normal[:, 2] > 0.08
    centres = view.to_px(places @ axes.T)[seen]
    along, across = along[seen, :2] * view.px_per_mm, across[seen, :2] * view.px_per_mm
    length_mm = fruit.achenes.length_mm / 2
    seeds = _ellipses(view.pixels.shape, centres, along * length_mm, across * length_mm * 0.62)
    pitch_mm = math.sqrt(math.pi * fruit.shape.diameter_mm * fruit.shape.length_mm * 0.85 / fruit.achenes.count)
    dimples = _ellipses(view.pixels.shape, centres, along * pitch_mm * 0.4, across * pitch_mm * 0.34)
    soft = cv2.GaussianBlur(dimples, (0, 0), sigmaX=max(0.3, 0.16 * pitch_mm * view.px_per_mm))
    return seeds[view.pixels], np.asarray(soft[view.pixels], np.float32)


def _ellipses(shape: tuple[int, ...], centres: Array, half_u: Array, half_v: Array) -> Array:
    """Filled ellipses given by centre and two half axes in pixels, `[height, width]` float32 0..1."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False, dtype=np.float32)
    outline = (
        centres[:, None] + np.cos(turn)[None, :, None] * half_u[:, None] + np.sin(turn)[None, :, None] * half_v[:, None]
    )
    canvas = np.zeros(shape, np.uint8)
    for polygon in np.round((outline - 0.5) * 16).astype(np.int32):
        cv2.fillConvexPoly(canvas, polygon, (255,), lineType=cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / 255


def _spoil(skin: Skin, fruit: Fruit, defect: Defect, points: Array, rng: np.random.Generator) -> None:
    """Lay one defect over the skin."""
    centre = surface_points(
        fruit.shape, np.array([defect.axial], np.float32), np.array([defect.around_rad], np.float32)
    )[0]
    scale = np.array([fruit.shape.length_mm, fruit.shape.diameter_mm, fruit.shape.diameter_mm], np.float32) / 2
    cosine = _unit(points / scale) @ _unit((centre / scale)[None])[0]
    edge = solid_noise(points, wavelength=0.25 * fruit.shape.diameter_mm, rng=rng)
    depth = defect.radius_rad - np.arccos(np.clip(cosine, -1, 1)) + 0.1 * edge * min(1.0, 2 * defect.radius_rad)
    fine = solid_noise(points, wavelength=0.045 * fruit.shape.diameter_mm, rng=rng, waves=24)
    tint = float(rng.uniform(-1, 1))
    if defect.kind == "mould":
        hairs = rng.standard_normal(len(points), dtype=np.float32)
        cover = _ramp(depth, -0.05, 0.28) * np.clip(0.92 + 0.2 * edge + 0.12 * fine, 0, 1)
        tone = np.array([158, 152, 138], np.float32) * (0.91 + 0.29 * tint)
        texture = 1 + 0.09 * fine + 0.12 * hairs + 0.08 * edge
        _blend(skin, _ramp(depth, -0.35, 0.1) * 0.6, np.array([112, 62, 40], np.float32)[None], gloss=0.3)
        _blend(skin, cover, tone[None] * texture[:, None] * (0.82 + 0.18 * skin.colour / 255), gloss=0.0)
        skin.height_mm *= 1 - 0.75 * cover
        skin.height_mm += cover * (0.5 + 0.05 * fine + 0.04 * hairs)
        skin.fuzz = np.maximum(skin.fuzz, cover)
    elif defect.kind == "rot":
        cover = _ramp(depth, -0.06, 0.12)
        brown = np.array([124, 70, 36], np.float32) + tint * np.array([34, 28, 18], np.float32)
        ring = 1 - 0.4 * _ramp(depth, 0.25 * defect.radius_rad, 0.8 * defect.radius_rad) + 0.08 * edge + 0.05 * fine
        _blend(skin, _ramp(depth, -0.3, 0.05) * 0.45, np.array([148, 66, 44], np.float32)[None], gloss=0.8)
        _blend(skin, cover * 0.9, brown[None] * ring[:, None], gloss=0.35)
        skin.height_mm -= 1.2 * _ramp(depth, -0.05, 0.4)
    else:
        cover = _ramp(depth, -0.1, 0.15) * 0.5
        _blend(skin, cover, skin.colour * np.array([0.62, 0.5, 0.5], np.float32), gloss=1.0)


def _blend(skin: Skin, cover: Array, colour: Array, *, gloss: float) -> None:
    skin.colour += cover[:, None] * (colour - skin.colour)
    skin.gloss += cover * (skin.gloss * gloss - skin.gloss)


def _ramp(value: Array, low: float, high: float) -> Array:
    """Smooth step from 0 at `low` to 1 at `high`."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _unit(vectors: npt.NDArray[np.float32]) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9), np.float32)
