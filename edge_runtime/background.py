"""What the empty belt and its surround look like, learnt from the frames themselves and kept up to date."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.records import Image

Plane = npt.NDArray[np.uint8]
"""`[height, width]`, one channel or a 0/255 mask."""

# Luma, red and blue difference: the least that a thing must differ by, in grey levels, at sensitivity 1.
FLOOR = np.array([20.0, 9.0, 9.0], np.float32)
SPREADS = 4.0
CAMERA_NOISE = 2.0
STRIPS = 8
WARM_UP_FRAMES = 24
LEARNING_RATE = 0.1
REVEALED_SHARE = 0.08


@dataclass(frozen=True)
class BeltGuess:
    """The belt as one picture shows it, along lines of travel: `expected` `[h, w, 3]` uint8 and its `spread`."""

    expected: Image
    spread: npt.NDArray[np.float32]


def guess_belt(picture: Image, travels_along_x: bool | None) -> BeltGuess:
    """Estimate the empty belt from one picture in which fruit may lie.

    A belt looks the same all along its way, so each line of travel is described by its median and its median absolute
    deviation, which fruit on less than half of the line cannot move. Light that changes along the belt is taken from
    the quieter half of the lines.

    Args:
        picture: `[height, width, 3]` uint8 YCrCb.
        travels_along_x: Whether the belt moves horizontally; None takes the direction in which lines vary less.
    """
    values = picture.astype(np.float32)
    if travels_along_x is None:
        travels_along_x = _line_spread(values).mean() <= _line_spread(values.transpose(1, 0, 2)).mean()
    if not travels_along_x:
        values = values.transpose(1, 0, 2)
    line = np.median(values, axis=1, keepdims=True)
    spread = _line_spread(values)
    quiet = spread.sum(axis=2)[:, 0]
    rest = (values - line)[quiet <= np.median(quiet)]
    light = np.clip(np.median(rest, axis=0, keepdims=True), -30, 30)
    width = max(3, values.shape[1] // 16)
    light = cv2.blur(light, (width, 1), borderType=cv2.BORDER_REPLICATE)
    expected = line + light.reshape(1, -1, 3)
    spread = np.broadcast_to(_line_spread(values - expected), values.shape)
    if not travels_along_x:
        expected, spread = expected.transpose(1, 0, 2), spread.transpose(1, 0, 2)
    rounded = np.clip(np.rint(expected), 0, 255).astype(np.uint8)
    return BeltGuess(np.ascontiguousarray(rounded), np.ascontiguousarray(spread, np.float32))


def _line_spread(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Median absolute deviation of each row, scaled to the mean absolute deviation of a normal, `[rows, 1, 3]`."""
    centre = np.median(values, axis=1, keepdims=True)
    spread: npt.NDArray[np.float32] = np.median(np.abs(values - centre), axis=1, keepdims=True) * np.float32(1.18)
    return spread


