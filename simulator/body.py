"""The solid under the paint: where each pixel of a view meets a fruit's surface, and how the surface lies there.

Body coordinates are (axial, side, side) in millimetres with the tip at +axial; picture coordinates are x right, y down
and z towards the camera. The view is orthographic: at a line's working distance a fruit of 4 cm shows no perspective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from simulator.fruit import Pose, Shape

Array = npt.NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)

_CLOSE_MM = 0.02


@dataclass(frozen=True, slots=True)
class View:
    """The visible surface, one row a pixel that shows the body.

    `shape` is (height, width) of the picture, `places` `[n]` are the pixels, counted along its rows; `points` and
    `normals` are `[n, 3]` float32, the points in body coordinates (mm), the normals in picture coordinates.
    """

    shape: tuple[int, int]
    places: npt.NDArray[np.intp]
    points: Array
    normals: Array
    px_per_mm: float

    @property
    def pixels(self) -> npt.NDArray[np.bool_]:
        """`[height, width]`: which pixels show the body."""
        return self.spread(np.ones(len(self.places), np.bool_))

    def spread(self, values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """`[n]` or `[n, c]` values as a picture, 0 beside the body."""
        flat = np.zeros((self.shape[0] * self.shape[1], *values.shape[1:]), values.dtype)
        flat[self.places] = values
        return flat.reshape(*self.shape, *values.shape[1:])

    def pick(self, picture: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """`[n]` values of a picture `[height, width]` where it shows the body."""
        return picture.reshape(-1).take(self.places)

    def to_px(self, points: Array) -> Array:
        """Places in the picture, `[..., 2]` (x, y), of `[..., 3]` points in picture coordinates (mm).

        The body's origin is in the middle of the picture.
        """
        height, width = self.shape
        return np.asarray(points[..., :2] * self.px_per_mm + np.array([width / 2, height / 2]), np.float32)


def basis(pose: Pose) -> Array:
    """`[3, 3]` float32 whose columns are the body's axes in picture coordinates."""
    cos_yaw, sin_yaw = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    cos_tilt, sin_tilt = math.cos(pose.tilt_rad), math.sin(pose.tilt_rad)
    axis = np.array([cos_yaw * cos_tilt, sin_yaw * cos_tilt, sin_tilt])
    side = np.array([-sin_yaw, cos_yaw, 0.0])
    up = np.array([-cos_yaw * sin_tilt, -sin_yaw * sin_tilt, cos_tilt])
    cos_roll, sin_roll = math.cos(pose.roll_rad), math.sin(pose.roll_rad)
    columns = [axis, cos_roll * side + sin_roll * up, cos_roll * up - sin_roll * side]
    return np.asarray(np.stack(columns, axis=1), np.float32)


def turned(axes: Array, vectors: Array) -> Array:
    """`axes` `[m, k]` times `vectors` `[k, n]`.

    `@` would wake every thread of the machine's linear algebra for a few microseconds' work, and they spin on after it.
    """
    return np.asarray(np.einsum("mk,kn->mn", axes, vectors), np.float32)


def radius_mm(shape: Shape, axial: Array, cosine: Array, sine: Array) -> Array:
    """Distance of the surface from the axis at `axial` (-1 stem end … 1 tip) and a direction around it."""
    return np.asarray(profile_mm(shape, axial) * section(shape, cosine, sine), np.float32)


def profile_mm(shape: Shape, axial: Array) -> Array:
    """The surface's mean distance from the axis at `axial`."""
    shoulder, tip = shape.shoulder_exponent, shape.tip_exponent
    widest = (shoulder - tip) / (shoulder + tip)
    peak = (1 + widest) ** shoulder * (1 - widest) ** tip
    inside = np.minimum(np.maximum(axial, -1 + 1e-6), 1 - 1e-6)
    profile = np.exp(shoulder * np.log(1 + inside) + tip * np.log(1 - inside))
    return np.asarray(shape.diameter_mm / 2 / peak * profile)


def section(shape: Shape, cosine: Array, sine: Array) -> Array:
    """The surface's distance from the axis in a direction around it, as a share of the mean."""
    cosine_2, sine_2 = 2 * cosine * cosine - 1, 2 * cosine * sine
    cosine_3, sine_3 = cosine * (2 * cosine_2 - 1), sine * (2 * cosine_2 + 1)
    oval_rad, tri_rad = 2 * shape.oval_phase_rad, 3 * shape.tri_phase_rad
    return np.asarray(
        1
        + shape.oval * (math.cos(oval_rad) * cosine_2 + math.sin(oval_rad) * sine_2)
        + shape.tri * (math.cos(tri_rad) * cosine_3 + math.sin(tri_rad) * sine_3)
    )


def surface_points(shape: Shape, axial: Array, around_rad: Array) -> Array:
    """Points of the surface in body coordinates, `[n, 3]` float32 mm."""
    cosine, sine = np.cos(around_rad), np.sin(around_rad)
    radius = radius_mm(shape, axial, cosine, sine)
    return np.stack([axial * np.float32(shape.length_mm / 2), radius * cosine, radius * sine], axis=-1)


