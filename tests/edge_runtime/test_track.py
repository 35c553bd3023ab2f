from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.records import BeltDirection, Box, Detection, Frame, TrackedDetection
from edge_runtime.settings.vision_settings import BeltSettings, TrackSettings
from edge_runtime.tracking.belt_motion import Extent, extent, overlap
from edge_runtime.tracking.belt_way import LYING_OVERLAP, BeltWay
from edge_runtime.tracking.fruit_track import FruitTrack, Sighting
from edge_runtime.tracking.touching import Seen, join
from edge_runtime.tracking.track import Tracker

WIDTH, HEIGHT = 640, 360
SCALE = 0.5
"""mm for a pixel."""


@dataclass(frozen=True)
class Fruit:
    """A round thing; `way_px` is how far the belt has run when its centre enters the picture."""

    way_px: float
    across_px: float = 180.0
    diameter_px: float = 60.0


def seen(fruit: Fruit, way_px: float, direction: BeltDirection) -> Detection | None:
    """What a perfect localiser makes of it: a box cut at the picture's edge."""
    horizontal = direction in (BeltDirection.LEFT, BeltDirection.RIGHT)
    along_px = WIDTH if horizontal else HEIGHT
    low = way_px - fruit.way_px - fruit.diameter_px / 2
    high = low + fruit.diameter_px
    cut_low, cut_high = max(low, 0.0), min(high, float(along_px))
    if cut_high - cut_low < 8:
        return None
    if direction in (BeltDirection.LEFT, BeltDirection.UP):
        cut_low, cut_high = along_px - cut_high, along_px - cut_low
    across, size = fruit.across_px - fruit.diameter_px / 2, cut_high - cut_low
    box = Box(cut_low, across, size, fruit.diameter_px) if horizontal else Box(across, cut_low, fruit.diameter_px, size)
    return Detection(box, 0.785 * size * fruit.diameter_px, size < fruit.diameter_px - 1e-6)


@dataclass
class Line:
    """A tracker beside a belt; `ways_px` is the belt's way at each frame, `reads_mm` what the encoder makes of it."""

    fruit: list[Fruit]
    direction: BeltDirection = BeltDirection.RIGHT
    encoder: bool = True
    settings: TrackSettings = field(default_factory=TrackSettings)
    told_direction: bool = True
    lanes: int = 1
    reads_mm: Callable[[int, float], float] = lambda _, way_mm: way_mm

    def run(
        self, ways_px: Iterable[float], change: Callable[[int, list[Detection]], list[Detection]] | None = None
    ) -> list[TrackedDetection]:
        """All views; `finished` and `lost` keep the ids in the order in which they ended."""
        belt = BeltSettings(
            direction=self.direction if self.told_direction else None,
            mm_per_px=SCALE if self.encoder else None,
            lanes=self.lanes,
        )
        tracker, image = Tracker(self.settings, belt), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        views: list[TrackedDetection] = []
        self.finished: list[int] = []
        self.lost: list[int] = []
        self.earlier: list[TrackedDetection] = []
        for index, way_px in enumerate(ways_px):
            detections = [each for fruit in self.fruit if (each := seen(fruit, way_px, self.direction))]
            detections = change(index, detections) if change else detections
            belt_mm = self.reads_mm(index, way_px * SCALE) if self.encoder else None
            frame = Frame(image, index, round(index * 1e9 / 30), belt_mm)
            update = tracker.update(frame, detections)
            views += update.tracked
            self.earlier += update.earlier
            self.finished += update.finished
            self.lost += update.lost
        self.finished += tracker.finish().finished
        return views


def ids(views: list[TrackedDetection]) -> list[int]:
    return sorted({view.fruit_id for view in views})


def centres(views: list[TrackedDetection], fruit_id: int, axis: int = 0) -> list[float]:
    """Of its whole views."""
    mine = [view.detection for view in views if view.fruit_id == fruit_id]
    return [each.box.centre_px[axis] for each in mine if not each.touches_border]


