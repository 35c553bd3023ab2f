"""Part two bodies without a waist that shows: the smaller one stands out from the largest circle within both.

A fruit half as grey as the belt leaves no more than a strip or a corner beside the one that it touches, nowhere much
wider than the waist between them. What an opening by a circle nearly as large as the larger body (Serra 1982) takes
away is such a strip; of one fruit alone it is its corners and its stalk.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

Mask = npt.NDArray[np.uint8]

CIRCLE = 0.75
"""Of the radius of the largest circle within: such a one still reaches nearly all of a fruit, long or pointed."""

SLENDER = 0.15
"""Of the same radius: what such a circle does not fit into is stalk or sepal."""

COMPACT = 0.25
"""Depth over the root of the area: 0.56 in a circle, so much in a strip four times as long as wide."""


def body_and_bulge(mask: Mask, depth: MatLike, least_area: float) -> list[Mask]:
    """The larger body of a region and what stands out from it, if that is large and compact enough to be another.

    Args:
        mask: The region, 0 or 255, with a margin of one pixel or more.
        depth: How far each of its pixels lies from its edge, in pixels; 0 outside.
        least_area: Of what stands out, in pixels.

    Returns:
        What belongs to each, 0 or 255; nothing where there is but one. A straight line parts them, as it can any two
        convex bodies: across the way from the middle of one to that of the other, where the larger one ends.
    """
    _, deepest, _, middle = cv2.minMaxLoc(depth)
    core = cv2.compare(depth, CIRCLE * deepest, cv2.CMP_GT)  # type: ignore[call-overload]
    beyond = cv2.distanceTransform(cv2.bitwise_not(core), cv2.DIST_L2, 3)
    rest = cv2.bitwise_and(mask, cv2.compare(beyond, CIRCLE * deepest, cv2.CMP_GT))  # type: ignore[call-overload]
    # Corners hang together by the rim, and with stalks.
    side = 2 * int(SLENDER * deepest) + 1
    rest = cv2.morphologyEx(rest, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=4)
    largest = max(range(1, count), key=lambda label: stats[label, cv2.CC_STAT_AREA], default=0)
    area = stats[largest, cv2.CC_STAT_AREA]
    if not largest or area < least_area:
        return []
    bulge: Mask = np.where(labels == largest, mask, 0)
    _, thickest, _, other = cv2.minMaxLoc(cv2.distanceTransform(bulge, cv2.DIST_L2, 3))
    if thickest < COMPACT * area**0.5:
        return []
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    along = (columns - middle[0]) * (other[0] - middle[0]) + (rows - middle[1]) * (other[1] - middle[1])
    ends = along[(mask > 0) & (beyond <= CIRCLE * deepest)].max()
    farther = along > ends
    parts: list[Mask] = [np.where(farther, 0, mask), np.where(farther, mask, 0)]
    # What reaches around the larger body lies beyond no such line.
    return parts if min(map(cv2.countNonZero, parts)) >= least_area else []