def spread_over_surface(shape: Shape, count: int) -> tuple[Array, Array]:
    """Places spread evenly on golden-angle spirals, as achenes grow (Vogel 1979): `axial`, `around_rad`, `[count]`."""
    grid = np.linspace(-0.97, 0.985, 400, dtype=np.float32)
    radius = radius_mm(shape, grid, np.ones_like(grid), np.zeros_like(grid))
    slope = np.gradient(radius, grid * shape.length_mm / 2)
    area = np.cumsum(radius * np.sqrt(1 + slope**2))
    wanted = (np.arange(count, dtype=np.float32) + 0.5) / count * area[-1]
    axial = np.interp(wanted, area, grid).astype(np.float32)
    golden_rad = math.pi * (3 - math.sqrt(5))
    around = (np.arange(count) * golden_rad % (2 * math.pi)).astype(np.float32)
    return axial, around


def look_at(shape: Shape, pose: Pose, *, px_per_mm: float, margin_mm: float) -> View:
    """Find the visible surface along a ray down from the camera for every pixel.

    Args:
        shape: The body.
        pose: How it lies.
        px_per_mm: Scale of the picture.
        margin_mm: Room around the body, for what stands off it.
    """
    size, places, ground, inside, depth = _meet(shape, pose, px_per_mm, margin_mm)
    axes = basis(pose)
    points = _refine(shape, ground, axes[2], low=inside, f_low=depth)
    return View(size, places, points.T, turned(axes, normals(shape, points)).T, px_per_mm)


def silhouette(shape: Shape, pose: Pose, *, px_per_mm: float, margin_mm: float) -> View:
    """The same pixels as of `look_at`, at a quarter of the cost: `points` and `normals` are empty."""
    size, places, *_ = _meet(shape, pose, px_per_mm, margin_mm)
    nothing = np.empty((0, 3), np.float32)
    return View(size, places, nothing, nothing, px_per_mm)


def _meet(
    shape: Shape, pose: Pose, px_per_mm: float, margin_mm: float
) -> tuple[tuple[int, int], npt.NDArray[np.intp], Array, Array, Array]:
    """Which rays meet the body.

    Returns:
        The picture's (height, width); of the `n` rays that do, the pixels along its rows `[n]`, the feet in body
        coordinates `[3, n]`, and a height inside the body with how far outside that is, both `[n]`.
    """
    axes = basis(pose)
    yaw, tilt = (np.abs([math.cos(angle), math.sin(angle)]) for angle in (pose.yaw_rad, pose.tilt_rad))
    # The picture of a box around the body bounds what rays can meet.
    half_mm = np.array([shape.length_mm / 2, widest_mm(shape)])
    reach_mm = np.array([half_mm @ tilt, half_mm[1]])
    room_mm = np.array([(half_mm + margin_mm) @ tilt, half_mm[1] + margin_mm])
    # In fours: the origin stays between two pixels when the picture is made half as large.
    width, height = (4 * math.ceil(room_mm @ turn * px_per_mm / 2) for turn in (yaw, yaw[::-1]))
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)) / np.float32(px_per_mm)
    y = ((np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2)) / np.float32(px_per_mm))[:, None]
    cos_yaw, sin_yaw = np.float32(math.cos(pose.yaw_rad)), np.float32(math.sin(pose.yaw_rad))
    box = (np.abs(x * cos_yaw + y * sin_yaw) < reach_mm[0]) & (np.abs(y * cos_yaw - x * sin_yaw) < reach_mm[1])
    rows, columns = np.nonzero(box)
    # The rays' feet in body coordinates, `[3, n]`; each ray runs along axes[2].
    ground, ray = turned(axes[:2].T, np.stack([x[columns], y[rows, 0]])), axes[2]
    inside, depth = _heights_inside(shape, ground, ray)
    hits = np.flatnonzero(np.isfinite(inside))
    places = rows[hits] * width + columns[hits]
    return (height, width), places, ground[:, hits], inside[hits], depth[hits]


def widest_mm(shape: Shape) -> float:
    """No point of the surface is further from the axis."""
    return shape.diameter_mm / 2 * (1 + shape.oval + shape.tri)


