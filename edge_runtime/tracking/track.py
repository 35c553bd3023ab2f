"""One fruit, one id: views are joined in belt coordinates, where a fruit does not move."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from edge_runtime.records import BeltDirection, Detection, Frame, TrackedDetection
from edge_runtime.settings.vision_settings import BeltSettings, TrackSettings
from edge_runtime.tracking.assign import assign
from edge_runtime.tracking.belt_motion import Extent, MotionFinder, at_frame_time, extent, is_horizontal
from edge_runtime.tracking.belt_way import BeltWay
from edge_runtime.tracking.fruit_track import FruitTrack, Sighting, covers, without_pieces
from edge_runtime.tracking.stretch import Stretch
from edge_runtime.tracking.touching import Seen, come_apart, is_several, join, part

SURE_FRUIT = 3
RECENT_SIZES = 200
ENOUGH_SIZES = 10
BLIND = 0.5
"""A frame that shows less than this share of the fruit that must be in it does not count against any of them."""


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one frame changed.

    `tracked` are the views given to fruit; `earlier` the views of before of those that this frame showed to be fruit;
    `finished` fruit that will have no more views, and `lost` those of them that were seen too seldom to be any.
    """

    tracked: list[TrackedDetection] = field(default_factory=list)
    earlier: list[TrackedDetection] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


