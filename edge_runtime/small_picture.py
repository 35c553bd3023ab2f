"""The smaller picture that things are looked for in."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.records import Image
from edge_runtime.shadow import Planes

LONGER_SIDE_PX = 640


def factor_of(height: int, width: int) -> int:
    """By how much a picture is made smaller: by two, or to about 640 px where that is more."""
    return max(2, round(max(height, width) / LONGER_SIDE_PX))


class SmallPicture:
    """Makes pictures smaller, in buffers that are kept: fresh memory for each frame costs more than the arithmetic."""

    def __init__(self) -> None:
        self._small = np.empty((0, 0, 3), np.uint8)
        self._planes: Planes = np.empty((3, 0, 0), np.uint8)
        self._whole: Planes = self._planes
        self._half = self._planes[0]

    def of(self, image: Image, size: tuple[int, int]) -> tuple[Image, Planes]:
        """The picture in YCrCb, as `[height, width, 3]` and plane by plane; both until the next call.

        Args:
            image: `[height, width, 3]` uint8 RGB.
            size: Width and height of what it is made.
        """
        width, height = size
        if self._small.shape[:2] != (height, width):
            self._small = np.empty((height, width, 3), np.uint8)
            self._planes = np.empty((3, height, width), np.uint8)
        if image.shape[:2] == (4 * height, 4 * width):
            self._quarter(image)
        else:
            cv2.resize(image, size, dst=self._small, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(self._small, cv2.COLOR_RGB2YCrCb, dst=self._small)
        cv2.split(self._small, list(self._planes))
        return self._small, self._planes

    def _quarter(self, image: Image) -> None:
        """Halved and halved again, colour by colour: far quicker than a quarter at once, or all three together."""
        height, width = image.shape[:2]
        if self._whole.shape[1:] != (height, width):
            self._whole = np.empty((3, height, width), np.uint8)
            self._half = np.empty((height // 2, width // 2), np.uint8)
        cv2.split(image, list(self._whole))
        for whole, small in zip(self._whole, self._planes, strict=True):
            cv2.resize(whole, self._half.shape[::-1], dst=self._half, interpolation=cv2.INTER_AREA)
            cv2.resize(self._half, small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)
        cv2.merge(list(self._planes), dst=self._small)