WAY = [12.0 * n for n in range(90)]


@pytest.mark.parametrize("direction", BeltDirection)
@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("told_direction", [True, False])
def test_each_fruit_gets_one_id_from_entry_to_exit(
    direction: BeltDirection, encoder: bool, told_direction: bool
) -> None:
    line = Line([Fruit(40), Fruit(150), Fruit(230)], direction, encoder, told_direction=told_direction)
    views = line.run(WAY)
    assert ids(views) == [1, 2, 3]
    assert line.finished == [1, 2, 3]
    along_px = WIDTH if direction in (BeltDirection.LEFT, BeltDirection.RIGHT) else HEIGHT
    for fruit_id in (2, 3):
        places = centres(views, fruit_id, axis=0 if along_px == WIDTH else 1)
        assert len(places) > 0.75 * along_px / 12
        steps = np.diff(places)
        assert np.all(steps > 0) if direction in (BeltDirection.RIGHT, BeltDirection.DOWN) else np.all(steps < 0)


def test_position_is_constant_and_measured_upstream_of_the_downstream_edge() -> None:
    for direction in BeltDirection:
        along_px = WIDTH if direction in (BeltDirection.LEFT, BeltDirection.RIGHT) else HEIGHT
        views = Line([Fruit(40)], direction).run(WAY)
        positions = [view.position_mm for view in views if not view.detection.touches_border]
        # The centre enters after 40 px of way, and is then the whole picture away from the downstream edge.
        assert positions == pytest.approx([(40 + along_px) * SCALE] * len(positions), abs=1e-6)


def test_position_of_a_cut_view_is_that_of_the_whole_fruit() -> None:
    views = Line([Fruit(40)]).run(WAY)
    cut = [view.position_mm for view in views if view.detection.touches_border]
    assert len(cut) >= 3
    assert cut == pytest.approx([(40 + WIDTH) * SCALE] * len(cut), abs=1.0)


def test_without_encoder_or_scale_there_is_no_position() -> None:
    assert {view.position_mm for view in Line([Fruit(40)], encoder=False).run(WAY)} == {None}
    assert {view.across_mm for view in Line([Fruit(40)], encoder=False).run(WAY)} == {None}


def test_across_and_lane_say_where_on_the_belt() -> None:
    views = Line([Fruit(40, across_px=60), Fruit(45, across_px=300)], lanes=3).run(WAY)
    assert {(view.fruit_id, view.lane) for view in views} == {(1, 0), (2, 2)}
    assert {view.across_mm for view in views} == {30.0, 150.0}


def test_an_encoder_tells_neighbours_apart_when_the_belt_moves_a_pitch_between_frames() -> None:
    fruit = [Fruit(40 + 66 * n) for n in range(20)]
    line = Line(fruit)
    views = line.run(66.0 * n for n in range(40))
    assert ids(views) == list(range(1, 21))
    assert all(np.allclose(np.diff(centres(views, each)), 66) for each in ids(views))


def test_fast_uneven_rows_are_followed_without_an_encoder() -> None:
    gaps = np.random.default_rng(0).uniform(66, 140, 25)
    line = Line([Fruit(float(way)) for way in np.cumsum(gaps)], encoder=False, told_direction=False)
    views = line.run(50.0 * n for n in range(70))
    assert ids(views) == list(range(1, 26))
    assert all(np.allclose(np.diff(centres(views, each)), 50) for each in ids(views))


@pytest.mark.parametrize("encoder", [True, False])
def test_missed_frames_are_bridged(encoder: bool) -> None:
    rng = np.random.default_rng(3)
    line = Line([Fruit(40), Fruit(150), Fruit(260)], encoder=encoder)
    views = line.run(WAY, lambda _, detections: [each for each in detections if rng.random() > 0.4])
    assert ids(views) == [1, 2, 3]
    assert sorted(line.finished) == [1, 2, 3]
    assert all(np.all(np.diff(centres(views, each)) > 0) for each in ids(views))