class Background:
    """Running mean and mean absolute deviation of every pixel of the empty scene.

    The first picture counts as background, fruit in it included: a thing that lies still is no fruit yet. What of it
    turns out to be belt once it moves on (the pixel then agrees with the belt as guessed along its line of travel)
    is corrected at once for the whole thing.

    Args:
        first: `[height, width, 3]` uint8 YCrCb.
        travels_along_x: Whether the belt moves horizontally; None if not known.
        sensitivity: Divides the threshold.
        min_area, max_area: Size of a fruit in pixels of this picture.
    """

    def __init__(
        self, first: Image, travels_along_x: bool | None, sensitivity: float, min_area: float, max_area: float
    ) -> None:
        self._sensitivity = sensitivity
        self._belt = guess_belt(first, travels_along_x)
        self._belt_limit = self._limit(self._belt.spread)
        self._mean = first.astype(np.float32)
        self._spread = np.maximum(self._belt.spread, CAMERA_NOISE)
        self.mean = first.copy()
        self._threshold = self._limit(self._spread)
        self._frames = 0
        self._lying = self._label_lying(first, min_area, max_area)

    def foreground(self, picture: Image) -> Plane:
        """Mask, 0 or 255, of what differs from the empty scene."""
        return _any_channel(cv2.subtract(cv2.absdiff(picture, self.mean), self._threshold))

    def correct(self, picture: Image, foreground: Plane) -> bool:
        """Learn from belt that came to light where the first picture had fruit; True if anything was learnt."""
        if not self._areas.any():
            return False
        box = cv2.boundingRect(cv2.bitwise_and(foreground, self._lying_mask))
        if not box[2]:
            return False
        part = np.s_[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
        lying = self._lying[part]
        is_belt = _any_channel(
            cv2.subtract(cv2.absdiff(picture[part], self._belt.expected[part]), self._belt_limit[part])
        )
        revealed = (lying > 0) & (foreground[part] > 0) & (is_belt == 0)
        if not revealed.any():
            return False
        counts = np.bincount(lying[revealed], minlength=len(self._areas))
        gone = np.flatnonzero((counts >= REVEALED_SHARE * self._areas) & (self._areas > 0))
        if gone.size == 0:
            return False
        self._reset(np.isin(self._lying, gone))
        self._areas[gone] = 0
        return True

    def learn(self, picture: Image, keep_out: Plane) -> None:
        """Follow slow changes, outside the mask `keep_out`; one strip of the picture at a time once warmed up."""
        height = picture.shape[0]
        if self._frames < WARM_UP_FRAMES:
            self._learn_rows(picture, keep_out, 0, height, max(LEARNING_RATE, 1 / (self._frames + 2)))
        else:
            strip = self._frames % STRIPS
            self._learn_rows(picture, keep_out, height * strip // STRIPS, height * (strip + 1) // STRIPS, LEARNING_RATE)
        self._frames += 1

    def absorb(self, picture: Image, mask: Plane) -> None:
        """Take what the mask covers as part of the empty scene from now on."""
        where = mask > 0
        self._mean[where] = picture[where]
        self._spread[where] = CAMERA_NOISE
        self.mean[where] = picture[where]
        self._threshold[where] = self._limit(self._spread[where])

    def _learn_rows(self, picture: Image, keep_out: Plane, top: int, bottom: int, rate: float) -> None:
        rows = np.s_[top:bottom]
        allowed = cv2.bitwise_not(keep_out[rows])
        difference = cv2.absdiff(picture[rows], self.mean[rows])
        cv2.accumulateWeighted(picture[rows], self._mean[rows], rate, allowed)
        cv2.accumulateWeighted(difference, self._spread[rows], rate, allowed)
        np.rint(self._mean[rows], out=self.mean[rows], casting="unsafe")
        self._threshold[rows] = self._limit(self._spread[rows])

    def _limit(self, spread: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        limit = (FLOOR + SPREADS * spread) / np.float32(self._sensitivity)
        return np.minimum(limit, 255).astype(np.uint8)

    def _reset(self, where: npt.NDArray[np.bool_]) -> None:
        self._mean[where] = self._belt.expected[where]
        self.mean[where] = self._belt.expected[where]
        self._spread[where] = np.maximum(self._belt.spread[where], CAMERA_NOISE)
        self._threshold[where] = self._limit(self._spread[where])

    def _label_lying(self, first: Image, min_area: float, max_area: float) -> npt.NDArray[np.int32]:
        differs = _any_channel(cv2.subtract(cv2.absdiff(first, self._belt.expected), self._belt_limit))
        opened = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
        self._areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        self._areas[0] = 0
        self._areas[(self._areas < min_area) | (self._areas > max_area)] = 0
        labels[self._areas[labels] == 0] = 0
        # A fruit's soft edge lies outside its label but is fruit all the same.
        grown = cv2.dilate(labels.astype(np.float32), np.ones((5, 5), np.uint8)).astype(np.int32)
        self._lying_mask = (grown > 0).astype(np.uint8) * 255
        return grown


def _any_channel(excess: MatLike) -> Plane:
    first, second, third = cv2.split(excess)
    return cv2.threshold(cv2.max(cv2.max(first, second), third), 0, 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]
