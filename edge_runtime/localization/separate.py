"""Tell touching fruit apart by their outline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.localization.bulge import body_and_bulge

Mask = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]
"""x, y, width, height."""

CONVEX = 0.92
NECKS = (0.3, 0.45, 0.6, 0.75)
PROMINENCE = 1.25
FRAGMENT = 0.1
WHOLE = 0.3
MIN_WIDTH = 6
COMPACT = 0.35
SINGLE = 0.8
LEAST_PART = 0.35
SLENDER = 1.4
"""Times as long as wide: no fruit is, nor what shows of one whose middle is as grey as the belt."""

LEAST_BULGE = 0.25


class Thing(NamedTuple):
    """One thing, and the outlines of its parts; `area` in pixels, holes included."""

    box: Rectangle
    area: float
    outlines: Sequence[MatLike]


def outlines_of(mask: MatLike, origin: tuple[int, int] = (0, 0)) -> Sequence[MatLike]:
    """Outer borders of what is not 0, point by point, `[n, 1, 2]`; `origin` (x, y) is the mask's upper left corner."""
    return cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=origin)[0]


def area_of(outline: MatLike) -> float:
    """Pixels within an outline and on it, by Pick's theorem (1899)."""
    return cv2.contourArea(outline) + len(outline) / 2 + 1


def depth_within(outlines: Sequence[MatLike], box: Rectangle) -> tuple[Mask, MatLike]:
    """What lies within outlines, 0 or 255, and how far from them, in pixels; both reach one pixel beyond the box."""
    left, top, width, height = box
    mask = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(mask, outlines, -1, (255,), cv2.FILLED, offset=(1 - left, 1 - top))
    return mask, cv2.distanceTransform(mask, cv2.DIST_L2, 3)


def without_fragments(outlines: Sequence[MatLike]) -> Sequence[MatLike]:
    """Those parts of a region that are large enough beside the largest, at least one."""
    if len(outlines) == 1:
        return outlines
    areas = [area_of(outline) for outline in outlines]
    least = FRAGMENT * max(areas)
    return [outline for outline, area in zip(outlines, areas, strict=True) if area >= least]


def separate(
    outlines: Sequence[MatLike], min_area: float, usual_area: float = 0.0, longest: float = math.inf
) -> list[Thing]:
    """Split a region into the things that it shows.

    Parts that do not touch are things of their own if they are large enough beside the largest, else belong to it.
    A part with a waist is cut there: the cores that are left where the distance to the outline exceeds a share of its
    maximum are things, and every point belongs to the nearest core. A fruit is nearly convex, so most regions are
    recognised as one thing from their hull alone.

    Args:
        outlines: Of the parts, at least one, as by `outlines_of`, without fragments.
        min_area: Nothing is cut into pieces smaller than this.
        usual_area: Of one thing, 0 if not known. A part no larger is one, whatever its outline, and none of two that
            touch is far smaller.
        longest: A part that is longer is looked at once more: for what stands out from it.

    Returns:
        At least one thing.
    """
    areas = [area_of(outline) for outline in outlines]
    if len(outlines) == 1:
        return _cut_at_waists(outlines[0], areas[0], min_area, usual_area, longest)
    largest = max(areas)
    parts = list(zip(outlines, areas, strict=True))

    def things(least: float, below: float = math.inf) -> list[Thing]:
        some = [each for each in parts if least <= each[1] < below]
        return [
            thing for outline, area in some for thing in _cut_at_waists(outline, area, min_area, usual_area, longest)
        ]

    found = things(WHOLE * largest)
    # What is small beside two that touch may be large beside each of them.
    found += things(WHOLE * max(thing.area for thing in found), WHOLE * largest)
    if len(found) == 1 and len(parts) > 1:
        every = [outline for outline, _ in parts]
        box = cv2.boundingRect(np.concatenate(every))
        return [Thing(box, sum(area for _, area in parts), every)]  # type: ignore[arg-type]
    return found


