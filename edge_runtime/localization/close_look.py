"""A close look at a region: twice as large as the picture that it was found in, and only there.

To find what lies on the belt a small picture does. Where two fruit touch, it shows no gap and a shallow waist; so what
may be several is seen again larger.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from cv2.typing import MatLike

from edge_runtime.localization.background import Background
from edge_runtime.localization.mask import GAP_PX, clean, twice
from edge_runtime.localization.separate import Rectangle, Thing, outlines_of
from edge_runtime.localization.small_picture import SmallPicture

AROUND_PX = 3
"""What is looked at around a region, so that its rim is."""

OUTSIDE_PX = 1
"""A region may end so far outside of where the small picture shows its end; beyond it lies a neighbour."""

LARGE = 1.2
"""Times the usual area: a single fruit may be larger, but what is and has dents too may be two."""

CONVEX = 0.96
"""Share of its hull that a thing without dents fills, in so small a picture."""

SMALL_PX = 100.0
"""Area of a thing, about 11 px across, of which so small a picture shows too little."""


def may_be_several(thing: Thing, usual_area: float) -> bool:
    """Whether a thing of the small picture is better looked at again, larger; `usual_area` of one, 0 if not known."""
    if thing.area < SMALL_PX:
        return True
    if thing.area <= LARGE * usual_area:
        return False
    if len(thing.outlines) > 1:
        return True
    outline = thing.outlines[0]
    return cv2.contourArea(outline) < CONVEX * cv2.contourArea(cv2.convexHull(outline))


def look_closely(
    outlines: Sequence[MatLike], box: Rectangle, small: SmallPicture, background: Background
) -> list[MatLike]:
    """Outlines of the parts of a region, without shade, in pixels half as large; none where it shows nothing there.

    Args:
        outlines: Of its parts in the small picture, without shade.
        box: Around all of them.
        small: The picture.
        background: What the empty scene looks like.
    """
    x, y, width, height = box
    _, tall, wide = small.planes.shape
    left, top = max(0, x - AROUND_PX), max(0, y - AROUND_PX)
    right, bottom = min(wide, x + width + AROUND_PX), min(tall, y + height + AROUND_PX)
    part = (left, top, right, bottom)
    picture = small.closely(part)
    mask, shade, coloured = background.closely(picture, part)
    own = np.zeros((bottom - top, right - left), np.uint8)
    cv2.drawContours(own, outlines, -1, (255,), cv2.FILLED, offset=(-left, -top))
    cv2.dilate(own, np.ones((2 * OUTSIDE_PX + 1, 2 * OUTSIDE_PX + 1), np.uint8), dst=own)
    mask = clean(mask & twice(own), GAP_PX)
    found = shade.cut_off(outlines_of(mask), mask, picture, coloured)
    origin = np.array((2 * left, 2 * top), np.int32)
    return [outline + origin for each in found for outline in each]
