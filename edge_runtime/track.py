"""One fruit, one id: views are joined in belt coordinates, where a fruit does not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.belt_motion import (
    Extent,
    Motion,
    MotionFinder,
    agree,
    distance_px,
    edge_shifts_px,
    extent,
    is_horizontal,
    overlap,
    shift_px,
)
from edge_runtime.config import BeltSettings, TrackSettings
from edge_runtime.records import BeltDirection, Detection, Frame, TrackedDetection

SPEED_SMOOTHING = 0.4
SPEED_CHANGE = 0.35
EDGE_SMOOTHING = 0.3
TRAVEL_DIAMETERS = 0.5
TRAVEL_PICTURES = 0.02
RIDE_ERROR = 0.4
LYING_OVERLAP = 0.7
LYING_TRAVEL = 0.5
STANDING = 0.1
SURE_FRUIT = 3


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one frame changed: views given to fruit, and fruit that will have no more views."""

    tracked: list[TrackedDetection]
    finished: list[int]


@dataclass(slots=True)
class _Track:
    """Edges are in belt pixels: picture pixels along the belt minus the belt's way so far."""

    first: Extent
    last: Extent
    low: float
    high: float
    low_seen: bool
    high_seen: bool
    across: float
    width: float
    born_belt_px: float
    views: int = 1
    missed: int = 0
    fruit_id: int | None = None

    @property
    def diameter(self) -> float:
        return (self.high - self.low + self.width) / 2

    @property
    def centre(self) -> float:
        return (self.low + self.high) / 2


@dataclass(slots=True)
class _Belt:
    """The belt's way in pixels since the start, and what is known of its motion."""

    direction: BeltDirection | None
    way_px: float = 0.0
    speed_px_s: float | None = None
    last_ns: int | None = None
    last_mm: float | None = None


