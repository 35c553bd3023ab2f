"""How far and which way the belt moved between frames, seen from the things that ride on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge_runtime.records import BeltDirection, Detection

EDGE_PX = 1.5
SLOWEST_PX = 0.5
MIN_PAIRS = 3
HISTORY = 8
SIMILAR_SIZE = 1.5
SURE_TRAVEL = 0.1
NEARLY_SAME_PLACE = 0.5
OTHER_EDGE = 0.2


class Extent(NamedTuple):
    """A detection along the belt's way: `low` is its upstream and `high` its downstream edge, in pixels from the
    picture's upstream edge; an edge that the picture cuts is no edge of the fruit. `margins` are how far
    within them the body ends.
    """

    low: float
    high: float
    low_cut: bool
    high_cut: bool
    across: float
    width: float
    margins: tuple[float, float] = (0.0, 0.0)

    @property
    def length(self) -> float:
        """Visible length along the belt."""
        return self.high - self.low

    @property
    def whole(self) -> bool:
        """Whether the picture shows both ends."""
        return not (self.low_cut or self.high_cut)

    @property
    def diameter(self) -> float:
        """Mean of both sizes; for a cut thing its size across, as fruit are round enough."""
        return (self.length + self.width) / 2 if self.whole else max(self.length, self.width)


def is_horizontal(direction: BeltDirection) -> bool:
    """Whether the belt runs along the picture's rows."""
    return direction in (BeltDirection.LEFT, BeltDirection.RIGHT)


def extent(detection: Detection, direction: BeltDirection, picture_px: tuple[int, int]) -> Extent:
    """Turn a box into belt terms; `picture_px` is (width, height)."""
    box = detection.box
    left, top, right, bottom = detection.margins_px
    if is_horizontal(direction):
        low, size, across, width, total = box.x_px, box.width_px, box.centre_px[1], box.height_px, picture_px[0]
        margins = left, right
    else:
        low, size, across, width, total = box.y_px, box.height_px, box.centre_px[0], box.width_px, picture_px[1]
        margins = top, bottom
    if direction in (BeltDirection.LEFT, BeltDirection.UP):
        low, margins = total - low - size, margins[::-1]
    high = low + size
    return Extent(low, high, low <= EDGE_PX, high >= total - EDGE_PX, across, width, margins)


def at_frame_time(seen: Extent, direction: BeltDirection, picture_px: tuple[int, int], rolled_px: float) -> Extent:
    """Where a thing was when the middle row was exposed, which is the frame's time.

    A rolling shutter exposes rows one after the other from the top down. Across the belt's way, a thing is as early or
    late as the row of its middle; along it, each of its ends is as its own row.

    Args:
        seen: As `extent` found it.
        direction: Where the belt runs.
        picture_px: Width and height.
        rolled_px: How far the belt runs in the picture from the first row to the last.
    """
    height = picture_px[1]
    if is_horizontal(direction):
        rows = seen.across, seen.across
    elif direction == BeltDirection.DOWN:
        rows = seen.low, seen.high
    else:
        rows = height - seen.low, height - seen.high
    low, high = (rolled_px * (row / height - 0.5) for row in rows)
    return seen._replace(low=seen.low - low, high=seen.high - high)


def edge_shifts_px(before: Extent, after: Extent) -> list[float]:
    """How far each edge moved that both views show: none, one or two values."""
    shifts = []
    if not (before.low_cut or after.low_cut):
        shifts.append(after.low - before.low)
    if not (before.high_cut or after.high_cut):
        shifts.append(after.high - before.high)
    return shifts


def shift_px(before: Extent, after: Extent) -> float | None:
    """How far a thing moved, by its edges; None if the views share none."""
    shifts = edge_shifts_px(before, after)
    return sum(shifts) / len(shifts) if shifts else None


def distance_px(expected: Extent, seen: Extent) -> float:
    """How far a view lies from where a thing was expected, by the edge that fits better and a part of the other.

    A thing that for a moment is seen in pieces, or as one with its neighbour, keeps one edge.
    """
    low = None if expected.low_cut or seen.low_cut else abs(seen.low - expected.low)
    high = None if expected.high_cut or seen.high_cut else abs(seen.high - expected.high)
    if low is None:
        return abs(seen.low + seen.high - expected.low - expected.high) / 2 if high is None else high
    if high is None:
        return low
    return low + OTHER_EDGE * (high - low) if low < high else high + OTHER_EDGE * (low - high)


@dataclass(frozen=True, slots=True)
class Motion:
    """A belt's direction in the picture and its speed there."""

    direction: BeltDirection
    speed_px_s: float


