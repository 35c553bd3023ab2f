"""Where the belt is only darker than it was: the shadow of a thing, or a wet patch."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.records import Image
from edge_runtime.separate import area_of, outlines_of

Plane = npt.NDArray[np.uint8]
"""`[height, width]`, one channel or a 0/255 mask."""

DARKEST_SHARE, FAINT_SHARE, LIGHTEST_SHARE = 0.55, 0.75, 0.95
CHROMA_LEVELS = 8
LEAST_REST = 0.3
WET_SHARE = 0.9


class Shade:
    """What the empty scene looks like in the shade: luma and both colour differences fall by the same ratio.

    Ratios are cross-multiplied to stay in whole numbers; the products just fit 16 bits, their difference is saturated.
    Everything is computed for the whole picture at once, in buffers that are kept: many small pieces and fresh memory
    cost more than the arithmetic.

    Args:
        empty: `[height, width, 3]` uint8 YCrCb.
    """

    def __init__(self, empty: Image) -> None:
        size = empty.shape[:2]
        self._empty, self._now = np.empty((2, 3, *size), np.int16)
        self._limit, self._faded, self._expected = np.empty((3, *size), np.int16)
        self._darkest, self._faint, self._lightest = np.empty((3, *size), np.uint8)
        self._planes = [np.empty(size, np.uint8) for _ in range(3)]
        self._found, self._scratch = np.empty((2, *size), np.uint8)
        self._owner = np.empty(size, np.uint16)
        self.learn(empty, slice(None))

    def learn(self, empty: Image, rows: slice) -> None:
        """The empty scene changed in these rows."""
        luma = self._widen(empty[rows], self._empty[:, rows], rows)
        np.multiply(self._empty[0][rows], np.int16(CHROMA_LEVELS), out=self._limit[rows])
        cv2.convertScaleAbs(luma, dst=self._darkest[rows], alpha=DARKEST_SHARE)
        cv2.convertScaleAbs(luma, dst=self._faint[rows], alpha=FAINT_SHARE)
        cv2.convertScaleAbs(luma, dst=self._lightest[rows], alpha=LIGHTEST_SHARE)

    def find(self, picture: Image) -> Plane:
        """Mask, 0 or 255, of what may be belt in the shade; overwritten by the next call."""
        luma = self._widen(picture, self._now, slice(None))
        cv2.inRange(luma, self._darkest, self._lightest, dst=self._found)
        for now, empty in zip(self._now[1:], self._empty[1:], strict=True):
            cv2.multiply(now, self._empty[0], dst=self._faded)
            cv2.multiply(empty, self._now[0], dst=self._expected)
            cv2.absdiff(self._faded, self._expected, dst=self._faded)
            cv2.compare(self._faded, self._limit, cv2.CMP_LT, dst=self._scratch)
            cv2.bitwise_and(self._found, self._scratch, dst=self._found)
        return self._found  # type: ignore[no-any-return]

    def cut_off(self, regions: Sequence[MatLike], picture: Image) -> list[list[MatLike]]:
        """Take the shadows that things cast from their regions.

        A thing that is nothing but darker than the belt is kept whole, unless it is so faintly: a wet or soiled patch.

        Args:
            regions: Outlines of what differs from the empty scene, none within another.
            picture: `[height, width, 3]` uint8 YCrCb.

        Returns:
            The outlines of what is left of each region that is a thing.
        """
        if not regions:
            return []
        self._owner[:] = 0
        for number, region in enumerate(regions, start=1):
            cv2.drawContours(self._owner, [region], 0, (number,), cv2.FILLED)
        shaded = self.find(picture)
        lit = cv2.compare(self._owner, 0, cv2.CMP_GT, dst=self._scratch)  # type: ignore[call-overload]
        cv2.subtract(lit, shaded, dst=lit)
        cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), dst=lit)
        parts: list[list[MatLike]] = [[] for _ in regions]
        for outline in outlines_of(lit):
            x, y = outline[0, 0]
            parts[self._owner[y, x] - 1].append(outline)
        kept = []
        for number, (region, rest) in enumerate(zip(regions, parts, strict=True), start=1):
            if sum(map(area_of, rest)) >= LEAST_REST * area_of(region):
                kept.append(rest)
            elif not self._is_wet(region, number):
                kept.append([region])
        return kept

    def _is_wet(self, region: MatLike, number: int) -> bool:
        x, y, width, height = cv2.boundingRect(region)
        part = np.s_[y : y + height, x : x + width]
        faint = (self._owner[part] == number) & (self._found[part] > 0) & (self._planes[0][part] > self._faint[part])
        return bool(np.count_nonzero(faint) >= WET_SHARE * area_of(region))

    def _widen(self, picture: Image, levels: npt.NDArray[np.int16], rows: slice) -> Plane:
        """Luma and signed colour differences, 16 bits, into `levels`; returns luma in 8."""
        planes = [plane[rows] for plane in self._planes]
        cv2.split(picture, planes)
        for wide, plane in zip(levels, planes, strict=True):
            np.copyto(wide, plane)
        levels[1:] -= np.int16(128)
        return planes[0]
