"""The skin of a fruit: what colour, shine and relief each visible point has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simulator.body import View, basis, normals, radius_mm, spread_over_surface, surface_points, turned, widest_mm
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
_TONES = 2048
"""Steps of local ripeness: colours differ by less than a grey level from one to the next."""

_CRIMSON_SHIFT = np.array([-4, -8, 14], np.float32)
_ORANGE_SHIFT = np.array([6, 20, -4], np.float32)
_YELLOW_SHIFT = np.array([32, 22, -26], np.float32)


@dataclass(slots=True)
class Skin:
    """Rows as in the view: `colour` `[n, 3]` 0..255, `gloss` 0..1, `fuzz` 0..1."""

    colour: Array
    gloss: Array
    fuzz: Array


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The whole skin, row-major: the first of `columns` in a row lies at the angle 0 around the axis.

    `table` `[rows * columns, 8]` float32 holds colour, gloss and fuzz, as a `Skin` has them, and the unit normal with
    the relief in it, in body coordinates.
    """

    table: Array
    columns: int

    def look_up(self, rows: npt.NDArray[np.intp], around_rad: npt.NDArray[np.float64]) -> tuple[Skin, Array]:
        """Skin and normals `[3, n]` at the places of the table that are closest, `[n]` each."""
        column = np.round(around_rad * (self.columns / (2 * math.pi))).astype(np.intp) % self.columns
        found = self.table.take(rows * self.columns + column, axis=0)
        return Skin(found[:, :3], found[:, 3], found[:, 4]), found[:, 5:].T


def paint(fruit: Fruit, view: View) -> tuple[Skin, Array]:
    """Colour the visible surface of a fruit; see `paint_points`."""
    return paint_points(fruit, view.points, *_draw_achenes(fruit, view))


def paint_points(fruit: Fruit, points: Array, seeds: Array, dimples: Array) -> tuple[Skin, Array]:
    """Colour points of a fruit's surface.

    Args:
        fruit: Whose skin it is.
        points: `[n, 3]` float32 in body coordinates, mm.
        seeds: `[n]` float32 0..1, cover of the achenes.
        dimples: `[n]` float32 0..1, depth of the dimples that they lie in.

    Returns:
        The skin, and its relief: `[n]` float32 mm, how far it stands off the body.
    """
    rng = np.random.default_rng(fruit.texture_seed)
    size_mm = fruit.shape.diameter_mm
    blots = solid_noise(points, wavelength=0.6 * size_mm, rng=rng)
    grain = solid_noise(points, wavelength=0.12 * size_mm, rng=rng)
    local = _local_ripeness(fruit, points, blots + 0.5 * grain)
    tones = _tones(fruit)[np.round(local * _TONES).astype(np.int32)]
    colour = tones[:, :3] * (1 - 0.26 * dimples)[:, None]
    colour += seeds[:, None] * (tones[:, 3:6] - colour)
    skin = Skin(
        colour=colour,
        gloss=np.ascontiguousarray(tones[:, 6]),
        fuzz=np.zeros(len(points), np.float32),
    )
    relief_mm = (-0.75 * fruit.achenes.dimple_depth * dimples + 0.25 * seeds).astype(np.float32)
    for number, defect in enumerate(fruit.defects):
        # Each has its own stream, so that how much of one shows does not change the next.
        _spoil(skin, relief_mm, fruit, defect, points, np.random.default_rng([fruit.texture_seed, number]))
    return skin, relief_mm


def _tones(fruit: Fruit) -> Array:
    """What depends on local ripeness alone, `[n, 7]`, `_TONES` rows a unit: colours of skin and seeds, and gloss."""
    local = np.arange(math.ceil(_RIPENESS_STOPS[-1] * _TONES) + 1, dtype=np.float32) / _TONES
    gloss = fruit.colouring.gloss * np.interp(local, [0.1, 0.8], [0.45, 1.0])
    tones = np.concatenate([_skin_colour(fruit, local), _achene_colour(fruit, local), gloss[:, None]], axis=1)
    return np.asarray(tones, np.float32)


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
    seeds, dimples = draw_ellipses(fruit, view.shape, centres, along, across, view.px_per_mm)
    return view.pick(seeds), view.pick(dimples)


