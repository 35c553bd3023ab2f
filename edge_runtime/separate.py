"""Tell touching fruit apart by their outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

Mask = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]
"""x, y, width, height."""

CONVEX = 0.92
NECKS = (0.3, 0.45, 0.6, 0.75)
PROMINENCE = 1.25
FRAGMENT = 0.1
WHOLE = 0.3
MIN_WIDTH = 6
LARGE_CORE = 8
COMPACT = 0.35
SINGLE = 0.8
LEAST_PART = 0.35


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing; `area` in pixels, holes included."""

    box: Rectangle
    area: float


def outlines_of(mask: MatLike) -> Sequence[MatLike]:
    """Outer borders of what is not 0, point by point, `[n, 1, 2]`."""
    return cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def area_of(outline: MatLike) -> float:
    """Pixels within an outline and on it, by Pick's theorem (1899)."""
    return cv2.contourArea(outline) + len(outline) / 2 + 1


def separate(outlines: Sequence[MatLike], min_area: float, usual_area: float = 0.0) -> list[Thing]:
    """Split a region into the things that it shows.

    Parts that do not touch are things of their own if they are large enough beside the largest, else fragments of it.
    A part with a waist is cut there: the cores that are left where the distance to the outline exceeds a share of its
    maximum are things, and every point belongs to the nearest core. A fruit is nearly convex, so most regions are
    recognised as one thing from their hull alone.

    Args:
        outlines: Of the parts, at least one, as by `outlines_of`.
        min_area: Nothing is cut into pieces smaller than this.
        usual_area: Of one thing, 0 if not known. A part no larger is one, whatever its outline, and none of two that
            touch is far smaller.

    Returns:
        At least one thing.
    """
    areas = [area_of(outline) for outline in outlines]
    largest = max(areas)
    whole = [outline for outline, area in zip(outlines, areas, strict=True) if area >= WHOLE * largest]
    if len(whole) > 1:
        return [thing for outline in whole for thing in _cut_at_waists(outline, min_area, usual_area)]
    kept = [outline for outline, area in zip(outlines, areas, strict=True) if area >= FRAGMENT * largest]
    if len(kept) > 1:
        return [Thing(cv2.boundingRect(np.concatenate(kept)), sum(map(area_of, kept)))]  # type: ignore[arg-type]
    return _cut_at_waists(kept[0], min_area, usual_area)


def _cut_at_waists(outline: MatLike, min_area: float, usual_area: float) -> list[Thing]:
    box, area = cv2.boundingRect(outline), area_of(outline)
    one = [Thing(box, area)]  # type: ignore[arg-type]
    if area <= SINGLE * usual_area or min(box[2:]) < MIN_WIDTH:
        return one
    if cv2.contourArea(outline) >= CONVEX * cv2.contourArea(cv2.convexHull(outline)):
        return one
    left, top, width, height = box
    framed = np.zeros((height + 2, width + 2), np.uint8)
    mask: Mask = cv2.drawContours(framed, [outline], 0, (255,), cv2.FILLED, offset=(1 - left, 1 - top))  # type: ignore[assignment]
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    cores = max((_cores(depth, neck * float(depth.max())) for neck in NECKS), key=len)
    if len(cores) < 2:
        return one
    parts = [nearest & mask for nearest in _nearest(cores)]
    areas = [cv2.countNonZero(part) for part in parts]
    # Pieces of a strip or a frame are no round things: such a shape is left whole, to be judged as what it is.
    compact = [float(depth[core > 0].max()) >= COMPACT * area**0.5 for core, area in zip(cores, areas, strict=True)]
    if min(areas) < max(min_area, LEAST_PART * usual_area) or not all(compact):
        return one
    pieces = [max(outlines_of(part), key=area_of) + np.array((left - 1, top - 1), np.int32) for part in parts]
    return [thing for piece in pieces for thing in _cut_at_waists(piece, min_area, usual_area)]


def _cores(depth: MatLike, least: float) -> list[Mask]:
    """Regions deeper than `least` that rise well above it; none where there is but one."""
    outlines = outlines_of((depth > least).view(np.uint8))
    if len(outlines) < 2:
        return []
    found = [cv2.drawContours(np.zeros(depth.shape, np.uint8), [each], 0, (255,), cv2.FILLED) for each in outlines]
    return [core for core in found if depth[core > 0].max() >= PROMINENCE * least]  # type: ignore[misc]


def _nearest(cores: Sequence[Mask]) -> list[Mask]:
    """Where each of the cores is the nearest one; in a smaller picture, in a quarter of the time, if they are large."""
    small = [np.ascontiguousarray(core[::2, ::2]) for core in cores]
    every = 2 if min(cv2.countNonZero(core) for core in small) >= LARGE_CORE else 1
    sampled = small if every == 2 else cores
    seeds = np.full(sampled[0].shape, 255, np.uint8)
    for core in sampled:
        seeds[core > 0] = 0
    _, nearest = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    height, width = cores[0].shape
    whole = nearest.repeat(every, axis=0).repeat(every, axis=1)[:height, :width]
    return [_where(whole == nearest[core > 0][0]) for core in sampled]


def _where(condition: npt.NDArray[np.bool_]) -> Mask:
    return condition.view(np.uint8) * np.uint8(255)