class Tracker:
    """Joins detections of successive frames into fruit.

    With an encoder and a scale the belt's motion is known; otherwise it is found from the detections and then followed
    as one rigid shift of all fruit, so that ramps and stops move every prediction together.

    Args:
        settings: `[track]` of `line.toml`.
        belt: `[belt]`.
    """

    def __init__(self, settings: TrackSettings, belt: BeltSettings) -> None:
        self._settings = settings
        self._settings_belt = belt
        self._belt = _Belt(belt.direction)
        self._finder = MotionFinder(belt.direction)
        self._tracks: list[_Track] = []
        self._places: list[tuple[Extent, float]] = []
        self._next_id = 1

    @property
    def direction(self) -> BeltDirection | None:
        """Where the belt runs in the picture; None until it is known."""
        return self._belt.direction

    def update(self, frame: Frame, detections: Sequence[Detection]) -> TrackUpdate:
        """Assign one frame's detections.

        A thing becomes a fruit, with an id, once it was seen in `min_views` frames and has moved with the belt; ids
        rise in the order in which that happens.

        Args:
            frame: Its picture's size, time and belt position are used.
            detections: What `Localizer.detect` found in it.
        """
        picture_px = (frame.image.shape[1], frame.image.shape[0])
        update, free = TrackUpdate([], []), list(detections)
        by_encoder = self._encoder_shift_px(frame)
        direction = self._belt.direction
        if direction is not None and (by_encoder is not None or self._belt.speed_px_s is not None):
            update, free = self._assign_frame(frame, detections, direction, by_encoder)
        if direction is None or by_encoder is None:
            expected = None if by_encoder is None else self._belt.speed_px_s
            found = self._finder.update(frame.captured_ns, free, picture_px, expected)
            if found is not None:
                update = TrackUpdate(update.tracked, update.finished + self._adopt(found, len(free) < len(detections)))
        self._belt.last_ns, self._belt.last_mm = frame.captured_ns, frame.belt_mm
        return update

    def _assign_frame(
        self, frame: Frame, detections: Sequence[Detection], direction: BeltDirection, by_encoder: float | None
    ) -> tuple[TrackUpdate, list[Detection]]:
        """One frame of a belt whose motion is known; also the detections that belong to no fruit."""
        picture_px = (frame.image.shape[1], frame.image.shape[0])
        along_px, across_px = picture_px if is_horizontal(direction) else picture_px[::-1]
        extents = [extent(each, direction, picture_px) for each in detections]
        moved_px = self._advance(frame, extents, by_encoder)
        riding = self._riding(extents, moved_px)
        numbers = self._assign(extents, riding)
        tracked = []
        for order, track in enumerate(self._tracks):
            number = numbers.get(order)
            track.missed = track.missed + 1 if number is None else 0
            if number is not None:
                self._follow(track, extents[number], along_px)
                if track.fruit_id is not None:
                    tracked.append(self._view(track, detections[number], frame, along_px, across_px))
        fruit_numbers = {number for order, number in numbers.items() if self._tracks[order].fruit_id is not None}
        self._drop_pieces()
        free = [each for number, each in enumerate(detections) if number not in fruit_numbers]
        finished = self._drop_finished(along_px)
        taken = set(numbers.values())
        self._start_tracks([each for number, each in enumerate(extents) if number not in taken and riding[number]])
        return TrackUpdate(sorted(tracked, key=lambda view: view.fruit_id), finished), free

    def finish(self) -> list[int]:
        """End of the recording: the fruit still open."""
        ids = [track.fruit_id for track in self._tracks if track.fruit_id is not None]
        self._tracks = []
        return sorted(ids)

    def _adopt(self, found: Motion, fruit_seen: bool) -> list[int]:
        """Take over a motion seen in things that no track explains; fruit that this ends.

        Fruit that are being followed know better, unless they hardly move: then they were none, or the belt stands and
        what moves is a hand; only one of these can be right about the direction, and early on it is the newer.
        """
        belt = self._belt
        if belt.direction is None or belt.speed_px_s is None:
            belt.direction, belt.speed_px_s = found.direction, found.speed_px_s
            return []
        if fruit_seen and belt.speed_px_s > STANDING * found.speed_px_s:
            return []
        if found.direction != belt.direction and self._next_id > SURE_FRUIT:
            return []
        turned = found.direction != belt.direction
        if turned or not agree(belt.speed_px_s, found.speed_px_s):
            # How far things rode so far was measured against a wrong belt.
            for track in self._tracks:
                track.first, track.born_belt_px = track.last, belt.way_px
        belt.direction, belt.speed_px_s = found.direction, found.speed_px_s
        return self.finish() if fruit_seen or turned else []

    def _encoder_shift_px(self, frame: Frame) -> float | None:
        """The belt's way since the last frame by the encoder; 0 in the first frame."""
        scale = self._settings_belt.mm_per_px
        if frame.belt_mm is None or scale is None:
            return None
        return 0.0 if self._belt.last_mm is None else (frame.belt_mm - self._belt.last_mm) / scale

    def _advance(self, frame: Frame, extents: Sequence[Extent], by_encoder: float | None) -> float:
        """Move the belt on to this frame; how far it moved."""
        belt = self._belt
        seconds = 0.0 if belt.last_ns is None else (frame.captured_ns - belt.last_ns) / 1e9
        shift = by_encoder
        if shift is None:
            expected = (belt.speed_px_s or 0.0) * seconds
            seen = self._common_shift(extents, expected)
            shift = expected if seen is None else seen
        if seconds > 0:
            smoothing = SPEED_SMOOTHING if by_encoder is None else 1.0
            belt.speed_px_s = _smooth(belt.speed_px_s or 0.0, shift / seconds, smoothing)
        belt.way_px += shift
        return shift

    def _common_shift(self, extents: Sequence[Extent], expected_px: float) -> float | None:
        """The shift near the expected one that carries most fruit onto a detection."""
        shifts: list[tuple[float, float]] = []
        for track in self._tracks:
            if track.fruit_id is None:
                continue
            here = _predicted(track, self._belt.way_px)
            for each in extents:
                shift = shift_px(here, each)
                allowed = SPEED_CHANGE * abs(expected_px) + 0.15 * track.diameter + 1.0
                if shift is not None and abs(shift - expected_px) <= allowed and _aligned(track, each):
                    shifts.append((shift, 0.1 * track.diameter + 1.0))
        if not shifts:
            return None
        groups = [[s for s, _ in shifts if abs(s - centre) <= tolerance] for centre, tolerance in shifts]
        best = max(groups, key=lambda group: (len(group), -abs(sum(group) / len(group) - expected_px)))
        return max(0.0, sum(best) / len(best))

    def _riding(self, extents: Sequence[Extent], moved_px: float) -> list[bool]:
        """Which things have not been lying in one place while the belt moved on beneath them.

        Where the belt moves by more than the gate between frames, no track can be drawn onto such a thing, and what
        looks like one may be a row of fruit that moves by its own spacing.
        """
        way = self._belt.way_px
        places, riding = [], []
        for each in extents:
            old = [place for place in self._places if overlap(place[0], each) >= LYING_OVERLAP]
            place = min(old, key=lambda place: place[1], default=(each, way))
            if moved_px > self._settings.gate * each.diameter:
                place = (each, way)
            places.append(place)
            riding.append(way - place[1] < LYING_TRAVEL * each.length)
        self._places = places
        return riding

    def _assign(self, extents: Sequence[Extent], riding: Sequence[bool]) -> dict[int, int]:
        """Track to extent by number: greedy by distance from the prediction, within the gate, nothing backwards."""
        candidates = []
        for order, track in enumerate(self._tracks):
            here = _predicted(track, self._belt.way_px)
            gate = self._settings.gate * track.diameter + 2.0
            for number, each in enumerate(extents):
                error = distance_px(here, each)
                moved = shift_px(track.last, each)
                backwards = moved is not None and moved < -0.5 * gate
                if riding[number] and error <= gate and _aligned(track, each) and not backwards:
                    candidates.append((track.fruit_id is None, error / gate, order, number))
        taken: dict[int, int] = {}
        used: set[int] = set()
        for _, _, order, number in sorted(candidates):
            if order not in taken and number not in used:
                taken[order] = number
                used.add(number)
        return taken

    def _follow(self, track: _Track, seen: Extent, along_px: int) -> None:
        track.last = seen
        track.views += 1
        way = self._belt.way_px
        if not seen.low_cut:
            track.low = _smooth(track.low, seen.low - way, EDGE_SMOOTHING if track.low_seen else 1.0)
            track.low_seen = True
        if not seen.high_cut:
            track.high = _smooth(track.high, seen.high - way, EDGE_SMOOTHING if track.high_seen else 1.0)
            track.high_seen = True
        track.across = _smooth(track.across, seen.across, EDGE_SMOOTHING)
        track.width = _smooth(track.width, seen.width, EDGE_SMOOTHING)
        # An unseen end lies at least where the picture ends, and a fruit is at least as long as it is wide.
        if not track.low_seen:
            track.low = min(seen.low - way, track.high - track.width)
        if not track.high_seen:
            track.high = max(seen.high - way, track.low + track.width)
        travels = edge_shifts_px(track.first, seen)
        if not travels:
            # The picture cut other ends then than now: from here on measure against now.
            track.first, track.born_belt_px = seen, way
        elif track.fruit_id is None and track.views >= self._settings.min_views:
            needed = max(TRAVEL_DIAMETERS * track.diameter, TRAVEL_PICTURES * along_px)
            belt_travel = way - track.born_belt_px
            # Each end by itself: what grows or falls to pieces beside the belt moves only one.
            if belt_travel >= needed and all(abs(each - belt_travel) <= RIDE_ERROR * belt_travel for each in travels):
                track.fruit_id, self._next_id = self._next_id, self._next_id + 1

    def _start_tracks(self, extents: Sequence[Extent]) -> None:
        way = self._belt.way_px
        claimed = [_predicted(track, way) for track in self._tracks if track.fruit_id is not None]
        for seen in extents:
            if any(_covers(fruit, seen) for fruit in claimed):
                continue
            low, high = seen.low - way, seen.high - way
            if seen.low_cut and not seen.high_cut:
                low = min(low, high - seen.width)
            elif seen.high_cut and not seen.low_cut:
                high = max(high, low + seen.width)
            self._tracks.append(
                _Track(seen, seen, low, high, not seen.low_cut, not seen.high_cut, seen.across, seen.width, way)
            )

    def _drop_pieces(self) -> None:
        """Forget what turns out to lie within a fruit: seen apart from it at first, now one with it."""
        fruits = [track.last for track in self._tracks if track.fruit_id is not None and not track.missed]
        way = self._belt.way_px
        self._tracks = [
            track
            for track in self._tracks
            if track.fruit_id is not None or not any(_covers(fruit, _predicted(track, way)) for fruit in fruits)
        ]

    def _drop_finished(self, along_px: int) -> list[int]:
        kept, finished = [], []
        for track in self._tracks:
            left = track.missed > 0 and track.low + self._belt.way_px >= along_px
            if not left and track.missed <= self._settings.max_missed_frames:
                kept.append(track)
            elif track.fruit_id is not None:
                finished.append(track.fruit_id)
        self._tracks = kept
        return sorted(finished)

    def _view(
        self, track: _Track, detection: Detection, frame: Frame, along_px: int, across_px: int
    ) -> TrackedDetection:
        assert track.fruit_id is not None
        scale = self._settings_belt.mm_per_px
        position_mm = None
        if scale is not None and frame.belt_mm is not None:
            position_mm = frame.belt_mm + (along_px - track.centre - self._belt.way_px) * scale
        lane = int(track.across / across_px * self._settings_belt.lanes)
        return TrackedDetection(
            fruit_id=track.fruit_id,
            detection=detection,
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            position_mm=position_mm,
            across_mm=None if scale is None else track.across * scale,
            lane=min(max(lane, 0), self._settings_belt.lanes - 1),
        )


def _predicted(track: _Track, way_px: float) -> Extent:
    return Extent(
        track.low + way_px, track.high + way_px, not track.low_seen, not track.high_seen, track.across, track.width
    )


def _aligned(track: _Track, seen: Extent) -> bool:
    """Fruit keep their place across the belt; half a width allows for rolling and for a part that was hidden."""
    return abs(track.across - seen.across) <= 0.5 * max(track.width, seen.width)


def _covers(fruit: Extent, part: Extent) -> bool:
    """Whether most of a detection lies within a fruit, as a broken-off piece of it would."""
    along = min(fruit.high, part.high) - max(fruit.low, part.low)
    across = (fruit.width + part.width) / 2 - abs(fruit.across - part.across)
    return along > 0.5 * part.length and min(across, part.width) > 0.5 * part.width


def _smooth(old: float, new: float, share: float) -> float:
    return old + share * (new - old)