def paint_around(fruit: Fruit, *, px_per_mm: float) -> Unrolled:
    """Colour the whole surface of a fruit, unrolled: rows along the axis as a view from the side has them."""
    shape = fruit.shape
    rows = 2 * math.ceil(shape.length_mm / 2 * px_per_mm)
    columns = math.ceil(2 * math.pi * widest_mm(shape) * px_per_mm)
    axial = ((np.arange(rows) + 0.5 - rows / 2) / (px_per_mm * shape.length_mm / 2)).clip(-1, 1).astype(np.float32)
    around = (np.arange(columns) * (2 * math.pi / columns)).astype(np.float32)
    points = surface_points(shape, *np.broadcast_arrays(axial[:, None], around)).reshape(-1, 3)
    seeds_axial, seeds_around = spread_over_surface(shape, fruit.achenes.count)
    radius = radius_mm(shape, seeds_axial, np.cos(seeds_around), np.sin(seeds_around))
    # Of a millimetre on the skin, how much leads along the axis.
    ahead = radius_mm(shape, np.minimum(seeds_axial + 0.02, 0.999), np.cos(seeds_around), np.sin(seeds_around)) - radius
    level = 1 / np.hypot(1, ahead / (0.02 * shape.length_mm / 2))
    # Room on both sides for what reaches over the seam, drawn on either.
    room = columns // 4
    x = room + 0.5 + seeds_around * (columns / (2 * math.pi))
    centres = np.stack([np.tile(x, 3), np.tile(rows / 2 + seeds_axial * (shape.length_mm / 2 * px_per_mm), 3)], axis=1)
    centres[:, 0] += np.repeat([-columns, 0, columns], len(x))
    none = np.zeros_like(level)
    along = np.tile(np.stack([none, level * px_per_mm], axis=1), (3, 1))
    across = np.tile(np.stack([columns / (2 * math.pi * radius), none], axis=1), (3, 1))
    drawn = draw_ellipses(fruit, (rows, columns + 2 * room), centres, along, across, px_per_mm)
    seeds, dimples = (part[:, room:-room].reshape(-1) for part in drawn)
    skin, relief_mm = paint_points(fruit, np.asfortranarray(points), seeds, dimples)
    # The relief leans the normals along the axis and around it, where a column is wide as the body is there.
    relief = cv2.copyMakeBorder(relief_mm.reshape(rows, columns), 0, 0, 1, 1, cv2.BORDER_WRAP)
    lean_along = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=px_per_mm / 8)[:, 1:-1].reshape(-1)
    lean_around = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=columns / (16 * math.pi))[:, 1:-1].reshape(-1)
    lean_around = lean_around / np.maximum(np.hypot(points[:, 1], points[:, 2]), np.float32(1))
    cosine, sine = np.cos(around), np.sin(around)
    facing = normals(shape, points.T)
    facing[0] -= lean_along
    facing[1] += lean_around * np.tile(sine, rows)
    facing[2] -= lean_around * np.tile(cosine, rows)
    facing /= np.sqrt((facing**2).sum(axis=0))
    return Unrolled(np.column_stack([skin.colour, skin.gloss, skin.fuzz, facing.T]), columns)


def draw_ellipses(
    fruit: Fruit, shape: tuple[int, ...], centres: Array, along: Array, across: Array, px_per_mm: float
) -> tuple[Array, Array]:
    """Seeds and soft dimples, each `[height, width]` float32 0..1.

    Args:
        fruit: Whose they are.
        shape: Height and width.
        centres: `[n, 2]` (x, y) in pixels.
        along: `[n, 2]`, how many pixels a millimetre towards the tip is.
        across: `[n, 2]`, how many pixels a millimetre around the axis is.
        px_per_mm: For the softness of the dimples.
    """
    length_mm = fruit.achenes.length_mm / 2
    seeds = _ellipses(shape, centres, along * length_mm, across * length_mm * 0.62)
    pitch_mm = math.sqrt(math.pi * fruit.shape.diameter_mm * fruit.shape.length_mm * 0.85 / fruit.achenes.count)
    dimples = _ellipses(shape, centres, along * pitch_mm * 0.4, across * pitch_mm * 0.34)
    return seeds, np.asarray(
        cv2.GaussianBlur(dimples, (0, 0), sigmaX=max(0.3, 0.16 * pitch_mm * px_per_mm)), np.float32
    )


def _ellipses(shape: tuple[int, ...], centres: Array, half_u: Array, half_v: Array) -> Array:
    """Filled ellipses given by centre and two half axes in pixels, `[height, width]` float32 0..1."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False, dtype=np.float32)
    outline = (
        centres[:, None] + np.cos(turn)[None, :, None] * half_u[:, None] + np.sin(turn)[None, :, None] * half_v[:, None]
    )
    canvas = np.zeros(shape, np.uint8)
    for polygon in np.round((outline - 0.5) * 16).astype(np.int32):
        cv2.fillConvexPoly(canvas, polygon, (255,), lineType=cv2.LINE_AA, shift=4)
    return canvas.astype(np.float32) / np.float32(255)


def _spoil(skin: Skin, relief_mm: Array, fruit: Fruit, defect: Defect, points: Array, rng: np.random.Generator) -> None:
    """Lay one defect over a skin and its relief, in place."""
    centre = surface_points(
        fruit.shape, np.array([defect.axial], np.float32), np.array([defect.around_rad], np.float32)
    )[0]
    scale = np.array([fruit.shape.length_mm, fruit.shape.diameter_mm, fruit.shape.diameter_mm], np.float32) / 2
    cosine = turned(_unit((centre / scale)[None]), _unit(points / scale).T)[0]
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
        relief_mm *= 1 - 0.75 * cover
        relief_mm += cover * (0.5 + 0.05 * fine + 0.04 * hairs)
        skin.fuzz = np.maximum(skin.fuzz, cover)
    elif defect.kind == "rot":
        cover = _ramp(depth, -0.06, 0.12)
        brown = np.array([124, 70, 36], np.float32) + tint * np.array([34, 28, 18], np.float32)
        ring = 1 - 0.4 * _ramp(depth, 0.25 * defect.radius_rad, 0.8 * defect.radius_rad) + 0.08 * edge + 0.05 * fine
        _blend(skin, _ramp(depth, -0.3, 0.05) * 0.45, np.array([148, 66, 44], np.float32)[None], gloss=0.8)
        _blend(skin, cover * 0.9, brown[None] * ring[:, None], gloss=0.35)
        relief_mm -= 1.2 * _ramp(depth, -0.05, 0.4)
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
