"""The smaller picture that things are looked for in."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.records import Image
from edge_runtime.shadow import Planes

LONGER_SIDE_PX = 640
LEAST_FOUND_PX = 256
"""Of the longer side of the picture that things are looked for in, where that is half of what they are looked at in."""

Region = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture."""


def factor_of(height: int, width: int) -> int:
    """By how much a picture is made smaller: by two, or to about 640 px where that is more."""
    return max(2, round(max(height, width) / LONGER_SIDE_PX))


def is_large(height: int, width: int) -> bool:
    """Whether things are found in half of what `factor_of` makes of a picture, and looked at closely in that."""
    return max(height, width) >= 2 * LEAST_FOUND_PX * factor_of(height, width)


class SmallPicture:
    """Makes pictures smaller, in buffers that are kept: fresh memory for each frame costs more than the arithmetic."""

    def __init__(self) -> None:
        self._small = np.empty((0, 0, 3), np.uint8)
        self._planes: Planes = np.empty((3, 0, 0), np.uint8)
        self._whole: Planes = self._planes
        self._twice: Planes = self._planes
        self.is_closer = False
        """Whether the latest picture can be looked at `closely`."""

    @property
    def planes(self) -> Planes:
        """The latest picture, `[3, height, width]` YCrCb."""
        return self._planes

    def of(self, image: Image, size: tuple[int, int], *, closer: bool = False) -> tuple[Image, Planes]:
        """The picture in YCrCb, as `[height, width, 3]` and plane by plane; both until the next call.

        Args:
            image: `[height, width, 3]` uint8 RGB.
            size: Width and height of what it is made.
            closer: Keep it twice as large as well, for `closely`.
        """
        width, height = size
        if self._small.shape[:2] != (height, width):
            self._small = np.empty((height, width, 3), np.uint8)
            self._planes = np.empty((3, height, width), np.uint8)
        self.is_closer = closer
        if closer or image.shape[:2] == (4 * height, 4 * width):
            self._in_two_steps(image)
        else:
            cv2.resize(image, size, dst=self._small, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(self._small, cv2.COLOR_RGB2YCrCb, dst=self._small)
        cv2.split(self._small, list(self._planes))
        return self._small, self._planes

    def closely(self, region: Region) -> Planes:
        """A part of the latest picture, twice as large: `[3, 2 height, 2 width]` YCrCb."""
        left, top, right, bottom = region
        planes = self._twice[:, 2 * top : 2 * bottom, 2 * left : 2 * right]
        return np.stack(cv2.split(cv2.cvtColor(cv2.merge(list(planes)), cv2.COLOR_RGB2YCrCb)))

    def _in_two_steps(self, image: Image) -> None:
        """Colour by colour: far quicker than so much smaller at once, or all three together."""
        if self._whole.shape[1:] != image.shape[:2]:
            self._whole = np.empty((3, *image.shape[:2]), np.uint8)
        _, height, width = self._planes.shape
        if self._twice.shape[1:] != (2 * height, 2 * width):
            self._twice = np.empty((3, 2 * height, 2 * width), np.uint8)
        cv2.split(image, list(self._whole))
        for whole, twice, small in zip(self._whole, self._twice, self._planes, strict=True):
            cv2.resize(whole, twice.shape[::-1], dst=twice, interpolation=cv2.INTER_AREA)
            cv2.resize(twice, small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)
        cv2.merge(list(self._planes), dst=self._small)
