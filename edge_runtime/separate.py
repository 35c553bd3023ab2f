"""Tell touching fruit apart by their outline."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

Mask = npt.NDArray[np.uint8]

CONVEX = 0.92
NECKS = (0.3, 0.45, 0.6, 0.75)
PROMINENCE = 1.25
FRAGMENT = 0.1
WHOLE = 0.3
MIN_WIDTH = 6
COMPACT = 0.35
SINGLE = 0.8
LEAST_PART = 0.35


def separate(mask: Mask, min_area: float, usual_area: float = 0.0) -> list[Mask]:
    """Split a region into the things that it shows.

    Parts that do not touch are things of their own if they are large enough beside the largest, else fragments of it.
    A part with a waist is cut there: the cores that are left where the distance to the outline exceeds a share of its
    maximum are things, and every point belongs to the nearest core. A fruit is nearly convex, so most regions are
    recognised as one thing from their hull alone.

    Args:
        mask: `[height, width]` uint8, 0 or 255.
        min_area: Nothing is cut into pieces smaller than this.
        usual_area: Of one thing, 0 if not known. A part no larger is one, whatever its outline, and none of two that
            touch is far smaller.

    Returns:
        One mask of the same size for each thing, at least one.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 2:
        return _cut_at_waists(mask, min_area, usual_area)
    areas = stats[1:, cv2.CC_STAT_AREA]
    things = [number for number, area in enumerate(areas, start=1) if area >= WHOLE * areas.max()]
    if len(things) == 1:
        kept = np.flatnonzero(areas >= FRAGMENT * areas.max()) + 1
        return _cut_at_waists(_where(np.isin(labels, kept)), min_area, usual_area)
    return [part for number in things for part in _cut_at_waists(_where(labels == number), min_area, usual_area)]


def _cut_at_waists(mask: Mask, min_area: float, usual_area: float) -> list[Mask]:
    if cv2.countNonZero(mask) <= SINGLE * usual_area:
        return [mask]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) != 1 or min(cv2.boundingRect(contours[0])[2:]) < MIN_WIDTH:
        return [mask]
    hull_area = cv2.contourArea(cv2.convexHull(contours[0]))
    if cv2.contourArea(contours[0]) >= CONVEX * hull_area:
        return [mask]
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    cores = max((_cores(depth, neck * float(depth.max())) for neck in NECKS), key=len)
    if len(cores) < 2:
        return [mask]
    seeds = np.full_like(mask, 255)
    for core in cores:
        seeds[core > 0] = 0
    _, nearest = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    owners = [int(nearest[core > 0][0]) for core in cores]
    parts = [_where((nearest == owner) & (mask > 0)) for owner in owners]
    areas = [cv2.countNonZero(part) for part in parts]
    # Pieces of a strip or a frame are no round things: such a shape is left whole, to be judged as what it is.
    compact = [float(depth[core > 0].max()) >= COMPACT * area**0.5 for core, area in zip(cores, areas, strict=True)]
    if min(areas) < max(min_area, LEAST_PART * usual_area) or not all(compact):
        return [mask]
    return [piece for part in parts for piece in _cut_at_waists(part, min_area, usual_area)]


def _cores(depth: MatLike, least: float) -> list[Mask]:
    """Regions deeper than `least` that rise well above it."""
    count, labels = cv2.connectedComponents(_where(depth > least))
    found = [_where(labels == number) for number in range(1, count)]
    return [core for core in found if depth[core > 0].max() >= PROMINENCE * least]


def _where(condition: npt.NDArray[np.bool_]) -> Mask:
    return condition.astype(np.uint8) * np.uint8(255)
