"""Fruit that touch and are now seen as one, now apart. Pure: boxes only, no picture.

A localiser that cuts by outline joins two fruit wherever a shadow or a stalk fills the waist between them. What was
seen apart once is known to be two, wherever it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from edge_runtime.records import NO_MARGINS, BeltDirection, Box, Detection
from edge_runtime.tracking.belt_motion import Extent, is_horizontal
from edge_runtime.tracking.fruit_track import FruitTrack

LONGER = 1.35
"""Times the usual size: hardly a fruit is so much larger than most."""

SLENDER, SLENDER_UNKNOWN = 1.2, 1.6
"""Times its size the other way: no fruit is so long, where the usual size is known and where not."""

KNOWN_VIEWS = 2
"""A fruit is known by itself once so many views show it whole."""

APART_VIEWS = 2
"""A joint thing is several once it was seen in pieces so often: once may be a gap in one thing."""

APART_SHARE, SURELY_LONGER = 0.25, 1.7
"""And in this share of its views, unless it is so many times as long as usual (or as wide, where that is not known): a
long fruit that for a moment is half taken for belt is one."""

WITHIN = 0.7
"""Least share of a thing that lies within another, for it to be a part of that."""

REST = 0.4
"""Of the usual size: what is left of a joint detection and shorter is no fruit."""


class Seen(NamedTuple):
    """A detection, or a part of one; `owner` is the track that it was cut out for, None where that is to be found."""

    detection: Detection
    extent: Extent
    owner: int | None = None


def looks_joint(seen: Extent, usual_px: float) -> bool:
    """Whether a thing is too long, for fruit of the usual size (0: not known) and for its width, to be one fruit."""
    if usual_px <= 0:
        return seen.length > SLENDER_UNKNOWN * seen.width
    return seen.length > max(LONGER * usual_px, SLENDER * seen.width)


def part(
    tracks: Sequence[FruitTrack],
    seen: Sequence[Seen],
    way_px: float,
    usual_px: float,
    direction: BeltDirection,
) -> list[Seen]:
    """Cut detections that show several fruit as one.

    Each fruit that was seen by itself before keeps its place and size within the joint detection; what they leave of
    it, before, between and behind them, is left to be found out about.

    Args:
        tracks: What is being followed.
        seen: This frame's detections.
        way_px: The belt's way.
        usual_px: Size of most fruit, 0 if not known.
        direction: Where the belt runs.
    """
    joint = [looks_joint(one.extent, usual_px) for one in seen]
    if not any(joint):
        return list(seen)
    known = [
        (number, here)
        for number, track in enumerate(tracks)
        if track.whole_views >= KNOWN_VIEWS and not looks_joint(here := track.predicted(way_px), usual_px)
    ]
    parts: list[Seen] = []
    for one, is_joint in zip(seen, joint, strict=True):
        if not is_joint:
            parts.append(one)
            continue
        inside = [(number, box) for number, box in known if _is_within(box, one.extent)]
        inside.sort(key=lambda each: each[1].low)
        apart = all(
            first.high - second.low <= (1 - WITHIN) * min(first.length, second.length)
            for (_, first), (_, second) in pairwise(inside)
        )
        if inside and apart:
            parts += _cut(one, inside, REST * (usual_px or inside[0][1].length), direction)
        else:
            parts.append(one)
    return parts


def come_apart(track: FruitTrack, seen: Sequence[Seen], way_px: float, usual_px: float) -> list[int]:
    """The detections, from the most advanced on, into which a joint thing has fallen; fewer than two: it has not."""
    here = track.predicted(way_px)
    if not looks_joint(here, usual_px):
        return []
    pieces = [
        number
        for number, one in enumerate(seen)
        if one.owner is None and _is_within(one.extent, here) and one.extent.length >= REST * usual_px
    ]
    return sorted(pieces, key=lambda number: -seen[number].extent.high)


def is_several(track: FruitTrack, usual_px: float) -> bool:
    """Whether a joint thing was seen in pieces often enough."""
    is_sure = track.high - track.low > SURELY_LONGER * (usual_px or track.width)
    return track.apart_views >= (APART_VIEWS if is_sure else max(APART_VIEWS, APART_SHARE * track.views))


def join(tracks: Sequence[FruitTrack], seen: Sequence[Seen], way_px: float) -> list[Seen]:
    """Put together what are pieces of one fruit: all that lies within its known ends and within no other's.

    Args:
        tracks: What is being followed; a joint thing that has come apart is so no longer.
        seen: This frame's detections, joint ones cut.
        way_px: The belt's way.
    """
    if not tracks or len(seen) < 2:
        return list(seen)
    places = [track.predicted(way_px) for track in tracks]
    free = [(number, one.extent) for number, one in enumerate(seen) if one.owner is None]
    ends = [(number, one.low, one.high, one.across, one.width / 2) for number, one in free]
    whole, taken = list[Seen](), set[int]()
    for track, here in zip(tracks, places, strict=True):
        if track.whole_views < KNOWN_VIEWS:
            continue
        start, end, middle, half = here.low, here.high, here.across, here.width / 2
        pieces = [
            number
            for number, low, high, across, side in ends
            if low < end and high > start and abs(across - middle) < side + half
        ]
        # Most fruit are seen in one piece.
        if len(pieces) < 2:
            continue
        pieces = [number for number in pieces if _is_within(seen[number].extent, here)]
        if len(pieces) < 2:
            continue
        pieces = [number for number in pieces if sum(_is_within(seen[number].extent, other) for other in places) == 1]
        if len(pieces) > 1:
            taken.update(pieces)
            whole.append(_together([seen[piece] for piece in pieces]))
    return [one for number, one in enumerate(seen) if number not in taken] + whole


def _together(pieces: Sequence[Seen]) -> Seen:
    boxes = [one.detection.box for one in pieces]
    left, top = min(box.x_px for box in boxes), min(box.y_px for box in boxes)
    right = max(box.x_px + box.width_px for box in boxes)
    bottom = max(box.y_px + box.height_px for box in boxes)
    detection = Detection(
        Box(left, top, right - left, bottom - top),
        sum(one.detection.area_px for one in pieces),
        any(one.detection.touches_border for one in pieces),
    )
    extents = [one.extent for one in pieces]
    start = min(each.across - each.width / 2 for each in extents)
    end = max(each.across + each.width / 2 for each in extents)
    first, last = min(extents, key=lambda each: each.low), max(extents, key=lambda each: each.high)
    return Seen(detection, Extent(first.low, last.high, first.low_cut, last.high_cut, (start + end) / 2, end - start))


def _is_within(part: Extent, whole: Extent) -> bool:
    low, high, _, _, across, width, _ = part
    along = min(high, whole.high) - max(low, whole.low)
    if along < WITHIN * (high - low):
        return False
    beside = (width + whole.width) / 2 - abs(across - whole.across)
    return min(beside, width) >= WITHIN * width


def _cut(one: Seen, inside: Sequence[tuple[int, Extent]], rest_px: float, direction: BeltDirection) -> list[Seen]:
    whole, parts, reached = one.extent, [], one.extent.low
    for number, box in inside:
        parts += _piece(one, reached, box.low, direction) if box.low - reached >= rest_px else []
        parts += _piece(one, max(box.low, whole.low), min(box.high, whole.high), direction, number)
        reached = box.high
    return parts + (_piece(one, reached, whole.high, direction) if whole.high - reached >= rest_px else [])


def _piece(one: Seen, low: float, high: float, direction: BeltDirection, owner: int | None = None) -> list[Seen]:
    """What lies between two places along the belt."""
    whole, box = one.extent, one.detection.box
    extent = whole._replace(
        low=low,
        high=high,
        low_cut=whole.low_cut and low <= whole.low,
        high_cut=whole.high_cut and high >= whole.high,
        margins=(0.0, 0.0),
    )
    forward = direction in (BeltDirection.RIGHT, BeltDirection.DOWN)
    start, length = (low - whole.low if forward else whole.high - high), high - low
    if is_horizontal(direction):
        cut = Box(box.x_px + start, box.y_px, length, box.height_px)
    else:
        cut = Box(box.x_px, box.y_px + start, box.width_px, length)
    share = length / whole.length
    detection = replace(
        one.detection,
        box=cut,
        area_px=one.detection.area_px * share,
        touches_border=one.detection.touches_border and not extent.whole,
        margins_px=NO_MARGINS,
    )
    return [Seen(detection, extent, owner)]
