"""What the empty belt and its surround look like, learnt from the frames themselves and kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.records import Image
from edge_runtime.shadow import Plane, Shade

# Luma, red and blue difference: the least that a thing must differ by, in grey levels, at sensitivity 1.
FLOOR = (20.0, 9.0, 9.0)
SPREADS = 4.0
TINT_FLOOR, TINT_SPREADS = 10.8, 2.4
"""The least that both colour differences of a thing together exceed."""

CAMERA_NOISE = 2.0
STRIPS = 8
WARM_UP_STRIPS = 2
WARM_UP_FRAMES = 64
LEARNING_RATE = 0.1
REVEALED_SHARE = 0.08
SAMPLES = 160
LOOKED_AT_PX = 40
LEAST_GAIN = 0.04


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
    sideways = picture.transpose(1, 0, 2)
    if travels_along_x is None:
        travels_along_x = bool(_line_spread(_sampled(picture)).mean() <= _line_spread(_sampled(sideways)).mean())
    lines = picture if travels_along_x else sideways
    sample = _sampled(lines)
    line = np.median(sample, axis=1, keepdims=True)
    quiet = _line_spread(sample).sum(axis=2)[:, 0]
    rest = (sample - line)[quiet <= np.median(quiet)]
    light = np.clip(np.median(rest, axis=0, keepdims=True), -30, 30)
    light = cv2.blur(light, (max(3, light.shape[1] // 16), 1), borderType=cv2.BORDER_REPLICATE)
    spread = _line_spread(sample - (line + light))
    light = cv2.resize(light, (lines.shape[1], 1), interpolation=cv2.INTER_LINEAR)
    expected = np.clip(np.rint(line + light), 0, 255).astype(np.uint8)
    spread = np.broadcast_to(spread, expected.shape)
    if not travels_along_x:
        expected, spread = expected.transpose(1, 0, 2), spread.transpose(1, 0, 2)
    return BeltGuess(np.ascontiguousarray(expected), np.ascontiguousarray(spread, np.float32))


def _sampled(lines: Image) -> npt.NDArray[np.float32]:
    """Enough points of each line to know its median."""
    columns = np.linspace(0, lines.shape[1] - 1, min(SAMPLES, lines.shape[1])).round().astype(int)
    return lines[:, columns].astype(np.float32)


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
        belt: What the belt looks like, where that is known; None guesses it from the first picture.
    """

    def __init__(
        self,
        first: Image,
        travels_along_x: bool | None,
        sensitivity: float,
        min_area: float,
        max_area: float,
        belt: BeltGuess | None = None,
    ) -> None:
        self._sensitivity = sensitivity
        self._belt = belt or guess_belt(first, travels_along_x)
        self._belt_limit = self._limit(self._belt.spread)
        self._mean = first.astype(np.float32)
        self._spread = np.maximum(self._belt.spread, CAMERA_NOISE)
        self._threshold = self._limit(self._spread)
        self._frames = 0
        self.mean = first.copy()
        # Results land in buffers that are kept: fresh memory for each frame costs more than the arithmetic.
        self._excess = np.empty_like(first)
        self._planes, self._limits = ([np.empty(first.shape[:2], np.uint8) for _ in range(n)] for n in (5, 4))
        self.shade = Shade(first)
        self._lay_limits(slice(None))
        self._areas, self._lying = self._label_lying(first, min_area, max_area)
        self._lying_mask = (self._lying > 0).astype(np.uint8) * 255

    def foreground(self, picture: Image) -> Plane:
        """Mask, 0 or 255, of what differs from the empty scene; overwritten by the next call."""
        cv2.absdiff(picture, self.mean, dst=self._excess)
        cv2.split(self._excess, self._planes[:3])
        # What is as dark and nearly as grey as the belt differs a little in both colours: mould on rubber.
        luma, red, blue, tint, mask = self._planes
        cv2.add(red, blue, dst=tint)
        cv2.compare(luma, self._limits[0], cv2.CMP_GT, dst=mask)
        for plane, limit in zip((red, blue, tint), self._limits[1:], strict=True):
            cv2.bitwise_or(mask, cv2.compare(plane, limit, cv2.CMP_GT, dst=plane), dst=mask)
        return mask

    def gain(self, picture: Image) -> float:
        """How many times as light as the scene most of the picture is."""
        every = max(1, picture.shape[1] // LOOKED_AT_PX)
        now, before = picture[::every, ::every, 0].astype(np.float32), self.mean[::every, ::every, 0]
        return float(np.median(now / np.maximum(before, np.uint8(8))))

    def follow_light(self, gain: float) -> bool:
        """Scale the scene when the light on all of it changed at once (lamp, exposure); True if it did."""
        if abs(gain - 1) < LEAST_GAIN:
            return False
        self._mean[..., 0] *= gain
        self._mean[..., 1:] = 128 + (self._mean[..., 1:] - 128) * gain
        cv2.convertScaleAbs(self._mean, dst=self.mean)
        self.shade.learn(self.mean, slice(None))
        return True

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
        strips = WARM_UP_STRIPS if self._frames < WARM_UP_FRAMES else STRIPS
        strip, visit = self._frames % strips, self._frames // strips
        rate = max(LEARNING_RATE, 1 / (visit + 2))
        self._learn_rows(picture, keep_out, slice(height * strip // strips, height * (strip + 1) // strips), rate)
        self._frames += 1

    def absorb(self, picture: Image, mask: Plane) -> None:
        """Take what the mask covers as part of the empty scene from now on."""
        where = mask > 0
        self._mean[where] = picture[where]
        self._spread[where] = CAMERA_NOISE
        self.mean[where] = picture[where]
        self._threshold[where] = self._limit(self._spread[where].reshape(-1, 1, 3)).reshape(-1, 3)
        self._lay_limits(slice(None))

    def _learn_rows(self, picture: Image, keep_out: Plane, rows: slice, rate: float) -> None:
        allowed = cv2.bitwise_not(keep_out[rows], dst=self._planes[1][rows])
        difference = cv2.absdiff(picture[rows], self.mean[rows], dst=self._excess[rows])
        cv2.accumulateWeighted(picture[rows], self._mean[rows], rate, allowed)
        cv2.accumulateWeighted(difference, self._spread[rows], rate, allowed)
        cv2.convertScaleAbs(self._mean[rows], dst=self.mean[rows])
        self._limit(self._spread[rows], self._threshold[rows])
        self._lay_limits(rows)

    def _lay_limits(self, rows: slice) -> None:
        """The thresholds as planes, those of luma, both colours, and both together; and what the shade looks like."""
        *_, red, blue, tint = limits = [plane[rows] for plane in self._limits]
        cv2.split(self._threshold[rows], limits[:3])
        share = TINT_SPREADS / SPREADS
        least = (TINT_FLOOR - share * (FLOOR[1] + FLOOR[2])) / self._sensitivity
        cv2.addWeighted(red, share, blue, share, least, dst=tint)
        self.shade.learn(self.mean, rows)

    def _limit(self, spread: npt.NDArray[np.float32], out: Image | None = None) -> Image:
        scaled = cv2.convertScaleAbs(spread, dst=out, alpha=SPREADS / self._sensitivity)
        floor = np.array([[*FLOOR, 0.0]]) / self._sensitivity
        limit: Image = cv2.add(scaled, floor.T, dst=scaled)  # type: ignore[assignment]
        return limit

    def _reset(self, where: npt.NDArray[np.bool_]) -> None:
        self._mean[where] = self._belt.expected[where]
        self.mean[where] = self._belt.expected[where]
        self._spread[where] = np.maximum(self._belt.spread[where], CAMERA_NOISE)
        self._threshold[where] = self._limit(self._spread[where].reshape(-1, 1, 3)).reshape(-1, 3)
        self._lay_limits(slice(None))

    def _label_lying(
        self, first: Image, min_area: float, max_area: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """What in the first picture is no belt, by label: areas (0 for what cannot be one fruit) and the labels."""
        differs = _any_channel(cv2.subtract(cv2.absdiff(first, self._belt.expected), self._belt_limit))
        opened = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        areas[0] = 0
        areas[(areas < min_area) | (areas > max_area)] = 0
        labels[areas[labels] == 0] = 0
        # A fruit's soft edge lies outside its label but is fruit all the same.
        grown = cv2.dilate(labels.astype(np.float32), np.ones((5, 5), np.uint8)).astype(np.int32)
        return areas, grown


def _any_channel(excess: MatLike, planes: Sequence[Plane] | None = None) -> Plane:
    """255 where any channel is above 0; in the first of `planes`, if given."""
    first, second, third = cv2.split(excess, planes)
    cv2.max(first, second, dst=first)
    cv2.max(first, third, dst=first)
    return cv2.threshold(first, 0, 255, cv2.THRESH_BINARY, dst=first)[1]  # type: ignore[return-value]
