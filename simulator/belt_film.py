"""One long picture of a belt from pictures in which it runs past, with ends that meet. Pure."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import BeltDirection, Image

_SLIT_PX = 8
"""The belt moves at least so far from one picture that is used to the next: with fewer joints, fewer show."""

_FEATHER_PX = 4
_ROWS = 128
_PATCH = 8
"""The part of a picture's width that is looked for in the next one."""

_OFF_PX, _OFF_SHARE = 3, 0.15
"""How far it may lie from where the belt's way puts it, at least and of the way."""

_SURE = 0.5
"""Correlation from which it counts as found."""

_GAIN = (0.5, 2.0)


class BeltStrip:
    """Puts a belt together from pictures of it: a slit scan.

    Each picture gives the columns at its middle, as many as the belt has run on since the last one. So light that
    falls unevenly on a picture, and what stands still in it, make the strip's rows differ and never its columns
    (strips instead of whole pictures: Peleg and Herman 1997).

    Args:
        direction: LEFT or RIGHT, where the belt runs to in the pictures.
        most_px: The strip takes no more columns.
    """

    def __init__(self, direction: BeltDirection, *, most_px: int) -> None:
        self._to_right = direction is BeltDirection.RIGHT
        self._most_px = most_px
        self._last: Image | None = None
        self._last_px = 0
        self._parts: list[Image] = []
        self.length_px = 0

    @property
    def full(self) -> bool:
        """Whether further pictures make no difference."""
        return self.length_px >= self._most_px

    def wants(self, way_px: float) -> bool:
        """Whether a picture taken when the belt has run so far adds anything."""
        return self._last is None or (not self.full and round(way_px) - self._last_px >= _SLIT_PX)

    def add(self, picture: Image, way_px: float) -> None:
        """Take in the next picture, if it adds anything.

        Args:
            picture: `[height, width, 3]` uint8 RGB, always of one size.
            way_px: How far the belt has run since any fixed time; never less than for the picture before.
        """
        if not self.wants(way_px):
            return
        # On a belt that runs to the left, what is new stands right of what was seen.
        seen = picture[:, ::-1] if self._to_right else picture
        here_px = round(way_px)
        if self._last is None:
            self._last, self._last_px = seen, here_px
            return
        middle = seen.shape[1] // 2
        # A belt that no picture showed for longer than this is shorter by as much.
        new_px = _shift_px(self._last, seen, min(here_px - self._last_px, middle))
        share = np.clip((np.arange(new_px) - (new_px - 1) / 2) / _FEATHER_PX + 0.5, 0, 1)
        before, after = self._last[:, middle : middle + new_px], seen[:, middle - new_px : middle]
        self._parts.append(_faded(before, after, share))
        self.length_px += new_px
        self._last, self._last_px = seen, here_px

    def picture(self) -> Image:
        """What was put together, `[height, length_px, 3]` uint8 RGB, as the pictures show it."""
        strip = np.concatenate(self._parts, axis=1)[:, : self._most_px]
        return np.ascontiguousarray(strip[:, ::-1] if self._to_right else strip)


def _shift_px(before: Image, after: Image, expected_px: int) -> int:
    """How far left the belt lies in the second picture, to a pixel; as expected where it has nothing to go by."""
    width_px = before.shape[1]
    half_px, off_px = width_px // _PATCH // 2, max(_OFF_PX, round(_OFF_SHARE * expected_px))
    left_px = width_px // 2 - half_px
    begin_px = left_px - expected_px - off_px
    end_px = left_px + 2 * half_px - expected_px + off_px
    if begin_px < 0:
        return expected_px
    patch = cv2.cvtColor(before[:, left_px : left_px + 2 * half_px], cv2.COLOR_RGB2GRAY)
    there = cv2.cvtColor(after[:, begin_px:end_px], cv2.COLOR_RGB2GRAY)
    found = cv2.matchTemplate(there, patch, cv2.TM_CCOEFF_NORMED)[0]
    best = int(np.argmax(found))
    return expected_px + off_px - best if found[best] >= _SURE else expected_px


def levelled(strip: Image, *, within_px: int) -> Image:
    """A strip without what the film's own exposure and white balance did to it while it was taken.

    Args:
        strip: `[height, length, 3]` uint8 RGB.
        within_px: Colour that changes over less than that is the belt's own; what changes more slowly is taken away.
    """
    medians = np.median(strip[:: max(1, strip.shape[0] // _ROWS)], axis=0).astype(np.float32)
    slow = cv2.blur(medians[None], (within_px, 1), borderType=cv2.BORDER_REPLICATE)[0]
    gain = np.clip(np.median(slow, axis=0) / np.maximum(slow, 1.0), *_GAIN)
    even = np.empty_like(strip)
    for top in range(0, strip.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        even[rows] = np.clip(np.round(strip[rows] * gain), 0, 255)
    return even


def ring(strip: Image, *, least_px: int, overlap_px: int) -> Image:
    """One period of a strip: cut where its end looks most like its beginning, and the two faded into one another.

    Where the belt comes round in the film, that is a whole number of its own lengths.

    Args:
        strip: `[height, length, 3]` uint8 RGB.
        least_px: The period is no shorter.
        overlap_px: How much of both ends is compared and faded; `length` is at least both together.

    Returns:
        `[height, period, 3]` uint8 RGB whose left and right edges meet.
    """
    grey = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (grey.shape[1], min(_ROWS, grey.shape[0])), interpolation=cv2.INTER_AREA)
    unlike = cv2.matchTemplate(small[:, least_px:], small[:, :overlap_px], cv2.TM_SQDIFF)[0]
    period_px = least_px + int(np.argmin(unlike))
    share = (np.arange(overlap_px) + 0.5) / overlap_px
    begin = _faded(strip[:, period_px : period_px + overlap_px], strip[:, :overlap_px], share)
    return np.concatenate([begin, strip[:, overlap_px:period_px]], axis=1)


def _faded(one: Image, other: Image, share: npt.NDArray[np.float64]) -> Image:
    """From one picture to another of the same size, by the `[width]` shares of the other."""
    return np.asarray(np.round(one + share[:, None] * (other.astype(np.float32) - one)), np.uint8)