def test_a_fruit_that_is_gone_too_long_ends() -> None:
    line = Line([Fruit(40)], settings=TrackSettings(max_missed_frames=5))
    views = line.run(WAY, lambda index, detections: [] if index >= 30 else detections)
    assert ids(views) == [1]
    assert line.finished == [1]


def ramps_and_stops() -> list[float]:
    """Speed in px a frame: ramps of a fifth, then two stops over a third of a second each."""
    speeds = [12.0] * 20 + list(np.linspace(12, 14.4, 15)) + list(np.linspace(14.4, 9.6, 15))
    stop = [*np.linspace(9.6, 0, 10), *[0.0] * 25, *np.linspace(0, 12, 10), *[12.0] * 10]
    return list(np.cumsum(speeds + stop + stop + [12.0] * 60))


@pytest.mark.parametrize("encoder", [True, False])
def test_ramps_and_stops_break_no_track(encoder: bool) -> None:
    rng = np.random.default_rng(5)
    fruit = [Fruit(float(way)) for way in np.cumsum(rng.uniform(70, 160, 12))]
    line = Line(fruit, encoder=encoder)
    views = line.run(ramps_and_stops())
    assert ids(views) == list(range(1, 13))
    assert line.finished == list(range(1, 13))


ERRS_AT = range(20, 32, 2)
"""Frames over which a fruit of the row comes in, another is in mid picture and a third leaves."""


@pytest.mark.parametrize("at", ERRS_AT)
@pytest.mark.parametrize("jump_mm", [700.0, -700.0, 40.0])
def test_an_encoder_that_jumps_for_a_moment_gives_no_fruit_a_second_number(at: int, jump_mm: float) -> None:
    fruit = [Fruit(float(way)) for way in range(40, 640, 145)]
    line = Line(fruit, reads_mm=lambda index, way_mm: way_mm + jump_mm * (index == at))
    assert_one_number_each(line, {index: 0.0 for index in range(90) if index not in (at, at + 1)})


@pytest.mark.parametrize("at", ERRS_AT)
def test_an_encoder_that_counts_anew_ends_no_track(at: int) -> None:
    fruit = [Fruit(float(way)) for way in range(40, 640, 145)]
    line = Line(fruit, reads_mm=lambda index, way_mm: way_mm - WAY[at] * SCALE * (index >= at))
    assert_one_number_each(line, {index: -WAY[at] * SCALE * (index > at) for index in range(90) if index != at})


@pytest.mark.parametrize("at", ERRS_AT)
@pytest.mark.parametrize("catches_up", [False, True])
def test_an_encoder_that_stands_while_the_fruit_go_on_moves_none_of_them(at: int, catches_up: bool) -> None:
    fruit = [Fruit(float(way)) for way in range(40, 640, 145)]
    end, stood_mm = at + 6, (WAY[at + 5] - WAY[at - 1]) * SCALE

    def reads_mm(index: int, way_mm: float) -> float:
        if at <= index < end:
            return WAY[at - 1] * SCALE
        return way_mm - stood_mm if index >= end and not catches_up else way_mm

    after_mm = 0.0 if catches_up else -stood_mm
    known = {index: 0.0 if index < at else after_mm for index in range(90) if not at <= index < end + catches_up}
    assert_one_number_each(Line(fruit, reads_mm=reads_mm), known)


def test_a_belt_that_runs_fast_from_the_first_picture_on_is_believed() -> None:
    line = Line([Fruit(200), Fruit(400)])
    ways = [70.0 * n for n in range(30)]  # 35 mm a frame: more than any belt gains in one
    assert ids(line.run(ways)) == [1, 2]
    assert line.lost == []


