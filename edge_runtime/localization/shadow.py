"""Where the belt is only darker than it was: the shadow of a thing, or a wet patch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.localization.separate import area_of, outlines_of

Plane = npt.NDArray[np.uint8]
"""`[height, width]`, one channel or a 0/255 mask."""

Planes = npt.NDArray[np.uint8]
"""`[3, height, width]`: luma, red and blue difference. Planes by themselves: bytes of one kind go 64 at a time."""

DARKEST_SHARE, FAINT_SHARE, LIGHTEST_SHARE = 0.55, 0.75, 0.95
CHROMA_LEVELS = 8
LEAST_REST = 0.3
WET_SHARE = 0.9
GREY = 128
SLOPE_STEPS = 128
"""What a colour loses with each level of luma is kept in steps of one part in so many."""


class Shade:
    """What the empty scene looks like in the shade: luma and both colour differences fall by the same ratio.

    All in bytes, and for the whole picture at once in buffers that are kept: many small pieces, wider numbers and fresh
    memory cost more than the arithmetic.

    Args:
        empty: The empty scene; kept, and looked at again where `learn` is told so.
    """

    def __init__(self, empty: Planes) -> None:
        size = empty.shape[1:]
        self._empty = empty
        self._darkest, self._lightest, self._found, self._scratch = np.empty((4, *size), np.uint8)
        self._slopes = np.empty((2, *size), np.int8)
        self._faded = np.empty(size, np.int8)
        self.learn(slice(None))

    def learn(self, rows: slice) -> None:
        """The empty scene changed in these rows."""
        luma, *colours = self._empty[:, rows]
        cv2.convertScaleAbs(luma, dst=self._darkest[rows], alpha=DARKEST_SHARE)
        cv2.convertScaleAbs(luma, dst=self._lightest[rows], alpha=LIGHTEST_SHARE)
        for colour, slope in zip(colours, self._slopes[:, rows], strict=True):
            # Off grey, as a signed byte: with its highest bit turned over.
            levels = np.bitwise_xor(colour, np.uint8(GREY)).view(np.int8)
            cv2.divide(levels, luma, dst=slope, scale=SLOPE_STEPS, dtype=cv2.CV_8S)

    def find(self, picture: Planes) -> Plane:
        """Mask, 0 or 255, of what may be belt in the shade; overwritten by the next call."""
        found, scratch = self._found, self._scratch
        cv2.inRange(picture[0], self._darkest, self._lightest, dst=found)
        # No shade falls by more than the 127 levels that a signed byte holds.
        fall = cv2.subtract(self._empty[0], picture[0], dst=scratch).view(np.int8)
        for now, colour, slope in zip(picture[1:], self._empty[1:], self._slopes, strict=True):
            cv2.multiply(fall, slope, dst=self._faded, scale=1 / SLOPE_STEPS)
            expected = np.subtract(colour, self._faded.view(np.uint8), out=self._faded.view(np.uint8))
            cv2.absdiff(now, expected, dst=expected)
            cv2.threshold(expected, CHROMA_LEVELS - 1, 255, cv2.THRESH_BINARY_INV, dst=expected)
            cv2.bitwise_and(found, expected, dst=found)
        return found  # type: ignore[no-any-return]

    def cut_off(
        self, regions: Sequence[MatLike], mask: Plane, picture: Planes, coloured: Plane | None = None
    ) -> list[list[MatLike]]:
        """Take the shadows that things cast from their regions.

        A thing that is nothing but darker than the belt is kept whole, unless it is so faintly: a wet or soiled patch.

        Args:
            regions: Outlines of what differs from the empty scene, none within another.
            mask: What differs from the empty scene, 0 or 255.
            picture: The picture that they are in.
            coloured: What is known to be no shade, however dark: a mask, 0 or 255.

        Returns:
            The outlines of what is left of each region that is a thing.
        """
        if not regions:
            return []
        shade = self.find(picture)
        if coloured is not None:
            cv2.subtract(shade, coloured, dst=shade)
        lit = cv2.subtract(mask, shade, dst=self._scratch)
        cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), dst=lit)
        kept = []
        for region, rest in zip(regions, _by_region(outlines_of(lit), regions), strict=True):
            if sum(map(area_of, rest)) >= LEAST_REST * area_of(region):
                kept.append(rest)
            elif not self._is_wet(region, picture):
                kept.append([region])
        return kept

    def _is_wet(self, region: MatLike, picture: Planes) -> bool:
        x, y, width, height = cv2.boundingRect(region)
        part = np.s_[y : y + height, x : x + width]
        inside = cv2.drawContours(np.zeros((height, width), np.uint8), [region], 0, (255,), cv2.FILLED, offset=(-x, -y))
        is_faint = picture[0][part] > FAINT_SHARE * self._empty[0][part]
        faint = (inside > 0) & (self._found[part] > 0) & is_faint
        return bool(np.count_nonzero(faint) >= WET_SHARE * area_of(region))


def _by_region(parts: Sequence[MatLike], regions: Sequence[MatLike]) -> list[list[MatLike]]:
    """The parts that lie in each of the regions."""
    owned: list[list[MatLike]] = [[] for _ in regions]
    frames = [(x, y, x + width, y + height) for x, y, width, height in map(cv2.boundingRect, regions)]
    order = deque(range(len(regions)))
    for part in parts:
        x, y = point = part[0, 0].tolist()
        for number in order:
            left, top, right, bottom = frames[number]
            if left <= x < right and top <= y < bottom and cv2.pointPolygonTest(regions[number], point, False) >= 0:
                owned[number].append(part)
                # Both come row by row, so that the next part is in this region or soon after it.
                order.rotate(-order.index(number))
                break
    return owned