class MotionFinder:
    """Finds the direction and speed of a belt of which nothing is known.

    Every pair of similar things in two frames that follow each other votes for a shift. The true shift comes back in
    every pair of frames, chance ones do not; and it goes on, while a hand at the belt soon turns back.

    Args:
        direction: The direction, if known; else all four compete.
    """

    def __init__(self, direction: BeltDirection | None) -> None:
        directions = [direction] if direction else list(BeltDirection)
        self._earlier: tuple[int, Sequence[Detection]] | None = None
        self._votes: dict[BeltDirection, deque[list[tuple[float, float]]]] = {
            each: deque(maxlen=HISTORY) for each in directions
        }
        self._candidate: Motion | None = None
        self._travel_px = 0.0

    def update(
        self,
        captured_ns: int,
        detections: Sequence[Detection],
        picture_px: tuple[int, int],
        expected_px_s: float | None = None,
    ) -> Motion | None:
        """Add a frame.

        Args:
            captured_ns: Its time of exposure.
            detections: Things whose motion is not explained yet.
            picture_px: Width and height.
            expected_px_s: The speed, where an encoder tells it and only the direction is in doubt.

        Returns:
            The motion, as long as it is clear.
        """
        earlier, self._earlier = self._earlier, (captured_ns, detections)
        seconds = 0.0 if earlier is None else (captured_ns - earlier[0]) / 1e9
        if earlier is None or not earlier[1] or not detections or seconds <= 0:
            return None
        best: tuple[int, float, Motion] | None = None
        for direction, history in self._votes.items():
            before = [extent(each, direction, picture_px) for each in earlier[1]]
            after = [extent(each, direction, picture_px) for each in detections]
            votes = [
                vote for a in after for b in _predecessors(a, before) if (vote := _vote(b, a, seconds)) is not None
            ]
            history.append([vote for vote in votes if agree(vote[0], expected_px_s)])
            support, spread, speed = _clearest(history)
            if support >= MIN_PAIRS and (best is None or (support, -spread) > best[:2]):
                best = (support, -spread, Motion(direction, speed))
        return self._sustained(None if best is None else best[2], seconds, picture_px)

    def _sustained(self, found: Motion | None, seconds: float, picture_px: tuple[int, int]) -> Motion | None:
        if found is None:
            return None
        same = self._candidate is not None and self._candidate.direction == found.direction
        if not same or not agree(found.speed_px_s, self._candidate.speed_px_s if self._candidate else None):
            self._travel_px = (MIN_PAIRS - 1) * found.speed_px_s * seconds
        self._candidate = found
        self._travel_px += found.speed_px_s * seconds
        along_px = picture_px[0] if is_horizontal(found.direction) else picture_px[1]
        return found if self._travel_px >= SURE_TRAVEL * along_px else None


def agree(speed_px_s: float, expected_px_s: float | None) -> bool:
    """Whether a speed is about the expected one, or none is expected."""
    return expected_px_s is None or abs(speed_px_s - expected_px_s) <= 0.3 * abs(expected_px_s)


def _predecessors(after: Extent, before: Sequence[Extent]) -> Sequence[Extent]:
    """Who a thing may have been: the one that lay nearly where it lies now, if any did, else everyone.

    Otherwise things that lie still would vote for the distances between them, frame after frame.
    """
    best = max(before, key=lambda other: overlap(after, other), default=None)
    return before if best is None or overlap(after, best) < NEARLY_SAME_PLACE else [best]


def overlap(one: Extent, other: Extent) -> float:
    """Intersection over union of two boxes."""
    along = min(one.high, other.high) - max(one.low, other.low)
    across = (one.width + other.width) / 2 - abs(one.across - other.across)
    if along <= 0 or across <= 0:
        return 0.0
    shared = along * min(across, one.width, other.width)
    return shared / (one.length * one.width + other.length * other.width - shared)


def _vote(before: Extent, after: Extent, seconds: float) -> tuple[float, float] | None:
    """Speed in px/s that this pair stands for and its tolerance; None if it cannot be one thing moving on."""
    shift = shift_px(before, after)
    if shift is None or shift < SLOWEST_PX or abs(after.across - before.across) > 0.25 * max(before.width, after.width):
        return None
    if max(before.width, after.width) > SIMILAR_SIZE * min(before.width, after.width):
        return None
    lengths = (before.length, after.length)
    if before.whole and after.whole and max(lengths) > SIMILAR_SIZE * min(lengths):
        return None
    return shift / seconds, max(1.5, 0.1 * before.diameter) / seconds


def _clearest(history: deque[list[tuple[float, float]]]) -> tuple[int, float, float]:
    """The speed that most pairs of frames agree on: their number, the votes' spread and the speed."""
    best = (0, 0.0, 0.0)
    for speed, tolerance in history[-1]:
        near = [
            min(votes, key=lambda vote: abs(vote[0] - speed))[0]
            for votes in history
            if any(abs(vote[0] - speed) <= tolerance for vote in votes)
        ]
        candidate = (len(near), float(np.std(near)), float(np.mean(near)))
        if (candidate[0], -candidate[1]) > (best[0], -best[1]):
            best = candidate
    return best