def assert_one_number_each(line: Line, known_mm: dict[int, float]) -> None:
    """And each in its place: `known_mm` is by how much the encoder errs in each frame in which it can be believed."""
    views = line.run(WAY)
    assert ids(views) == line.finished == list(range(1, 1 + len(line.fruit)))
    assert line.lost == []
    for view in views:
        place_mm = (line.fruit[view.fruit_id - 1].way_px + WIDTH) * SCALE
        if view.frame_index in known_mm:
            assert view.position_mm == pytest.approx(place_mm + known_mm[view.frame_index], abs=1.0)
        else:
            assert view.position_mm is None


def test_frames_with_an_encoder_that_jumped_while_nothing_was_there_are_not_counted_against_later_fruit() -> None:
    line = Line([Fruit(200)], reads_mm=lambda index, way_mm: way_mm + 700 * (index == 3))
    assert ids(line.run(WAY)) == [1]
    assert line.lost == []


def test_blips_never_become_fruit() -> None:
    rng = np.random.default_rng(7)

    def with_blips(_: int, detections: list[Detection]) -> list[Detection]:
        x, y = rng.uniform(0, WIDTH - 40), rng.uniform(0, HEIGHT - 40)
        return [*detections, Detection(Box(x, y, 40, 40), 1200)]

    assert len(ids(Line([Fruit(40, across_px=100)]).run(WAY, with_blips))) == 1


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("speed_px", [2.0, 12.0])
def test_what_lies_beside_the_belt_never_becomes_fruit(encoder: bool, speed_px: float) -> None:
    rng = np.random.default_rng(9)

    def with_tool(_: int, detections: list[Detection]) -> list[Detection]:
        x, y = rng.normal(300, 1), rng.normal(30, 1)
        return [*detections, Detection(Box(x, y, 50, 40), 1800)]

    views = Line([Fruit(40), Fruit(150)], encoder=encoder).run([speed_px * n for n in range(450)], with_tool)
    assert ids(views) == [1, 2]
    assert {round(view.detection.box.centre_px[1]) for view in views} == {180}


@example(low=100, length=50, width=50, shaken=(0.28, 0.0, -0.28, 0.0))
@given(
    low=st.floats(0, 500),
    length=st.floats(5, 80),
    width=st.floats(5, 80),
    shaken=st.tuples(*[st.floats(-0.5, 0.5)] * 4),
)
def test_a_thing_that_shakes_in_its_place_does_not_ride(
    low: float, length: float, width: float, shaken: tuple[float, ...]
) -> None:
    along, across, longer, wider = shaken
    before = Extent(low, low + length, False, False, 180.0, width)
    start = low + along * length
    after = Extent(start, start + length * (1 + longer), False, False, 180.0 + across * width, width * (1 + wider))
    way = BeltWay(BeltDirection.RIGHT, None, gate=0.34)
    assert way.riding([before], 0.0) == [True]
    way.way_px = 200.0
    assert way.riding([after], 1.0) == [overlap(before, after) < LYING_OVERLAP]


def test_what_appears_in_mid_picture_is_no_fruit() -> None:
    """A fruit comes in at the upstream edge; a wet patch is noticed wherever the light makes it so."""

    def late(_: int, detections: list[Detection]) -> list[Detection]:
        return [each for each in detections if each.box.y_px > 200 or each.box.x_px > 0.7 * WIDTH]

    line = Line([Fruit(40, across_px=90), Fruit(150, across_px=270)])
    views = line.run(WAY, late)
    assert {round(view.detection.box.centre_px[1]) for view in views if view.fruit_id not in line.lost} == {270}


def test_a_thing_that_is_seen_now_and_then_is_lost() -> None:
    def fades(index: int, detections: list[Detection]) -> list[Detection]:
        return [each for each in detections if each.box.y_px > 200 or index < 14 or index % 4 == 0]

    line = Line([Fruit(40, across_px=90), Fruit(60, across_px=270)])
    views = line.run(WAY, fades)
    (lost,) = line.lost
    assert {round(view.detection.box.centre_px[1]) for view in views if view.fruit_id == lost} == {90}
    assert len(line.finished) == 2


