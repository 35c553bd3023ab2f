"""How good the pictures are: focus, smear by the belt's motion, exposure; by the sheet's own edges and paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.commissioning.sheet import SheetView
from edge_runtime.records import Image

_STEEPEST = 98.5
_CLIPPED = 250
_ONE_PIXEL_VARIANCE = 1 / 12 + 1 / 6
"""A pixel's own width, and the difference of two neighbours, widen an edge by these squares of pixels."""


@dataclass(frozen=True, slots=True)
class PictureQuality:
    """Of one picture with the sheet in it.

    `blur_x_px`, `blur_y_px` are the standard deviations of the blur of upright and of level edges; of a sheet that lies
    aslant by more than 15 degrees they are infinite. `paper` and `ink` are the grey levels, 0 to 255, of what is white
    and black on it, `clipped` the share of its paper that is as white as the camera can tell.
    """

    blur_x_px: float
    blur_y_px: float
    paper: float
    ink: float
    clipped: float


def picture_quality(image: Image, view: SheetView) -> PictureQuality:
    """Measure on the sheet's chessboard; `image` is `[height, width, 3]` uint8 RGB."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    board = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(board, np.round(view.outline_px).astype(np.int32), (1,))
    inside = board > 0
    levels = grey[inside].astype(np.float64)
    ink, paper = (float(each) for each in np.percentile(levels, (10, 90)))
    white = levels[levels > (ink + paper) / 2]
    aslant = min(abs(view.along[0]), abs(view.along[1])) > math.sin(math.radians(15))
    picture = grey.astype(np.float64)
    return PictureQuality(
        math.inf if aslant else _blur_px(np.abs(np.diff(picture, axis=1)), inside[:, 1:], paper - ink),
        math.inf if aslant else _blur_px(np.abs(np.diff(picture, axis=0)), inside[1:], paper - ink),
        paper,
        ink,
        float(np.mean(white >= _CLIPPED)),
    )


def _blur_px(slope: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], contrast: float) -> float:
    """A step of that contrast under a normal blur of s is nowhere steeper than contrast / (s * sqrt(2 pi))."""
    steep = float(np.percentile(slope[inside], _STEEPEST))
    widened = contrast / (max(steep, 1e-6) * math.sqrt(2 * math.pi))
    return math.sqrt(max(0.0, widened**2 - _ONE_PIXEL_VARIANCE))