def _cut_at_waists(outline: MatLike, area: float, min_area: float, usual_area: float, longest: float) -> list[Thing]:
    box = cv2.boundingRect(outline)
    one = [Thing(box, area, [outline])]  # type: ignore[arg-type]
    is_single = area <= SINGLE * usual_area
    if min(box[2:]) < MIN_WIDTH or (is_single and max(box[2:]) <= longest):
        return one
    if area - len(outline) / 2 - 1 >= CONVEX * cv2.contourArea(cv2.convexHull(outline)):
        return one
    left, top, *_ = box
    mask, depth = depth_within([outline], box)  # type: ignore[arg-type]
    deepest = float(cv2.minMaxLoc(depth)[1])
    cores: list[_Core] = []
    for neck in NECKS if not is_single else ():
        cores = _cores(depth, neck * deepest, more_than=len(cores)) or cores
    parts: Sequence[MatLike] = _by_cores(cores, mask, max(min_area, LEAST_PART * usual_area))
    if not parts and _is_long(outline, longest):
        parts = body_and_bulge(mask, depth, max(min_area, LEAST_BULGE * usual_area))
    if not parts:
        return one
    pieces = [max(_outlines_in(part, left - 1, top - 1), key=area_of) for part in parts]
    return [thing for piece in pieces for thing in _cut_at_waists(piece, area_of(piece), min_area, usual_area, longest)]


def _is_long(outline: MatLike, longest: float) -> bool:
    """Whether it is too long for one fruit, and for its width."""
    sides = (0.0, 0.0) if longest == math.inf else cv2.minAreaRect(outline)[1]
    return max(sides) > max(longest, SLENDER * min(sides))


def _by_cores(cores: Sequence[_Core], mask: Mask, least_area: float) -> list[MatLike]:
    """The share of each core; none where one would be too small, or where they are pieces of a strip or a frame."""
    if len(cores) < 2:
        return []
    parts = [cv2.bitwise_and(part, mask) for part in _nearest(cores, mask.shape)]  # type: ignore[arg-type]
    areas = [cv2.countNonZero(part) for part in parts]
    compact = [core.depth >= COMPACT * area**0.5 for core, area in zip(cores, areas, strict=True)]
    # Pieces of a strip or a frame are no round things: such a shape is left whole, to be judged as what it is.
    return parts if min(areas) >= least_area and all(compact) else []


def _outlines_in(part: MatLike, left: int, top: int) -> Sequence[MatLike]:
    """As `outlines_of`, looked for no farther than they go."""
    x, y, width, height = cv2.boundingRect(part)
    return outlines_of(part[y : y + height, x : x + width], (left + x, top + y))


class _Core(NamedTuple):
    """What is left of a thing without its rim, and where and how deep its deepest point lies."""

    outline: MatLike
    middle: tuple[int, int]
    depth: float


def _cores(depth: MatLike, least: float, more_than: int) -> list[_Core]:
    """Regions deeper than `least` that rise well above it; none where there are no more of them than that, or one."""
    rim = int(least)  # so near to the edge nothing is so deep
    inner = cv2.compare(depth[rim : -rim or None, rim : -rim or None], least, cv2.CMP_GT)  # type: ignore[call-overload]
    outlines = outlines_of(inner, (rim, rim))
    if len(outlines) <= max(more_than, 1):
        return []
    cores = [core for outline in outlines if (core := _core(depth, outline)).depth >= PROMINENCE * least]
    return cores if len(cores) > more_than else []


def _core(depth: MatLike, outline: MatLike) -> _Core:
    x, y, width, height = cv2.boundingRect(outline)
    inside = cv2.drawContours(np.zeros((height, width), np.uint8), [outline], 0, (255,), cv2.FILLED, offset=(-x, -y))
    _, deepest, _, (right, down) = cv2.minMaxLoc(depth[y : y + height, x : x + width], inside)
    return _Core(outline, (x + right, y + down), float(deepest))


def _nearest(cores: Sequence[_Core], size: tuple[int, int]) -> list[Mask]:
    """Where each of the cores is the nearest one; in a smaller picture, in a quarter of the time, if that shows all."""
    seeds = np.full(size, 255, np.uint8)
    cv2.drawContours(seeds, [core.outline for core in cores], -1, (0,), cv2.FILLED)
    for every in (2, 1):
        small = np.ascontiguousarray(seeds[::every, ::every])
        _, labels = cv2.distanceTransformWithLabels(small, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
        places = [(core.middle[1] // every, core.middle[0] // every) for core in cores]
        own = [int(labels[place]) for place in places]
        # Missed by the smaller picture, or one with its neighbour: what lies a pixel apart.
        if not any(small[place] for place in places) and len(set(own)) == len(own):
            break
    nearest = labels.astype(np.uint8).repeat(every, axis=0).repeat(every, axis=1)[: size[0], : size[1]]
    return [cv2.compare(nearest, label, cv2.CMP_EQ) for label in own]  # type: ignore[call-overload]