def test_the_views_from_before_it_was_known_for_a_fruit_are_handed_over() -> None:
    line = Line([Fruit(40)], settings=TrackSettings(min_views=6))
    first = min(view.frame_index for view in line.run(WAY))
    assert [view.frame_index for view in line.earlier] == [first - 2, first - 1]
    assert {view.fruit_id for view in line.earlier} == {1}


def test_a_piece_broken_off_is_no_fruit_of_its_own() -> None:
    def broken(index: int, detections: list[Detection]) -> list[Detection]:
        pieces = []
        for each in detections:
            box = each.box
            if index % 3 == 0:
                half = replace(box, height_px=box.height_px * 0.55)
                rest = replace(box, y_px=box.y_px + box.height_px * 0.6, height_px=box.height_px * 0.4)
                pieces += [replace(each, box=half), replace(each, box=rest)]
            else:
                pieces.append(each)
        return pieces

    assert ids(Line([Fruit(40), Fruit(200)]).run(WAY, broken)) == [1, 2]


def test_min_views_are_needed() -> None:
    line = Line([Fruit(40)], settings=TrackSettings(min_views=8))
    first = min(view.frame_index for view in line.run(WAY))
    assert first >= 8


def test_a_rolling_fruit_keeps_its_id() -> None:
    def rolling(index: int, detections: list[Detection]) -> list[Detection]:
        moved = [replace(each.box, x_px=each.box.x_px - 1.5 * max(0, index - 20)) for each in detections]
        return [replace(each, box=box) for each, box in zip(detections, moved, strict=True) if box.x_px > 0]

    assert ids(Line([Fruit(40)]).run(WAY, rolling)) == [1]


@st.composite
def belts(draw: st.DrawFn) -> tuple[list[Fruit], list[float], list[bool]]:
    """Fruit that do not touch, a belt that never runs back, and frames in which nothing is seen."""
    gaps = draw(st.lists(st.floats(75, 300), min_size=1, max_size=8))
    sizes = [draw(st.floats(40, 65)) for _ in gaps]
    rows = [draw(st.sampled_from([90.0, 180.0, 270.0])) for _ in gaps]
    fruit = [Fruit(float(way), row, size) for way, row, size in zip(np.cumsum(gaps), rows, sizes, strict=True)]
    speeds = draw(st.lists(st.floats(0, 40), min_size=5, max_size=60))
    seen_in = draw(st.lists(st.booleans(), min_size=5, max_size=60))
    return fruit, list(np.cumsum(speeds)), seen_in


@settings(max_examples=150, deadline=None)
@given(belts(), st.sampled_from(list(BeltDirection)))
def test_with_an_encoder_tracks_and_fruit_are_one_to_one(
    belt: tuple[list[Fruit], list[float], list[bool]], direction: BeltDirection
) -> None:
    fruit, ways, seen_in = belt
    line = Line(fruit, direction)
    views = line.run(ways, lambda index, each: each if seen_in[index % len(seen_in)] else [])
    assert sorted(line.finished) == ids(views)
    last: dict[int, TrackedDetection] = {}
    owner: dict[int, Fruit] = {}
    along_px = WIDTH if direction in (BeltDirection.LEFT, BeltDirection.RIGHT) else HEIGHT
    for view in views:
        assert view.position_mm is not None
        nearest = min(fruit, key=lambda each: abs((each.way_px + along_px) * SCALE - (view.position_mm or 0)))
        assert owner.setdefault(view.fruit_id, nearest) is nearest
        if view.fruit_id in last:
            assert view.frame_index > last[view.fruit_id].frame_index
        last[view.fruit_id] = view
    assert len({id(each) for each in owner.values()}) == len(owner)


