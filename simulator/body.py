"""The solid under the paint: where each pixel of a view meets a fruit's surface, and how the surface lies there.

Body coordinates are (axial, side, side) in millimetres with the tip at +axial; picture coordinates are x right, y down
and z towards the camera. The view is orthographic: at a line's working distance a fruit of 4 cm shows no perspective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.fruit import Pose, Shape

Array = npt.NDArray[np.float32]

_REFINING_STEPS = 7


@dataclass(frozen=True, slots=True)
class View:
    """The visible surface, one row a pixel that shows the body.

    `pixels` is a mask `[side, side]` bool; `points`, `normals` are `[n, 3]` float32 in row-major order of the mask, the
    points in body coordinates (mm), the normals in picture coordinates.
    """

    pixels: npt.NDArray[np.bool_]
    points: Array
    normals: Array
    px_per_mm: float

    @property
    def centre_px(self) -> float:
        """Where the body's origin lies, in x and in y."""
        return self.pixels.shape[0] / 2

    def to_px(self, points: Array) -> Array:
        """Places in the picture, `[n, 2]` (x, y), of `[n, 3]` points in picture coordinates (mm)."""
        return np.asarray(points[:, :2] * self.px_per_mm + self.centre_px, np.float32)


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


def radius_mm(shape: Shape, axial: Array, cosine: Array, sine: Array) -> Array:
    """Distance of the surface from the axis at `axial` (-1 stem end … 1 tip) and a direction around it."""
    shoulder, tip = shape.shoulder_exponent, shape.tip_exponent
    widest = (shoulder - tip) / (shoulder + tip)
    peak = (1 + widest) ** shoulder * (1 - widest) ** tip
    inside = np.clip(axial, -1 + 1e-6, 1 - 1e-6)
    profile = np.exp(shoulder * np.log(1 + inside) + tip * np.log(1 - inside))
    cosine_2, sine_2 = 2 * cosine * cosine - 1, 2 * cosine * sine
    cosine_3, sine_3 = cosine * (2 * cosine_2 - 1), sine * (2 * cosine_2 + 1)
    oval_rad, tri_rad = 2 * shape.oval_phase_rad, 3 * shape.tri_phase_rad
    section = (
        1
        + shape.oval * (math.cos(oval_rad) * cosine_2 + math.sin(oval_rad) * sine_2)
        + shape.tri * (math.cos(tri_rad) * cosine_3 + math.sin(tri_rad) * sine_3)
    )
    return np.asarray(shape.diameter_mm / 2 / peak * profile * section, np.float32)


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
    axes = basis(pose)
    bulge = 1 + shape.oval + shape.tri
    reach_mm = math.hypot(shape.length_mm / 2, shape.diameter_mm / 2 * bulge)
    side = 2 * math.ceil((reach_mm + margin_mm) * px_per_mm)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    flat = np.stack([x.ravel(), y.ravel()], axis=1)
    flat = (flat + 0.5 - side / 2) / px_per_mm
    # The picture of a box around the body bounds what rays can meet and how high.
    half_mm = np.array([shape.length_mm / 2, shape.diameter_mm / 2 * bulge], np.float32)
    along = flat @ np.array([math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)], np.float32)
    across = flat @ np.array([-math.sin(pose.yaw_rad), math.cos(pose.yaw_rad)], np.float32)
    cos_tilt, sin_tilt = abs(math.cos(pose.tilt_rad)), abs(math.sin(pose.tilt_rad))
    reach_along, reach_up = half_mm @ [cos_tilt, sin_tilt], half_mm @ [sin_tilt, cos_tilt]
    near = np.flatnonzero((np.abs(along) < reach_along) & (np.abs(across) < half_mm[1]))
    ground = flat[near] @ axes[:2]  # the rays' feet in body coordinates; each ray runs along axes[2]
    ray = axes[2]
    inside = _heights_inside(shape, ground, ray)
    hits = np.flatnonzero(np.isfinite(inside))
    ground, low = ground[hits], inside[hits]
    points = _refine(shape, ground, ray, low=low, high=np.full_like(low, reach_up + 1))
    pixels = np.zeros(side * side, np.bool_)
    pixels[near[hits]] = True
    return View(pixels.reshape(side, side), points, _normals(shape, points) @ axes.T, px_per_mm)


def _heights_inside(shape: Shape, ground: Array, ray: Array) -> Array:
    """A height at which each ray is inside the body, NaN where it passes by.

    A ray that meets the body is inside it where it comes closest to the axis, or, near the tilted ends, closest to the
    stretch of the axis that lies inside.
    """
    closest = -(ground[:, 1:] @ ray[1:]) / max(float(ray[1:] @ ray[1:]), 1e-6)
    found = np.full(len(ground), np.nan, np.float32)
    for end in (0.97, 0.8, 0.5):
        height = closest
        if abs(ray[0]) > 1e-3:
            reach = end * shape.length_mm / 2 / abs(float(ray[0]))
            middle = -ground[:, 0] / ray[0]
            height = np.clip(closest, middle - reach, middle + reach)
        value = _outside_mm(shape, ground + height[:, None] * ray)
        found = np.where((value < 0) & ~(found >= height), height, found)
    return np.asarray(found, np.float32)


def _outside_mm(shape: Shape, points: Array) -> Array:
    """How far points lie outside the surface, measured from the axis; negative inside."""
    axial = points[:, 0] / np.float32(shape.length_mm / 2)
    distance = np.maximum(np.hypot(points[:, 1], points[:, 2]), np.float32(1e-6))
    radius = radius_mm(shape, axial, points[:, 1] / distance, points[:, 2] / distance)
    return np.asarray(distance - radius + np.maximum(np.abs(axial) - 1, 0), np.float32)


def _refine(shape: Shape, ground: Array, ray: Array, *, low: Array, high: Array) -> Array:
    """Close in on the surface between heights inside (`low`) and outside (`high`), by regula falsi and bisection."""
    f_low = _outside_mm(shape, ground + low[:, None] * ray)
    f_high = _outside_mm(shape, ground + high[:, None] * ray)
    for step in range(_REFINING_STEPS):
        share = np.clip(f_low / (f_low - f_high), 0.02, 0.98) if step % 2 else np.float32(0.5)
        height = low + (high - low) * share
        value = _outside_mm(shape, ground + height[:, None] * ray)
        inside = value < 0
        low, f_low = np.where(inside, height, low), np.where(inside, value, f_low)
        high, f_high = np.where(inside, high, height), np.where(inside, f_high, value)
    share = np.clip(f_low / (f_low - f_high), 0, 1)
    return np.asarray(ground + (low + (high - low) * share)[:, None] * ray, np.float32)


def _normals(shape: Shape, points: Array) -> Array:
    """Outward unit normals in body coordinates."""
    step_mm = 0.02 * shape.diameter_mm
    here = _outside_mm(shape, points)
    slopes = [_outside_mm(shape, points + step_mm * axis) - here for axis in np.eye(3, dtype=np.float32)]
    gradient = np.stack(slopes, axis=1)
    return np.asarray(gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6), np.float32)
