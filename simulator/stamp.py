"""Fruit as stamps: pressed onto the belt at whole pixels, so that a frame costs little however many there are.

Everything that lies on the belt moves with it, so a fruit's place between two pixels of the belt's own picture never
changes: a stamp is drawn once, at that fraction. The belt's motion, to a fraction of a pixel, and the blur of the
exposure come afterwards, for the whole picture at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image
from simulator.belt import motion_kernel
from simulator.optics import Layer, moved


@dataclass(frozen=True, slots=True)
class Stamp:
    """`ink`: `[h, w, 3]` uint8, premultiplied. `pass_through`: `[h, w, 3]` uint8, how much of the belt still shows.

    `left_px`, `top_px` is the whole pixel, relative to the whole pixel of the fruit's centre, of the upper left corner.
    """

    ink: Image
    pass_through: Image
    left_px: int
    top_px: int


def make_stamp(layer: Layer, fraction_px: tuple[float, float]) -> Stamp:
    """Turn a layer into a stamp whose centre lies `fraction_px` (x, y; 0 to 1) beyond a whole pixel."""
    left, top = fraction_px[0] - layer.centre_px[0], fraction_px[1] - layer.centre_px[1]
    whole_x, whole_y = math.floor(left), math.floor(top)
    shift, size_px = (left - whole_x, top - whole_y), (layer.cover.shape[1] + 1, layer.cover.shape[0] + 1)
    ink = cv2.convertScaleAbs(moved(layer.colour, *shift, size_px=size_px))
    through = cv2.convertScaleAbs(255 - 255 * moved(layer.cover, *shift, size_px=size_px)[..., 0])
    # Where nothing of the fruit or its shadow shows, there is nothing to press.
    x, y, width, height = cv2.boundingRect(cv2.bitwise_or(cv2.bitwise_not(through), ink.max(axis=2)))
    part = np.s_[y : y + height, x : x + width]
    through = cv2.cvtColor(np.ascontiguousarray(through[part]), cv2.COLOR_GRAY2RGB)
    return Stamp(np.ascontiguousarray(ink[part], np.uint8), through, whole_x + x, whole_y + y)  # type: ignore[arg-type]


def press(picture: Image, stamp: Stamp, x_px: int, y_px: int) -> None:
    """Lay a stamp in place, its centre in that whole pixel; what falls outside is cut."""
    left, top = x_px + stamp.left_px, y_px + stamp.top_px
    height, width = stamp.ink.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, picture.shape[1]), min(top + height, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    patch = picture[y0:y1, x0:x1]
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    cv2.multiply(patch, stamp.pass_through[part], dst=patch, scale=1 / 255)
    cv2.add(patch, stamp.ink[part], dst=patch)


def travel_kernel(fraction_px: float, blur_px: float) -> npt.NDArray[np.float32]:
    """What moving on by a fraction of a pixel, centred on an exposure's blur, does to a row: `[1, odd]`.

    To be correlated with a picture, as `cv2.filter2D` does it; the picture then moves to the right.
    """
    blur = motion_kernel(blur_px)[0]
    shifted = np.convolve(blur, np.array([1 - fraction_px, fraction_px]))
    # One tap further to the right than to the left; a leading zero centres it again, reversal makes it a correlation.
    return np.asarray(np.concatenate([[0.0], shifted])[::-1], np.float32)[None, :]
