"""What is known of one thing that rides on the belt. Pure: no clock, no picture.

Places are in belt pixels: picture pixels along the belt minus the belt's way so far, in which a fruit does not move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime.records import Detection
from edge_runtime.tracking.belt_motion import Extent, edge_shifts_px

EDGE_SMOOTHING = 0.3
EDGE_VIEWS = 12
OUTER = 0.2
"""An edge lies where so small a share of the views has it farther out: a part that is missed moves an edge inwards, and
nothing but a neighbour, which is cut off, moves it outwards."""

TRAVEL_DIAMETERS = 0.5
TRAVEL_PICTURES = 0.02
RIDE_ERROR = 0.4
SUPPORT = 0.6
"""A fruit is seen in at least this share of the frames that it crosses, and comes in at the picture's edge; gloss,
puddles and noise come and go anywhere."""

EARLIER_VIEWS = 2


class Sighting(NamedTuple):
    """A detection in the frame that it came from."""

    detection: Detection
    frame_index: int
    captured_ns: int


@dataclass(slots=True)
class FruitTrack:
    """One thing, a fruit once `fruit_id` is set; an end that no view has shown yet is not `seen`.

    `earlier` are its latest sightings from before it was known for a fruit; `frames` counts those that it should have
    been seen in, from the moment at which it came wholly into the picture, whenever it was first noticed. The ends of
    its body are those of views that show it whole.
    """

    first: Extent
    last: Extent
    low: float
    high: float
    low_seen: bool
    high_seen: bool
    across: float
    width: float
    born_belt_px: float
    earlier: list[Sighting] = field(default_factory=list)
    lows: deque[float] = field(default_factory=lambda: deque(maxlen=EDGE_VIEWS))
    highs: deque[float] = field(default_factory=lambda: deque(maxlen=EDGE_VIEWS))
    body_lows: deque[float] = field(default_factory=lambda: deque(maxlen=EDGE_VIEWS))
    body_highs: deque[float] = field(default_factory=lambda: deque(maxlen=EDGE_VIEWS))
    whole_views: int = 0
    apart_views: int = 0
    views: int = 1
    frames: int = 1
    missed: int = 0
    fruit_id: int | None = None

    @classmethod
    def begin(cls, seen: Extent, way_px: float, sighting: Sighting) -> FruitTrack:
        """Start with the first view, the belt having run `way_px`."""
        low, high = seen.low - way_px, seen.high - way_px
        if seen.low_cut and not seen.high_cut:
            low = min(low, high - seen.width)
        elif seen.high_cut and not seen.low_cut:
            high = max(high, low + seen.width)
        track = cls(
            seen, seen, low, high, not seen.low_cut, not seen.high_cut, seen.across, seen.width, way_px, [sighting]
        )
        track.take_edges(seen, way_px)
        return track

    @property
    def diameter(self) -> float:
        """Mean of both sizes."""
        return (self.high - self.low + self.width) / 2

    @property
    def centre(self) -> float:
        """Middle along the belt."""
        return (self.low + self.high) / 2

    @property
    def middle(self) -> float:
        """Middle of its body along the belt, where an ejector must hit."""
        if not self.body_lows:
            return self.centre
        return (_outer(sorted(self.body_lows)) + _outer(sorted(self.body_highs, reverse=True))) / 2

    @property
    def is_supported(self) -> bool:
        """Whether it was seen often enough to be there at all."""
        return self.support >= SUPPORT

    @property
    def support(self) -> float:
        """Share of the frames that show it of those that should."""
        return min(1.0, self.views / max(1, self.frames))

    def predicted(self, way_px: float) -> Extent:
        """Where it is when the belt has run `way_px`."""
        return Extent(
            self.low + way_px, self.high + way_px, not self.low_seen, not self.high_seen, self.across, self.width
        )

    def is_aligned(self, seen: Extent) -> bool:
        """Fruit keep their place across the belt; half a width allows for rolling and for a part that was hidden."""
        return abs(self.across - seen.across) <= 0.5 * max(self.width, seen.width)

    def follow(self, seen: Extent, way_px: float) -> None:
        """Take in another view."""
        self.last = seen
        self.views += 1
        self.missed = 0
        self.take_edges(seen, way_px)
        self.across = _smooth(self.across, seen.across, EDGE_SMOOTHING)
        self.width = _smooth(self.width, seen.width, EDGE_SMOOTHING)
        # An unseen end lies at least where the picture ends, and a fruit is at least as long as it is wide.
        if not self.low_seen:
            self.low = min(seen.low - way_px, self.high - self.width)
        if not self.high_seen:
            self.high = max(seen.high - way_px, self.low + self.width)

    def take_edges(self, seen: Extent, way_px: float) -> None:
        """Add the ends that a view shows."""
        if not seen.low_cut:
            self.lows.append(seen.low - way_px)
            self.low, self.low_seen = _outer(sorted(self.lows)), True
        if not seen.high_cut:
            self.highs.append(seen.high - way_px)
            self.high, self.high_seen = _outer(sorted(self.highs, reverse=True)), True
        if seen.whole:
            self.whole_views += 1
            self.body_lows.append(seen.low + seen.margins[0] - way_px)
            self.body_highs.append(seen.high - seen.margins[1] - way_px)

    def follow_within(self, seen: Extent) -> None:
        """Take in a view in which it is one with a neighbour, which says nothing of its ends."""
        self.last = seen
        self.views += 1
        self.missed = 0

    def shrink(self, seen: Extent, way_px: float) -> None:
        """What was followed were several fruit; go on with this one of them."""
        self.lows.clear()
        self.highs.clear()
        self.body_lows.clear()
        self.body_highs.clear()
        self.whole_views = self.apart_views = 0
        self.low_seen, self.high_seen = not seen.low_cut, not seen.high_cut
        self.low, self.high, self.across, self.width = seen.low - way_px, seen.high - way_px, seen.across, seen.width

    def remember(self, sighting: Sighting) -> None:
        """Keep a sighting for the day on which this turns out to be a fruit."""
        self.earlier = [*self.earlier, sighting][-EARLIER_VIEWS:]

    def rides(self, way_px: float, along_px: int, min_views: int) -> bool:
        """Whether it has by now been seen often enough, and far enough along with the belt, to be a fruit."""
        travels = edge_shifts_px(self.first, self.last)
        if not travels:
            # The picture cut other ends then than now: from here on measure against now.
            self.restart(way_px)
            return False
        if self.views < min_views or not self.is_supported:
            return False
        travel = way_px - self.born_belt_px
        if travel < max(TRAVEL_DIAMETERS * self.diameter, TRAVEL_PICTURES * along_px):
            return False
        # Each end by itself: what grows or falls to pieces beside the belt moves only one.
        return all(abs(each - travel) <= RIDE_ERROR * travel for each in travels)

    def restart(self, way_px: float) -> None:
        """Measure its ride from here on, where what was measured so far does not count."""
        self.first, self.born_belt_px = self.last, way_px


def covers(fruit: Extent, part: Extent) -> bool:
    """Whether most of a detection lies within a fruit, as a broken-off piece of it would."""
    along = min(fruit.high, part.high) - max(fruit.low, part.low)
    across = (fruit.width + part.width) / 2 - abs(fruit.across - part.across)
    return along > 0.5 * part.length and min(across, part.width) > 0.5 * part.width


def without_pieces(tracks: Sequence[FruitTrack], way_px: float) -> list[FruitTrack]:
    """Forget what turns out to lie within a fruit: seen apart from it at first, now one with it."""
    fruits = [track.last for track in tracks if track.fruit_id is not None and not track.missed]
    return [
        track
        for track in tracks
        if track.fruit_id is not None or not any(covers(fruit, track.predicted(way_px)) for fruit in fruits)
    ]


def _smooth(old: float, new: float, share: float) -> float:
    return old + share * (new - old)


def _outer(places: Sequence[float]) -> float:
    """One of an edge's places, given from the outermost inwards."""
    return places[round(OUTER * (len(places) - 1))]
