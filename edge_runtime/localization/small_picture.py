"""The smaller picture that things are looked for in."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from edge_runtime.localization.shadow import Planes
from edge_runtime.records import Image

LONGER_SIDE_PX = 640
LEAST_FOUND_PX = 256
"""Of the longer side of the picture that things are looked for in, where that is half of what they are looked at in."""

Region = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture."""


def factor_of(height: int, width: int) -> int:
    """By how much a picture is made smaller: by two, or to about 640 px where that is more."""
    return max(2, round(max(height, width) / LONGER_SIDE_PX))


def is_large(height: int, width: int) -> bool:
    """Whether things are found in half of what `factor_of` makes of a picture, and looked at closely in that.

    Only of a picture whose sides can be divided so: else it takes longer than it spares.
    """
    times = 2 * factor_of(height, width)
    return max(height, width) >= LEAST_FOUND_PX * times and height % times == width % times == 0


class SmallPicture:
    """Makes pictures smaller, in buffers that are kept: fresh memory for each frame costs more than the arithmetic."""

    def __init__(self) -> None:
        self._small = np.empty((0, 0, 3), np.uint8)
        self._planes: Planes = np.empty((3, 0, 0), np.uint8)
        self._steps = [self._planes]
        self._of: tuple[tuple[int, ...], ...] = ()
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
            self._in_steps(image)
        else:
            cv2.resize(image, size, dst=self._small, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(self._small, cv2.COLOR_RGB2YCrCb, dst=self._small)
        cv2.split(self._small, list(self._planes))
        return self._small, self._planes

    def closely(self, region: Region) -> Planes:
        """A part of the latest picture, twice as large: `[3, 2 height, 2 width]` YCrCb."""
        left, top, right, bottom = region
        planes = self._steps[-1][:, 2 * top : 2 * bottom, 2 * left : 2 * right]
        return np.stack(cv2.split(cv2.cvtColor(cv2.merge(list(planes)), cv2.COLOR_RGB2YCrCb)))

    def _in_steps(self, image: Image) -> None:
        """Halved again and again, colour by colour: far quicker than at once, or all three together."""
        if self._of != (image.shape, self._planes.shape):
            self._of, self._steps = (image.shape, self._planes.shape), _steps(image, self._planes)
        first, *_ = self._steps
        if first.shape[1:] != image.shape[:2]:
            image = cv2.resize(image, first.shape[:0:-1], interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        cv2.split(image, list(first))
        for larger, smaller in pairwise((*self._steps, self._planes)):
            for one, other in zip(larger, smaller, strict=True):
                cv2.resize(one, other.shape[::-1], dst=other, interpolation=cv2.INTER_AREA)
        cv2.merge(list(self._planes), dst=self._small)


def _steps(image: Image, small: Planes) -> list[Planes]:
    """Room for the picture made twice, four times ... as large as the small one, the largest first.

    As large as the picture itself, if that is one of them; else for the one twice as large alone.
    """
    (height, width), (_, low, narrow) = image.shape[:2], small.shape
    times = [2]
    while times[0] * low < height:
        times.insert(0, 2 * times[0])
    if (times[0] * low, times[0] * narrow) != (height, width):
        times = [2]
    return [np.empty((3, each * low, each * narrow), np.uint8) for each in times]