def joined(detections: list[Detection]) -> list[Detection]:
    """What a localiser makes of fruit that touch: one box around all."""
    if len(detections) < 2:
        return detections
    low = [min(getattr(each.box, side) for each in detections) for side in ("x_px", "y_px")]
    high = [max(each.box.x_px + each.box.width_px for each in detections)]
    high.append(max(each.box.y_px + each.box.height_px for each in detections))
    box = Box(low[0], low[1], high[0] - low[0], high[1] - low[1])
    return [Detection(box, sum(each.area_px for each in detections), any(each.touches_border for each in detections))]


@pytest.mark.parametrize("direction", BeltDirection)
def test_fruit_that_were_apart_keep_their_own_boxes_when_seen_as_one(direction: BeltDirection) -> None:
    fruit = [Fruit(40, diameter_px=60), Fruit(92, diameter_px=44)]
    line = Line(fruit, direction)
    views = line.run(WAY, lambda index, each: each if index in (13, 14, 15) else joined(each))
    assert line.finished == [1, 2]
    along_px, axis = (WIDTH, 0) if direction in (BeltDirection.LEFT, BeltDirection.RIGHT) else (HEIGHT, 1)
    for fruit_id, each in enumerate(fruit, start=1):
        mine = [view for view in views if view.fruit_id == fruit_id and view.frame_index > 15]
        assert len(mine) >= 5
        places = [view.position_mm for view in mine]
        assert places == pytest.approx([(each.way_px + along_px) * SCALE] * len(mine), abs=1)
        whole = [view.detection.box for view in mine if not view.detection.touches_border]
        sizes = [(box.width_px, box.height_px)[axis] for box in whole]
        assert sizes == pytest.approx([each.diameter_px] * len(whole), abs=2)


def test_a_row_in_which_one_fruit_is_known_becomes_a_fruit_and_a_rest() -> None:
    line = Line([Fruit(40), Fruit(100)])

    def first_alone(index: int, detections: list[Detection]) -> list[Detection]:
        return detections[:1] if index < 13 else joined(detections)

    views = line.run(WAY, first_alone)
    assert ids(views) == [1, 2]
    last = {view.fruit_id: view.position_mm for view in views}
    assert [last[1], last[2]] == pytest.approx([(40 + WIDTH) * SCALE, (100 + WIDTH) * SCALE], abs=1)


def test_a_joint_thing_that_comes_apart_ends_as_two() -> None:
    line = Line([Fruit(40), Fruit(100)])
    views = line.run(WAY, lambda index, each: joined(each) if index < 25 else each)
    assert line.finished == [1, 2]
    assert not line.lost
    last = {view.fruit_id: view.position_mm for view in views}
    assert [last[1], last[2]] == pytest.approx([(40 + WIDTH) * SCALE, (100 + WIDTH) * SCALE], abs=1)


def test_a_single_gap_in_a_long_thing_does_not_make_it_two() -> None:
    line = Line([Fruit(40), Fruit(100)])
    assert ids(line.run(WAY, lambda index, each: each if index == 25 else joined(each))) == [1]


def in_pieces(one: Detection, first_ends: float, second_begins: float, slender: float = 1.0) -> list[Detection]:
    """What a localiser makes of a fruit whose middle it takes for belt; `slender` times as narrow as it is long."""
    box = replace(one.box, height_px=one.box.height_px / slender)
    if not 0 < first_ends < 1:
        return [replace(one, box=box)]
    first = replace(box, width_px=first_ends * box.width_px)
    second = Box(
        box.x_px + second_begins * box.width_px, box.y_px + 3, (1 - second_begins) * box.width_px, box.height_px
    )
    return [replace(one, box=first), replace(one, box=second)]


