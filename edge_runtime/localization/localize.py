"""Find things on a belt by their difference from the empty belt; no learning on fruit needed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike

from edge_runtime.localization.background import Background
from edge_runtime.localization.belt_colour import known_belt
from edge_runtime.localization.body import margins_of
from edge_runtime.localization.close_look import look_closely, may_be_several
from edge_runtime.localization.known_shapes import KnownShapes, Part, Place
from edge_runtime.localization.mask import GAP_PX, clean
from edge_runtime.localization.separate import Rectangle, area_of, outlines_of, separate, without_fragments
from edge_runtime.localization.shadow import Plane, Planes
from edge_runtime.localization.small_picture import SmallPicture, factor_of, is_large
from edge_runtime.localization.tint import BLOCK_PX
from edge_runtime.records import NO_MARGINS, Box, Detection, Image, Margins
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings
from edge_runtime.tracking.belt_motion import is_horizontal

SMALLEST_SHARE = 0.04
"""Of the picture's shorter side."""

THINNEST = 0.75
LONGEST = 6
RECENT_AREAS = 200
ENOUGH_AREAS = 20
ALIKE, LONGER = 2.4, 1.2
"""Where eight areas in ten are within so many times each other, things are of a kind, and what is so many times as long
as usual may be two."""

SCRAP = 0.2
"""Of the usual area: fruit of half the diameter are still fruit, leaves and crumbs are not."""
STRANGE_SHARE = 0.6
STRANGE_FRAMES = 10
SUSPICIOUS_SHARE = 0.05
DARK_GAIN = 1 / 3
DARK_FRAMES = 600
"""A camera or a lamp that failed for a while teaches nothing about the belt."""
USUAL_FRAMES = 600
"""So soon light that changed at once becomes the usual one; until then its going back is no failure."""
STILL_FRAMES = 90
STILL_OVERLAP = 0.75
SAME_OVERLAP = 0.3
MOVING_FRAMES = 60
MOST_LARGER = 1
"""Regions of a frame that are looked at twice as large; the next one's turn comes in the next frame."""


class _Blob(NamedTuple):
    """A connected region in the working picture; boxes as (x, y, w, h).

    `anchor` is where it last stopped, `still_frames` how long it has been there while other things moved, and
    `moving_frames` counts down since it last left an anchor. `margins` are as in `Detection`, in that picture's pixels.
    """

    box: Place
    area: float
    anchor: Place
    margins: Margins
    still_frames: int = 0
    moving_frames: int = 0