class Tracker:
    """Joins detections of successive frames into fruit.

    With an encoder and a scale the belt's motion is known; otherwise it is found from the detections and then followed
    as one rigid shift of all fruit, so that ramps and stops move every prediction together.

    Args:
        settings: `[track]` of `line.toml`.
        belt: `[belt]`.
        readout_ms: As in `[camera]`. Where the belt's motion is known, positions are those of the frame's time.
    """

    def __init__(self, settings: TrackSettings, belt: BeltSettings, readout_ms: float = 0.0) -> None:
        self._settings = settings
        self._settings_belt = belt
        self._readout_s = readout_ms / 1000
        self._belt = BeltWay(belt.direction, belt.mm_per_px, settings.gate)
        self._stretch = Stretch()
        self._finder = MotionFinder(belt.direction)
        self._tracks: list[FruitTrack] = []
        self._next_id = 1
        self._sizes_px: deque[float] = deque(maxlen=RECENT_SIZES)
        self._usual_px = 0.0

    @property
    def direction(self) -> BeltDirection | None:
        """Where the belt runs in the picture; None until it is known."""
        return self._belt.direction

    @property
    def speed_px_s(self) -> float | None:
        """The belt's speed in the picture; None until it is known."""
        return self._belt.speed_px_s

    def update(self, frame: Frame, detections: Sequence[Detection]) -> TrackUpdate:
        """Assign one frame's detections.

        A thing becomes a fruit, with an id, once it was seen in `min_views` frames, in most of those since the first,
        and has moved with the belt; ids rise in the order in which that happens.

        Args:
            frame: Its picture's size, time and belt position are used.
            detections: What `Localizer.detect` found in it.
        """
        update, free = TrackUpdate(), list(detections)
        by_encoder_px = self._belt.shift_by_encoder_px(frame)
        direction = self._belt.direction
        if direction is not None and (by_encoder_px is not None or self._belt.speed_px_s is not None):
            update, free = self._assign_frame(frame, detections, direction, by_encoder_px)
        if direction is None or by_encoder_px is None:
            expected = None if by_encoder_px is None else self._belt.speed_px_s
            found = self._finder.update(frame.captured_ns, free, _size(frame), expected)
            if found is not None:
                wrong, ends = self._belt.adopt(found, len(free) < len(detections), self._next_id > SURE_FRUIT)
                for track in self._tracks if wrong else ():
                    track.restart(self._belt.way_px)
                if ends:
                    ended = self.finish()
                    update.finished.extend(ended.finished)
                    update.lost.extend(ended.lost)
        self._belt.passed(frame)
        return update

    def finish(self) -> TrackUpdate:
        """End of the recording: the fruit still open end too."""
        fruits = {track.fruit_id: track for track in self._tracks if track.fruit_id is not None}
        self._tracks = []
        lost = [number for number, track in fruits.items() if not track.is_supported]
        return TrackUpdate(finished=sorted(fruits), lost=sorted(lost))

    def _assign_frame(
        self, frame: Frame, detections: Sequence[Detection], direction: BeltDirection, by_encoder_px: float | None
    ) -> tuple[TrackUpdate, list[Detection]]:
        """One frame of a belt whose motion is known; also the detections that belong to no fruit."""
        update = TrackUpdate()
        size = _size(frame)
        along_px = size[0 if is_horizontal(direction) else 1]
        whole = [Seen(each, extent(each, direction, size)) for each in detections]
        shift_px = None if by_encoder_px is None else self._stretch.ratio * by_encoder_px
        moved_px = self._belt.advance(frame, self._tracks, [each.extent for each in whole], shift_px)
        if self._readout_s != 0 and by_encoder_px is not None:
            rolled_px = self._readout_s * (self._belt.speed_px_s or 0.0)
            whole = [one._replace(extent=at_frame_time(one.extent, direction, size, rolled_px)) for one in whole]
        way_px, usual_px = self._belt.way_px, self._usual_px
        seen = part(self._tracks, whole, way_px, usual_px, direction)
        self._break_up(seen, frame)
        seen = join(self._tracks, seen, way_px)
        extents = [each.extent for each in seen]
        riding = self._belt.riding(extents, moved_px)
        owned = {each.owner: number for number, each in enumerate(seen) if each.owner is not None}
        numbers = assign(self._tracks, extents, riding, way_px, self._settings.gate, owned)
        if self._is_blind(numbers, along_px):
            self._belt.discount()
        rides = []
        for order, track in enumerate(self._tracks):
            if order in numbers and order not in owned and track.fruit_id is not None and not track.missed:
                rides.append((track.last, extents[numbers[order]]))
            track.missed += 1
            if order in owned:
                track.follow_within(extents[owned[order]])
            elif order in numbers:
                track.follow(extents[numbers[order]], way_px)
            track.frames = self._belt.frames_since(-track.low)
            if order in numbers:
                self._see(track, _sighting(seen[numbers[order]].detection, frame), frame, update)
        if by_encoder_px is not None and not self._belt.is_contradicted:
            self._stretch.take(rides, by_encoder_px, along_px)
        fruit_numbers = {number for order, number in numbers.items() if self._tracks[order].fruit_id is not None}
        self._tracks = without_pieces(self._tracks, way_px)
        free = [each.detection for number, each in enumerate(seen) if number not in fruit_numbers]
        self._drop_finished(along_px, update)
        taken = set(numbers.values())
        for number, each in enumerate(seen):
            if number not in taken and riding[number]:
                self._start(each.extent, _sighting(each.detection, frame))
        update.tracked.sort(key=lambda view: view.fruit_id)
        return update, free

    def _break_up(self, seen: Sequence[Seen], frame: Frame) -> None:
        """Where a thing that was followed as one has come apart, follow its leading part and begin the others."""
        way_px, usual_px = self._belt.way_px, self._usual_px
        for track in tuple(self._tracks):
            pieces = come_apart(track, seen, way_px, usual_px)
            if len(pieces) < 2:
                continue
            track.apart_views += 1
            if not is_several(track, usual_px):
                continue
            track.shrink(seen[pieces[0]].extent, way_px)
            for number in pieces[1:]:
                other = FruitTrack.begin(seen[number].extent, way_px, _sighting(seen[number].detection, frame))
                # It was there in every view of the whole.
                other.views = track.views
                self._tracks.append(other)

    def _is_blind(self, numbers: Mapping[int, int], along_px: int) -> bool:
        """Whether the frame is torn, frozen or black: most of the fruit that it should show are not where they are."""
        expected = [
            order
            for order, track in enumerate(self._tracks)
            if track.fruit_id is not None and track.is_supported and track.high + self._belt.way_px <= along_px
        ]
        return sum(order in numbers for order in expected) < BLIND * len(expected)

    def _see(self, track: FruitTrack, sighting: Sighting, frame: Frame, update: TrackUpdate) -> None:
        """Give a track its view, and an id once it has shown itself to be a fruit."""
        if track.fruit_id is None:
            along_px = _size(frame)[0 if self._is_horizontal else 1]
            if track.rides(self._belt.way_px, along_px, self._settings.min_views):
                track.fruit_id, self._next_id = self._next_id, self._next_id + 1
                update.earlier.extend(self._view(track, each, frame) for each in track.earlier)
                track.earlier = []
        if track.fruit_id is None:
            track.remember(sighting)
        else:
            update.tracked.append(self._view(track, sighting, frame))

    def _start(self, seen: Extent, sighting: Sighting) -> None:
        way_px = self._belt.way_px
        claimed = (track.predicted(way_px) for track in self._tracks if track.fruit_id is not None)
        if not any(covers(fruit, seen) for fruit in claimed):
            self._tracks.append(FruitTrack.begin(seen, way_px, sighting))

    def _drop_finished(self, along_px: int, update: TrackUpdate) -> None:
        kept = []
        for track in self._tracks:
            left = track.missed > 0 and track.low + self._belt.way_px >= along_px
            if not left and track.missed <= self._settings.max_missed_frames:
                kept.append(track)
            elif track.fruit_id is not None:
                update.finished.append(track.fruit_id)
                self._learn_size(track.diameter)
                if not track.is_supported:
                    update.lost.append(track.fruit_id)
        self._tracks = kept
        update.finished.sort()

    def _learn_size(self, diameter_px: float) -> None:
        """What most fruit measure; not known until enough were seen."""
        self._sizes_px.append(diameter_px)
        if len(self._sizes_px) >= ENOUGH_SIZES:
            self._usual_px = median(self._sizes_px)

    def _view(self, track: FruitTrack, sighting: Sighting, frame: Frame) -> TrackedDetection:
        assert track.fruit_id is not None
        height, width = frame.image.shape[:2]
        along_px, across_px = (width, height) if self._is_horizontal else (height, width)
        scale, lanes = self._settings_belt.mm_per_px, self._settings_belt.lanes
        position_mm = None
        if scale is not None and frame.belt_mm is not None and not self._belt.is_contradicted:
            to_go_px = along_px - track.middle - self._belt.way_px
            position_mm = frame.belt_mm + to_go_px * scale / self._stretch.ratio
        lane = int(track.across / across_px * lanes)
        return TrackedDetection(
            fruit_id=track.fruit_id,
            detection=sighting.detection,
            frame_index=sighting.frame_index,
            captured_ns=sighting.captured_ns,
            position_mm=position_mm,
            across_mm=None if scale is None else track.across * scale,
            lane=min(max(lane, 0), lanes - 1),
            support=track.support,
        )

    @property
    def _is_horizontal(self) -> bool:
        assert self._belt.direction is not None
        return is_horizontal(self._belt.direction)


def _size(frame: Frame) -> tuple[int, int]:
    """Width and height."""
    return frame.image.shape[1], frame.image.shape[0]


def _sighting(detection: Detection, frame: Frame) -> Sighting:
    return Sighting(detection, frame.index, frame.captured_ns)