def test_a_long_fruit_that_for_a_moment_falls_to_pieces_stays_one() -> None:
    line = Line([Fruit(40)])
    views = line.run(
        WAY,
        lambda index, each: [part for one in each for part in in_pieces(one, 0.55 * (index in (20, 35)), 0.4, 1.65)],
    )
    assert line.finished == [1]
    assert ids(views) == [1]
    assert views[-1].position_mm == pytest.approx((40 + WIDTH) * SCALE, abs=0.5)
    pieces = [view.detection.box for view in views if view.frame_index in (20, 35)]
    assert [box.width_px for box in pieces] == pytest.approx([60, 60])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([1.0, 1.3, 1.65]),
    st.sets(st.integers(34, 60), max_size=3),
    st.floats(0.45, 0.6),
    st.floats(0.4, 0.6),
    st.floats(12, 14),
)
def test_pieces_of_a_known_fruit_are_never_another(
    slender: float, broken: set[int], first_ends: float, second_begins: float, speed_px: float
) -> None:
    line = Line([Fruit(40), Fruit(200)])
    views = line.run(
        [speed_px * n for n in range(120)],
        lambda index, each: [
            part for one in each for part in in_pieces(one, first_ends * (index in broken), second_begins, slender)
        ],
    )
    assert line.finished == [1, 2]
    last = {view.fruit_id: view.position_mm for view in views}
    assert [last[1], last[2]] == pytest.approx([(40 + WIDTH) * SCALE, (200 + WIDTH) * SCALE], abs=1)
    boxes = [view.detection.box for view in views if 100 < view.detection.box.x_px < WIDTH - 60]
    assert [box.width_px for box in boxes] == pytest.approx([60] * len(boxes))


def test_what_is_followed_by_itself_is_no_piece_of_what_once_held_it() -> None:
    boxes = (Box(100, 150, 60, 60), Box(160, 150, 60, 60))
    detections = [Detection(box, 2800, False) for box in boxes]
    first, second = (Seen(one, extent(one, BeltDirection.RIGHT, (WIDTH, HEIGHT))) for one in detections)
    joint = first.extent._replace(high=220)
    tracks = [FruitTrack.begin(each, 0.0, Sighting(first.detection, 0, 0)) for each in (joint, second.extent)]
    for track in tracks:
        track.whole_views = 5
    assert join(tracks[:1], [first, second], 0.0)[0].extent == joint
    assert join(tracks, [first, second], 0.0) == [first, second]


@settings(max_examples=100, deadline=None)
@given(st.floats(30, 60), st.floats(-1.5, 1.5), st.lists(st.floats(4, 20), min_size=60, max_size=90))
def test_a_neighbour_that_touches_is_never_taken_for_a_piece(
    small_px: float, angle: float, speeds: list[float]
) -> None:
    apart_px = (60 + small_px) / 2
    neighbour = Fruit(40 + apart_px * np.cos(angle), 180 + apart_px * np.sin(angle), small_px)
    line = Line([Fruit(40), neighbour])
    views = line.run([*np.cumsum(speeds), *(sum(speeds) + 20.0 * np.arange(1, 50))])
    assert sorted(line.finished) == [1, 2]
    places = {view.fruit_id: view.position_mm for view in views}
    expected = sorted((each.way_px + WIDTH) * SCALE for each in line.fruit)
    assert sorted(place for place in places.values() if place is not None) == pytest.approx(expected, abs=1)
    assert {view.detection.box.height_px for view in views} == {60.0, small_px}


def test_views_that_show_only_a_part_do_not_move_a_fruit() -> None:
    def half_missed(index: int, detections: list[Detection]) -> list[Detection]:
        cut = [replace(each.box, width_px=0.6 * each.box.width_px) for each in detections]
        return [replace(each, box=box) if index % 2 else each for each, box in zip(detections, cut, strict=True)]

    views = Line([Fruit(40)]).run(WAY, half_missed)
    assert views[-1].position_mm == pytest.approx((40 + WIDTH) * SCALE, abs=1)


