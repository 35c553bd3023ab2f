"""Masks: what of a picture is meant, 0 or 255."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.localization.shadow import Plane

SPECK_PX = 3
"""Narrower is dirt."""

GAP_PX = 4
"""In a picture that is looked at closely: a gap of so much within a thing is none."""


def clean(mask: Plane, gap_px: int) -> Plane:
    """Drop specks and close gaps of so many pixels, an even number."""
    # Growing by the side of one square and by that of another is growing by a single larger one.
    grown = cv2.dilate(cv2.erode(mask, _square(SPECK_PX)), _square(SPECK_PX + gap_px))
    return cv2.erode(grown, _square(gap_px + 1), dst=grown)  # type: ignore[return-value]


def twice(mask: Plane) -> Plane:
    """Each pixel as two by two."""
    return mask.repeat(2, axis=0).repeat(2, axis=1)


def _square(side: int) -> Plane:
    return np.ones((side, side), np.uint8)
