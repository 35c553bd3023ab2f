"""What the empty belt and its surround look like, learnt from the frames themselves and kept up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.localization.mask import twice
from edge_runtime.localization.shadow import GREY, Plane, Planes, Shade
from edge_runtime.localization.small_picture import Region
from edge_runtime.localization.tint import BLOCK_PX, Tint
from edge_runtime.records import Image

# Luma, red and blue difference: the least that a thing must differ by, in grey levels, at sensitivity 1.
FLOORS = (20.0, 9.0, 9.0)
SPREADS = 4.0
TINT_FLOOR, TINT_SPREADS = 10.8, 2.4
"""The least that both colour differences of a thing together exceed."""

CAMERA_NOISE = 2.0
STRIPS = 16
WARM_UP_STRIPS = 4
WARM_UP_FRAMES = 64
LEARNING_RATE = 0.2
SOFT_EDGE_PX = 2
REVEALED_SHARE = 0.08
SAMPLES = 160
LOOKED_AT_PX = 40
LEAST_GAIN = 0.04
CLEAR_SHARE = 0.05
"""Of a thing: what differs by a trace of colour all over is a stain of the belt, while mould lies on a fruit."""


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
        along, across = (_spread(one, _median(one, axis=1)).mean() for one in (_sampled(picture), _sampled(sideways)))
        travels_along_x = bool(along <= across)
    lines = picture if travels_along_x else sideways
    sample = _sampled(lines)
    line = _median(sample, axis=1)
    quiet = _spread(sample, line).sum(axis=2)[:, 0]
    rest = (sample - line)[quiet <= np.median(quiet)]
    rough = np.clip(_median(rest, axis=0), -30, 30)
    light = cv2.blur(rough, (max(3, rough.shape[1] // 16), 1), borderType=cv2.BORDER_REPLICATE)
    sample -= line + light
    spread = _spread(sample, _median(sample, axis=1))
    light = cv2.resize(light, (lines.shape[1], 1), interpolation=cv2.INTER_LINEAR)
    expected = np.empty_like(lines)
    for channel in range(3):  # all at once would need fresh memory, which costs more than the arithmetic
        level = np.rint(line[..., channel] + light[..., channel])
        np.clip(level, 0, 255, out=expected[..., channel], casting="unsafe")
    spread = np.broadcast_to(spread, expected.shape)
    if not travels_along_x:
        expected, spread = expected.transpose(1, 0, 2), spread.transpose(1, 0, 2)
    return BeltGuess(expected, spread)


def _magnified(planes: Planes) -> Planes:
    """Twice as large; as one tall picture, for a call costs more than the arithmetic."""
    _, height, width = planes.shape
    tall = cv2.resize(np.ascontiguousarray(planes).reshape(-1, width), (2 * width, 6 * height))
    return tall.reshape(3, 2 * height, 2 * width)  # type: ignore[return-value]


def _differs(picture: Planes, empty: Planes, limits: Planes, tint_limit: MatLike, scratch: Planes) -> Plane:
    """Mask, 0 or 255, of what differs from the empty scene by more than the limits; lies in the scratch."""
    luma, red, blue = zip(picture, empty, limits, strict=True)
    one, other, exceeds, mask = scratch
    cv2.compare(cv2.absdiff(*luma[:2], dst=one), luma[2], cv2.CMP_GT, dst=mask)
    for plane, (now, shown, limit) in ((one, red), (other, blue)):
        cv2.compare(cv2.absdiff(now, shown, dst=plane), limit, cv2.CMP_GT, dst=exceeds)
        cv2.bitwise_or(mask, exceeds, dst=mask)
    # What is as dark and nearly as grey as the belt differs a little in both colours: mould on rubber.
    cv2.compare(cv2.add(one, other, dst=one), tint_limit, cv2.CMP_GT, dst=exceeds)
    cv2.bitwise_or(mask, exceeds, dst=mask)
    return mask  # type: ignore[no-any-return]


def _sampled(lines: Image) -> npt.NDArray[np.float32]:
    """Enough points of each line to know its median."""
    columns = np.linspace(0, lines.shape[1] - 1, min(SAMPLES, lines.shape[1])).round().astype(int)
    return lines[:, columns].astype(np.float32)


def _spread(lines: npt.NDArray[np.float32], centre: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Median absolute deviation of each line, scaled to the mean absolute deviation of a normal, `[lines, 1, 3]`."""
    return _median(np.abs(lines - centre), axis=1) * np.float32(1.18)