def test_frames_that_show_no_fruit_at_all_count_against_none() -> None:
    line = Line([Fruit(way, across_px=row) for row in (90, 270) for way in (40, 200, 360)])
    # Most of the time the camera sends nothing: less than the share of frames in which a fruit must be seen.
    line.run([4.0 * n for n in range(270)], lambda index, each: each if index < 30 or index % 5 < 2 else [])
    assert len(line.finished) == 6
    assert not line.lost


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(40, 65), min_size=2, max_size=2),
    st.lists(st.floats(4, 20), min_size=60, max_size=90),
    st.lists(st.booleans(), min_size=7, max_size=40),
)
def test_touching_fruit_are_one_track_each_however_they_are_seen(
    sizes: list[float], speeds: list[float], joint_in: list[bool]
) -> None:
    fruit = [Fruit(40, diameter_px=sizes[0]), Fruit(40 + sum(sizes) / 2, diameter_px=sizes[1])]
    ways = [*np.cumsum(speeds), *(sum(speeds) + 20.0 * np.arange(1, 50))]
    # Both are by themselves for a while in the middle of the picture.
    apart = [index for index, way in enumerate(ways) if 200 < way < 330]
    line = Line(fruit)
    views = line.run(
        ways, lambda index, each: each if index in apart or not joint_in[index % len(joint_in)] else joined(each)
    )
    assert line.finished == [1, 2]
    places: dict[int, list[float]] = {1: [], 2: []}
    for view in views:
        assert view.position_mm is not None
        places[view.fruit_id].append(view.position_mm)
    last = {view.fruit_id: view for view in views}
    for number, each in enumerate(fruit, start=1):
        frames = [view.frame_index for view in views if view.fruit_id == number]
        assert frames == sorted(set(frames))
        assert last[number].position_mm == pytest.approx((each.way_px + WIDTH) * SCALE, abs=3)
    assert last[1].position_mm < last[2].position_mm  # type: ignore[operator]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(45, 65), min_size=3, max_size=3),
    st.lists(st.one_of(st.just(0.0), st.floats(2, 20)), min_size=40, max_size=80),
    st.lists(st.sampled_from(["apart", "first two", "last two", "all", "black"]), min_size=5, max_size=40),
    st.sampled_from(list(BeltDirection)),
)
def test_three_in_a_row_are_never_more_than_three_and_keep_their_order(
    sizes: list[float], speeds: list[float], shown: list[str], direction: BeltDirection
) -> None:
    middles = [40.0, 40 + (sizes[0] + sizes[1]) / 2, 40 + sizes[0] / 2 + sizes[1] + sizes[2] / 2]
    fruit = [Fruit(way, diameter_px=size) for way, size in zip(middles, sizes, strict=True)]
    ways = [*np.cumsum(speeds), *(sum(speeds) + 20.0 * np.arange(1, 55))]

    def view(index: int, each: list[Detection]) -> list[Detection]:
        how = shown[index % len(shown)]
        if how == "black":
            return []
        # What has not come in yet, or is gone, is part of no pair.
        first, second = {"apart": (1, 2), "first two": (2, 3), "last two": (1, 3), "all": (3, 3)}[how]
        return [one for some in (each[:first], each[first:second], each[second:]) for one in joined(some)]

    line = Line(fruit, direction)
    views = line.run(ways, view)
    assert sorted(line.finished) == sorted(set(line.finished))
    assert set(ids(views)) <= set(line.finished)
    assert len(line.finished) <= 3
    by_frame: dict[int, dict[int, float]] = {}
    for each in views:
        assert each.position_mm is not None
        together = by_frame.setdefault(each.frame_index, {})
        assert each.fruit_id not in together
        together[each.fruit_id] = each.position_mm
    # Who was ahead once stays ahead.
    orders = {tuple(sorted(together, key=lambda one: together[one])) for together in by_frame.values()}
    leads = {(one, other) for order in orders for place, one in enumerate(order) for other in order[place + 1 :]}
    assert not any((other, one) in leads for one, other in leads)
    last = {each.fruit_id: each.position_mm for each in views}
    gaps = np.diff(sorted(place for place in last.values() if place is not None))
    assert (gaps > 0.3 * min(sizes) * SCALE).all()