def normals(shape: Shape, points: Array) -> Array:
    """Outward unit normals at points of the surface; both `[3, n]` float32 in body coordinates."""
    axial = np.clip(points[0] / np.float32(shape.length_mm / 2), -0.999, 0.999)
    distance = np.maximum(np.sqrt(points[1] ** 2 + points[2] ** 2), np.float32(1e-6))
    cosine, sine = points[1] / distance, points[2] / distance
    oval_rad, tri_rad = 2 * shape.oval_phase_rad, 3 * shape.tri_phase_rad
    cosine_2, sine_2 = 2 * cosine * cosine - 1, 2 * cosine * sine
    cosine_3, sine_3 = cosine * (2 * cosine_2 - 1), sine * (2 * cosine_2 + 1)
    # How the radius grows along the axis and around it: derivatives of what `radius_mm` returns.
    along = distance * (shape.shoulder_exponent / (1 + axial) - shape.tip_exponent / (1 - axial))
    along = along / np.float32(shape.length_mm / 2)
    around = 2 * shape.oval * (math.sin(oval_rad) * cosine_2 - math.cos(oval_rad) * sine_2)
    around += 3 * shape.tri * (math.sin(tri_rad) * cosine_3 - math.cos(tri_rad) * sine_3)
    around /= section(shape, cosine, sine)
    gradient = np.stack([-along, cosine + sine * around, sine - cosine * around])
    return np.asarray(gradient / np.sqrt((gradient**2).sum(axis=0)), np.float32)


def _heights_inside(shape: Shape, ground: Array, ray: Array) -> tuple[Array, Array]:
    """A height at which each ray is inside the body and how far outside that is; NaN where it passes by.

    A ray that meets the body is inside it where it comes closest to the axis, or, near the tilted ends, closest to the
    stretch of the axis that lies inside.
    """
    height = _closest(ground, ray)
    depth = _outside_mm(shape, ground, ray, height)
    found = np.where(depth < 0, height, np.float32(np.nan))
    if abs(ray[0]) <= 1e-3:
        return found, depth
    middle = -ground[0] / ray[0]
    for end in (0.97, 0.8, 0.5):
        reach = end * shape.length_mm / 2 / abs(float(ray[0]))
        nearer = np.clip(height, middle - reach, middle + reach)
        # Elsewhere the place has been looked at.
        off = np.flatnonzero(nearer != height)
        value = _outside_mm(shape, ground[:, off], ray, nearer[off])
        better = off[(value < 0) & ~(found[off] >= nearer[off])]
        found[better], depth[better] = nearer[better], value[(value < 0) & ~(found[off] >= nearer[off])]
    return found, depth


def _closest(ground: Array, ray: Array) -> Array:
    """The height at which each ray comes closest to the axis."""
    steep = max(float(ray[1:] @ ray[1:]), 1e-6)
    return np.asarray((ray[1] * ground[1] + ray[2] * ground[2]) / np.float32(-steep), np.float32)


def _outside_mm(shape: Shape, ground: Array, ray: Array, height: Array) -> Array:
    """How far points on the rays lie outside the surface, measured from the axis; negative inside."""
    x, y, z = (foot + height * step for foot, step in zip(ground, ray, strict=True))
    axial = x / np.float32(shape.length_mm / 2)
    distance = np.maximum(np.sqrt(y * y + z * z), np.float32(1e-6))
    radius = radius_mm(shape, axial, y / distance, z / distance)
    return np.asarray(distance - radius + np.maximum(np.abs(axial) - 1, 0), np.float32)


def _refine(shape: Shape, ground: Array, ray: Array, *, low: Array, f_low: Array) -> Array:
    """The surface above heights inside (`low`), where the rays enter it."""
    # Outside is where the ray leaves a cylinder around the body.
    closest, steep = _closest(ground, ray), max(float(ray[1:] @ ray[1:]), 1e-6)
    away = ground[1] ** 2 + ground[2] ** 2 - closest**2 * np.float32(steep)
    high = np.maximum(closest + np.sqrt(np.maximum(widest_mm(shape) ** 2 - away, 0) / steep), low) + np.float32(1e-3)
    f_high = np.maximum(_outside_mm(shape, ground, ray, high), np.float32(1e-6))
    height, left = _illinois(shape, ground, ray, low, high, f_low, f_high, steps=5)
    # Few rays, which graze the body, take longer.
    far = np.flatnonzero(np.abs(left) > _CLOSE_MM)
    some = (part[far] for part in (low, high, f_low, f_high))
    height[far], _ = _illinois(shape, ground[:, far], ray, *some, steps=15)
    return np.asarray(ground + height * ray[:, None], np.float32)


def _illinois(
    shape: Shape, ground: Array, ray: Array, low: Array, high: Array, f_low: Array, f_high: Array, *, steps: int
) -> tuple[Array, Array]:
    """Where `_outside_mm` changes its sign between two heights, and its last value (Dowell and Jarratt 1971)."""
    value, was_inside = f_low, np.zeros(len(low), np.bool_)
    for step in range(steps):
        height = low + (high - low) * (f_low / (f_low - f_high))
        value = _outside_mm(shape, ground, ray, height)
        inside = value < 0
        kept = np.where((inside == was_inside) & (step > 0), np.float32(0.5), np.float32(1))
        low, f_low = np.where(inside, height, low), np.where(inside, value, f_low * kept)
        high, f_high = np.where(inside, high, height), np.where(inside, f_high * kept, value)
        was_inside = inside
    return low + (high - low) * (f_low / (f_low - f_high)), value