def _median(values: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """`np.median` with `keepdims`, to the bit and in half the time: pictures go by while the first is looked at."""
    ordered = np.moveaxis(values, axis, -1).copy()  # points that are compared lie side by side
    low, high = (ordered.shape[-1] - 1) // 2, ordered.shape[-1] // 2
    ordered.partition((low, high), axis=-1)
    return np.expand_dims((ordered[..., low] + ordered[..., high]) * np.float32(0.5), axis)


class Closely(NamedTuple):
    """A part of a picture: what differs from the empty scene in it, and how to tell shade there.

    `mask` 0 or 255; `coloured` is what is no shade, however dark, None if there is nothing of that kind.
    """

    mask: Plane
    shade: Shade
    coloured: Plane | None


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
        block_px: As in `Tint`.
    """

    def __init__(
        self,
        first: Image,
        travels_along_x: bool | None,
        sensitivity: float,
        min_area: float,
        max_area: float,
        belt: BeltGuess | None = None,
        block_px: int = BLOCK_PX,
    ) -> None:
        self._sensitivity = sensitivity
        belt = belt or guess_belt(first, travels_along_x)
        self._belt: Planes = np.ascontiguousarray(belt.expected.transpose(2, 0, 1))
        self._belt_spread = np.ascontiguousarray(belt.spread.transpose(2, 0, 1))
        self._belt_limits = np.empty_like(self._belt)
        self.mean: Planes = np.ascontiguousarray(first.transpose(2, 0, 1))
        self._mean = self.mean.astype(np.float32)
        self._spread = np.maximum(self._belt_spread, CAMERA_NOISE)
        self._frames = 0
        # Results land in buffers that are kept: fresh memory for each frame costs more than the arithmetic.
        self._limits = np.empty_like(self.mean)
        self._tint_limit = np.empty(first.shape[:2], np.uint8)
        self._scratch = np.empty((4, *first.shape[:2]), np.uint8)
        self._clear: Plane | None = None
        self._traces: Plane | None = None
        self.shade = Shade(self.mean)
        self.tint = Tint(self.mean, sensitivity, block_px)
        for spread, floor, limit in zip(self._belt_spread, FLOORS, self._belt_limits, strict=True):
            self._lay_limit(spread, floor, limit)
        self._lay_limits(slice(None))
        self._areas, self._lying = self._label_lying(self.mean, min_area, max_area)
        self._lying_mask = (self._lying > 0).astype(np.uint8) * 255

    def foreground(self, picture: Planes) -> Plane:
        """Mask, 0 or 255, of what differs from the empty scene; overwritten by the next call."""
        return _differs(picture, self.mean, self._limits, self._tint_limit, self._scratch)

    def closely(self, picture: Planes, part: Region) -> Closely:
        """What a part of the latest picture, seen twice as large, shows beside the empty scene.

        The scene is magnified instead of learnt twice as large: it changes little from pixel to pixel, and what it does
        is in each pixel's limit.

        Args:
            picture: Of that part, `[3, 2 height, 2 width]`.
            part: Left, top, right and bottom of it.
        """
        left, top, right, bottom = part
        where = np.s_[..., top:bottom, left:right]
        empty, limits = _magnified(self.mean[where]), _magnified(self._limits[where])
        tint_limit = cv2.resize(self._tint_limit[where], None, fx=2, fy=2)
        mask = _differs(picture, empty, limits, tint_limit, np.empty((4, *picture.shape[1:]), np.uint8))
        coloured = None
        if self._traces is not None and self.tint.inner is not None:
            cv2.bitwise_or(mask, twice(self._traces[where]), dst=mask)
            coloured = twice(self.tint.inner[where])
        return Closely(mask, Shade(empty), coloured)

    def add_traces(self, mask: Plane, picture: Planes) -> None:
        """Add what differs by a trace of colour to the latest mask of what is foreground."""
        self._traces = traces = self.tint.find(picture, mask, self._scratch[0])
        self._clear = None if traces is None else mask.copy()
        if traces is not None:
            cv2.bitwise_or(mask, traces, dst=mask)

    def shows_clearly(self, box: tuple[float, float, float, float], area: float) -> bool:
        """Whether enough of a thing in the latest picture differs by itself, and not by a trace of colour alone.

        Args:
            box: Of the thing, `(x, y, width, height)`.
            area: Of the thing, in pixels.
        """
        x, y, width, height = map(round, box)
        return self._clear is None or cv2.countNonZero(self._clear[y : y + height, x : x + width]) >= CLEAR_SHARE * area

    def gain(self, picture: Planes) -> float:
        """How many times as light as the scene most of the picture is."""
        every = max(1, picture.shape[2] // LOOKED_AT_PX)
        now, before = picture[0, ::every, ::every].astype(np.float32), self.mean[0, ::every, ::every]
        ratios = (now / np.maximum(before, np.uint8(8))).ravel()
        middle = ratios.size // 2
        return float(np.partition(ratios, middle)[middle])

    def follow_light(self, gain: float) -> bool:
        """Scale the scene when the light on all of it changed at once (lamp, exposure); True if it did."""
        if abs(gain - 1) < LEAST_GAIN:
            return False
        self._mean[0] *= gain
        self._mean[1:] = GREY + (self._mean[1:] - GREY) * gain
        for mean, shown in zip(self._mean, self.mean, strict=True):
            cv2.convertScaleAbs(mean, dst=shown)
        self.shade.learn(slice(None))
        self.tint.learn()
        return True

    def correct(self, picture: Planes, foreground: Plane) -> bool:
        """Learn from belt that came to light where the first picture had fruit; True if anything was learnt."""
        if not self._areas.any():
            return False
        x, y, width, height = cv2.boundingRect(cv2.bitwise_and(foreground, self._lying_mask))
        if not width:
            return False
        part = np.s_[y : y + height, x : x + width]
        lying = self._lying[part]
        revealed = (lying > 0) & (foreground[part] > 0) & ~self._differs_from_belt(picture, part)
        if not revealed.any():
            return False
        counts = np.bincount(lying[revealed], minlength=len(self._areas))
        gone = np.flatnonzero((counts >= REVEALED_SHARE * self._areas) & (self._areas > 0))
        if gone.size == 0:
            return False
        self._set(np.isin(self._lying, gone), self._belt, np.maximum(self._belt_spread, np.float32(CAMERA_NOISE)))
        self._areas[gone] = 0
        return True

    def learn(self, picture: Planes, things: Plane) -> None:
        """Follow slow changes but at the mask `things`; one strip of the picture at a time once warmed up."""
        height = picture.shape[1]
        strips = WARM_UP_STRIPS if self._frames < WARM_UP_FRAMES else STRIPS
        strip, visit = self._frames % strips, self._frames // strips
        rate = max(LEARNING_RATE, 2 / (visit + 3))
        self._learn_rows(picture, things, slice(height * strip // strips, height * (strip + 1) // strips), rate)
        self.tint.follow()
        self._frames += 1

    def absorb(self, picture: Planes, mask: Plane) -> None:
        """Take what the mask covers as part of the empty scene from now on."""
        self._set(mask > 0, picture, np.full_like(self._spread, CAMERA_NOISE))

    def _set(self, where: npt.NDArray[np.bool_], scene: Planes, spread: npt.NDArray[np.float32]) -> None:
        """Put this scene and spread where the empty one turned out to be another."""
        self._mean[:, where] = scene[:, where]
        self.mean[:, where] = scene[:, where]
        self._spread[:, where] = spread[:, where]
        self._lay_limits(slice(None))
        self.tint.learn()

    def _learn_rows(self, picture: Planes, things: Plane, rows: slice, rate: float) -> None:
        excess, allowed = self._scratch[:2, rows]
        # A thing's soft edge is no belt either; it may reach into the strip from beside it.
        above = min(SOFT_EDGE_PX, rows.start)
        near = things[rows.start - above : rows.stop + SOFT_EDGE_PX]
        grown = cv2.dilate(near, np.ones((2 * SOFT_EDGE_PX + 1, 2 * SOFT_EDGE_PX + 1), np.uint8))
        cv2.bitwise_not(grown[above : above + len(allowed)], dst=allowed)
        for now, shown, mean, spread in zip(
            *(planes[:, rows] for planes in (picture, self.mean, self._mean, self._spread)), strict=True
        ):
            cv2.absdiff(now, shown, dst=excess)
            cv2.accumulateWeighted(now, mean, rate, allowed)
            cv2.accumulateWeighted(excess, spread, rate, allowed)
            cv2.convertScaleAbs(mean, dst=shown)
        self._lay_limits(rows)

    def _lay_limits(self, rows: slice) -> None:
        """The thresholds of luma, of both colours, and of both together; and what the shade looks like."""
        for spread, floor, limit in zip(self._spread[:, rows], FLOORS, self._limits[:, rows], strict=True):
            self._lay_limit(spread, floor, limit)
        share = TINT_SPREADS / SPREADS
        least = (TINT_FLOOR - share * (FLOORS[1] + FLOORS[2])) / self._sensitivity
        _, red, blue = self._limits[:, rows]
        cv2.addWeighted(red, share, blue, share, least, dst=self._tint_limit[rows])
        self.shade.learn(rows)

    def _lay_limit(self, spread: npt.NDArray[np.float32], floor: float, limit: Plane) -> None:
        cv2.convertScaleAbs(spread, dst=limit, alpha=SPREADS / self._sensitivity, beta=floor / self._sensitivity)

    def _differs_from_belt(self, picture: Planes, part: tuple[slice, slice]) -> npt.NDArray[np.bool_]:
        """Where a part of the picture is not the belt as it was guessed."""
        excess = [
            cv2.compare(cv2.absdiff(now[part], belt[part]), limit[part], cv2.CMP_GT)
            for now, belt, limit in zip(picture, self._belt, self._belt_limits, strict=True)
        ]
        return np.asarray((excess[0] | excess[1] | excess[2]) > 0)

    def _label_lying(
        self, first: Planes, min_area: float, max_area: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """What in the first picture is no belt, by label: areas (0 for what cannot be one fruit) and the labels."""
        differs = self._differs_from_belt(first, np.s_[:, :]).view(np.uint8)
        opened = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        areas[0] = 0
        areas[(areas < min_area) | (areas > max_area)] = 0
        labels[areas[labels] == 0] = 0
        # A fruit's soft edge lies outside its label but is fruit all the same.
        grown = cv2.dilate(labels.astype(np.float32), np.ones((5, 5), np.uint8)).astype(np.int32)
        return areas, grown