class Localizer:
    """Finds fruit in frame after frame; its only state is what the empty scene looks like.

    Works on a smaller picture in YCrCb: background difference with a threshold from each pixel's own noise, opening,
    contours, removal of cast shadows. A large picture is quartered to find things and halved, in places, where they
    may be several (`edge_runtime.localization.close_look`). Causal and deterministic.

    Args:
        settings: `[localize]` of `line.toml`.
        belt: `[belt]`; the direction, if known, helps in the first frame.
    """

    def __init__(self, settings: LocalizeSettings, belt: BeltSettings) -> None:
        self._settings = settings
        self._colours = belt.colours
        self._along_x = None if belt.direction is None else is_horizontal(belt.direction)
        self._background: Background | None = None
        self._shape: tuple[int, ...] = ()
        self._small = SmallPicture()
        self._blobs: list[_Blob] = []
        self._shapes = KnownShapes()
        self._areas: deque[float] = deque(maxlen=RECENT_AREAS)
        self._larger_looks = 0
        self._strange_frames = 0
        self._brighter = 0.0  # natural logarithm of the scene's light over what was usual lately

    def detect(self, image: Image) -> list[Detection]:
        """Find the things on the belt in one frame.

        Args:
            image: `[height, width, 3]` uint8 RGB; a change of size starts afresh.

        Returns:
            Boxes in pixels of `image`, from left to right.
        """
        height, width = image.shape[:2]
        factor = self._settings.downscale or factor_of(height, width)
        closer = self._settings.downscale is None and is_large(height, width)
        factor *= 2 if closer else 1
        size = (max(8, width // factor), max(8, height // factor))
        small, picture = self._small.of(image, size, closer=closer)
        min_area, max_area = self._area_limits(height, width, factor)
        if self._background is None or self._shape != image.shape:
            self._shape = image.shape
            self._background = self._new_background(small, min_area, max_area)
            self._blobs, self._shapes, self._strange_frames, self._brighter = [], KnownShapes(), 0, 0.0
        mask = self._background.foreground(picture)
        gain = self._background.gain(picture) if cv2.countNonZero(mask) > SUSPICIOUS_SHARE * mask.size else 1.0
        # Against what is usual, too: else a lamp's flash is followed at once, and its end taken for a failure.
        is_dark = max(gain, gain * math.exp(self._brighter)) < DARK_GAIN
        self._brighter *= 1 - 1 / USUAL_FRAMES
        is_strange = is_dark
        if not is_dark:
            followed = self._background.follow_light(gain)
            self._brighter += math.log(gain) if followed else 0.0
            if followed or self._background.correct(picture, mask):
                mask = self._background.foreground(picture)
            is_strange = cv2.countNonZero(mask) > STRANGE_SHARE * mask.size
        self._strange_frames = self._strange_frames + 1 if is_strange else 0
        if self._strange_frames >= (DARK_FRAMES if is_dark else STRANGE_FRAMES):
            # Another scene: the camera was moved, or looked at something else when it started.
            self._background = None
        if is_dark or self._background is None:
            return []
        self._background.add_traces(mask, picture)
        mask = clean(mask, GAP_PX // 2 if self._small.is_closer else GAP_PX)
        usual_area = sorted(self._areas)[len(self._areas) // 2] if len(self._areas) >= ENOUGH_AREAS else 0.0
        blobs = self._things(mask, picture, (min_area, max_area, usual_area))
        self._background.learn(picture, mask)
        self._blobs = self._absorb_still(blobs, picture, mask)
        self._areas.extend(blob.area for blob in self._blobs if blob.moving_frames and not _is_cut(blob.box, size))
        # Scraps stay in what is usual, so that a belt of small fruit behind a large thing finds back.
        least_area = 0.0 if self._settings.min_diameter_px else SCRAP * usual_area
        fruit = [blob for blob in self._blobs if blob.area >= least_area or self._is_half_in(blob.box, size)]
        return [_detection(blob, width / size[0], height / size[1], size) for blob in fruit]

    @property
    def scene(self) -> Image | None:
        """What the empty scene looks like now, `[height, width, 3]` uint8 YCrCb, smaller; None before the first frame.

        The next frame overwrites it.
        """
        return None if self._background is None else self._background.mean.transpose(1, 2, 0)

    def _new_background(self, picture: Image, min_area: float, max_area: float) -> Background:
        known = known_belt(picture, self._colours) if self._colours else None
        sensitivity = self._settings.sensitivity
        scene, guess = (picture, None) if known is None else (known.scene, known.guess)
        block_px = BLOCK_PX // 2 if self._small.is_closer else BLOCK_PX
        return Background(scene, self._along_x, sensitivity, min_area, max_area, guess, block_px)

    def _things(self, mask: Plane, picture: Planes, areas: tuple[float, float, float]) -> list[_Blob]:
        """Things in the mask, from left to right; `areas` are the least, the largest, the usual one (0: not known)."""
        assert self._background is not None
        min_area, _, usual_area = areas
        size = mask.shape[1], mask.shape[0]
        regions = [outline for outline in outlines_of(mask) if math.prod(cv2.boundingRect(outline)[2:]) >= min_area]
        blobs = []
        self._shapes.next_frame()
        self._larger_looks = 0
        longest = self._longest(usual_area)
        for found in self._background.shade.cut_off(regions, mask, picture, self._background.tint.inner):
            outlines = without_fragments(found)
            box: Rectangle = cv2.boundingRect(np.concatenate(outlines))  # type: ignore[assignment]
            area = sum(map(area_of, outlines))
            parts = self._shapes.recall(box, area)
            if parts is None:
                parts = self._parts(outlines, box, size, (*areas, longest))
                self._shapes.learn(box, area, parts)
            blobs += [
                _Blob(box, area, box, margins)
                for box, area, margins in parts
                if self._background.shows_clearly(box, area)
            ]
        return sorted(blobs, key=lambda blob: blob.box)

    def _parts(
        self, outlines: Sequence[MatLike], box: Rectangle, size: tuple[int, int], sizes: tuple[float, ...]
    ) -> list[Part]:
        """The things of a region, by their outlines; what these leave in doubt is looked at twice as large.

        `sizes` are the least area, the largest, the usual one (0: not known), and how long one thing is at most.
        """
        assert self._background is not None
        min_area, max_area, usual_area, longest = sizes
        # By half as many pixels what stands out is too coarse to tell.
        things, times = separate(outlines, min_area, usual_area, math.inf if self._small.is_closer else longest), 1
        is_whole = self._small.is_closer and not self._is_half_in(box, size)
        if is_whole and self._larger_looks < MOST_LARGER and any(may_be_several(each, usual_area) for each in things):
            self._larger_looks += 1
            larger = look_closely(outlines, box, self._small, self._background)
            if larger:
                things, times = separate(without_fragments(larger), 4 * min_area, 4 * usual_area, 2 * longest), 2
        parts = []
        for whole, pixels, own in things:
            if min_area <= pixels / times**2 <= max_area and not _is_sliver(whole, min_area * times**2):
                x, y, w, h = (side / times for side in whole)
                # What is half out of the picture has its middle elsewhere anyway.
                margins = NO_MARGINS
                if not self._is_half_in((x, y, w, h), size):
                    left, top, right, bottom = margins_of(own, whole)
                    margins = (left / times, top / times, right / times, bottom / times)
                parts.append(Part((x, y, w, h), pixels / times**2, margins))
        return parts

    def _longest(self, usual_area: float) -> float:
        """How long one thing is at most, in the working picture; infinite where things are not of a kind."""
        areas = sorted(self._areas)
        tenth = len(areas) // 10
        if len(areas) < RECENT_AREAS or areas[-tenth] > ALIKE * areas[tenth]:
            return math.inf
        return LONGER * 2 * math.sqrt(usual_area / math.pi)

    def _is_half_in(self, box: Place, size: tuple[int, int]) -> bool:
        """Whether it may be part of a fruit that is coming in or going out; `size` is (width, height)."""
        x, y, w, h = box
        by_x, by_y = x <= 0 or x + w >= size[0], y <= 0 or y + h >= size[1]
        return (by_x and self._along_x is not False) or (by_y and self._along_x is not True)

    def _area_limits(self, height: int, width: int, factor: int) -> tuple[float, float]:
        short = min(height, width)
        smallest = (self._settings.min_diameter_px or SMALLEST_SHARE * short) / factor
        largest = (self._settings.max_diameter_px or short) / factor
        return math.pi / 4 * smallest**2, math.pi / 4 * largest**2

    def _absorb_still(self, blobs: list[_Blob], picture: Planes, mask: Plane) -> list[_Blob]:
        """Make what stays put while other things move part of the background; a stopped belt makes nothing so."""
        assert self._background is not None
        something_moves = any(blob.moving_frames for blob in self._blobs)
        kept = []
        for blob, old in zip(blobs, _predecessors(blobs, self._blobs), strict=True):
            followed = blob if old is None else _follow(blob, old, something_moves)
            if followed.still_frames < STILL_FRAMES:
                kept.append(followed)
                continue
            self._background.absorb(picture, _surround(blob, blobs, mask))
        return kept


def _surround(blob: _Blob, others: list[_Blob], mask: Plane) -> Plane:
    """The blob in the mask with its shadow, which lies around it, but without its neighbours."""
    region = np.zeros_like(mask)
    x, y, w, h = map(round, blob.box)
    part = np.s_[max(0, y - h // 2) : y + h + h // 2, max(0, x - w // 2) : x + w + w // 2]
    region[part] = mask[part]
    for other in others:
        if other is not blob:
            x, y, w, h = map(round, other.box)
            region[y : y + h, x : x + w] = 0
    return region


def _predecessors(blobs: list[_Blob], earlier: list[_Blob]) -> list[_Blob | None]:
    """For each blob the one that lay where it lies, in the frame before; both from left to right."""
    found: list[_Blob | None] = []
    lefts = [old.box[0] for old in earlier]
    widest = max((old.box[2] for old in earlier), default=0)
    for blob in blobs:
        x, y, width, height = blob.box
        before, least = None, SAME_OVERLAP
        for old in earlier[bisect_left(lefts, x - widest) : bisect_left(lefts, x + width)]:
            _, top, _, tall = old.box
            if top < y + height and y < top + tall and (share := _overlap(blob.box, old.box)) >= least:
                before, least = old, share
        found.append(before)
    return found


def _follow(blob: _Blob, old: _Blob, something_moves: bool) -> _Blob:
    """The blob with what its predecessor knows about standing still."""
    box, area, anchor, margins, *_ = blob
    # Against the place where it last stood, not the frame before: slow things hardly move from frame to frame.
    if _overlap(box, old.anchor) < STILL_OVERLAP:
        return _Blob(box, area, anchor, margins, 0, MOVING_FRAMES)
    return _Blob(
        box, area, old.anchor, margins, old.still_frames + something_moves, old.moving_frames - (old.moving_frames > 0)
    )


def _is_sliver(box: Rectangle, min_area: float) -> bool:
    *_, width, height = box
    return min(width, height) < max(THINNEST * math.sqrt(min_area), max(width, height) / LONGEST)


def _overlap(one: Place, other: Place) -> float:
    """Intersection over union."""
    x, y, w, h = one
    other_x, other_y, other_w, other_h = other
    width = min(x + w, other_x + other_w) - max(x, other_x)
    height = min(y + h, other_y + other_h) - max(y, other_y)
    shared = max(width, 0) * max(height, 0)
    return shared / (w * h + other_w * other_h - shared)


def _detection(blob: _Blob, scale_x: float, scale_y: float, size: tuple[int, int]) -> Detection:
    x, y, w, h = blob.box
    box = Box(x * scale_x, y * scale_y, w * scale_x, h * scale_y)
    left, top, right, bottom = blob.margins
    margins_px = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
    return Detection(box, blob.area * scale_x * scale_y, _is_cut(blob.box, size), margins_px)


def _is_cut(box: Place, size: tuple[int, int]) -> bool:
    """Whether the picture's edge cuts a thing; `size` is (width, height)."""
    x, y, w, h = box
    return x <= 0 or y <= 0 or x + w >= size[0] or y + h >= size[1]
