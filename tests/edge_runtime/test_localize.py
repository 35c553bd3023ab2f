from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import open_camera
from edge_runtime.localization.background import guess_belt
from edge_runtime.localization.localize import Localizer
from edge_runtime.localization.separate import area_of, outlines_of, separate
from edge_runtime.records import BeltDirection, Detection, Image
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings, TrackSettings
from edge_runtime.tracking.track import Tracker

BELTS = {
    "black": (30, 30, 32),
    "grey": (110, 110, 108),
    "blue": (36, 84, 150),
    "green": (22, 86, 58),
    "white": (205,) * 3,
}
FRUITS = {"red": (190, 30, 35), "pale": (200, 215, 150), "brown": (95, 60, 40)}


class Belt:
    """A textured belt, lit from its middle, with an oval fruit (and its shadow) moving to the right."""

    def __init__(self, colour: tuple[int, ...], height: int = 240, width: int = 320, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.height, self.width = height, width
        texture = cv2.GaussianBlur(rng.normal(0, 0.06, (height, 2048)).astype(np.float32), (0, 0), 1.2)
        self._texture = np.array(colour, np.float32) * (1 + texture[..., None])
        self._light = 1.1 - 0.35 * np.abs(np.linspace(-1, 1, width))[None, :, None]
        self._rng = rng

    def draw(self, way_px: int, fruit: list[tuple[int, int, tuple[int, int, int]]], radius: int = 22) -> Image:
        """`fruit`: (x, y, colour) of each centre."""
        columns = (np.arange(self.width) - way_px) % self._texture.shape[1]
        picture = self._texture[:, columns].copy()
        for x, y, _ in fruit:
            shade = np.ones((self.height, self.width), np.float32)
            cv2.ellipse(shade, (x + radius // 3, y + radius // 2), (radius, radius - 4), 0, 0, 360, 0.72, cv2.FILLED)
            picture *= cv2.GaussianBlur(shade, (0, 0), 2)[..., None]
        for x, y, colour in fruit:
            cv2.ellipse(picture, (x, y), (radius, radius - 5), 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
        noise = self._rng.normal(0, 1.5, picture.shape)
        return np.clip(picture * self._light + noise, 0, 255).astype(np.uint8)


def box_error_px(detection: Detection, x: int, y: int, radius: int = 22) -> float:
    """Largest error of the four edges."""
    box = detection.box
    edges = (box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px)
    truth = (x - radius, y - radius + 5, x + radius, y + radius - 5)
    return max(abs(a - b) for a, b in zip(edges, truth, strict=True))


@pytest.mark.parametrize("belt_name", BELTS)
@pytest.mark.parametrize("fruit_name", FRUITS)
def test_fruit_of_every_ripeness_is_found_on_belts_of_every_colour(belt_name: str, fruit_name: str) -> None:
    belt, localizer = Belt(BELTS[belt_name]), Localizer(LocalizeSettings(), BeltSettings())
    found = []
    for frame in range(40):
        x = -30 + 8 * frame
        detections = localizer.detect(belt.draw(8 * frame, [(x, 120, FRUITS[fruit_name])]))
        if 30 <= x <= 290:
            assert len(detections) == 1
            assert not detections[0].touches_border
            found.append(box_error_px(detections[0], x, 120))
        if x < -26 or x > 346:
            assert detections == []
    assert len(found) >= 30
    assert max(found) <= 6


def test_a_mouldy_fruit_as_dark_and_nearly_as_grey_as_the_belt_is_found() -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    errors = []
    for frame in range(40):
        x = -30 + 8 * frame
        detections = localizer.detect(belt.draw(8 * frame, [(x, 120, (122, 105, 92))]))
        if 80 < x < 240:
            errors.append(box_error_px(detections[0], x, 120) if len(detections) == 1 else 99.0)
    assert np.mean(np.array(errors) < 7) > 0.8


@pytest.mark.parametrize("start", [60, 150, 250])
def test_fruit_that_lies_there_from_the_first_frame_is_found_once_it_moves(start: int) -> None:
    belt, localizer = Belt(BELTS["blue"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(5):
        x = start + 8 * frame
        detections = localizer.detect(belt.draw(8 * frame, [(x, 120, FRUITS["red"])]))
        if frame >= 2:
            assert len(detections) == 1
            assert box_error_px(detections[0], x, 120) <= 6


def test_where_the_first_fruit_lay_nothing_remains() -> None:
    belt, localizer = Belt(BELTS["green"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(40):
        detections = localizer.detect(belt.draw(8 * frame, [(150 + 8 * frame, 120, FRUITS["red"])]))
    assert detections == []


def test_large_fruit_are_found() -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(50):
        detections = localizer.detect(belt.draw(8 * frame, [(-90 + 8 * frame, 120, FRUITS["red"])], radius=80))
        if frame == 32:
            assert len(detections) == 1
            assert box_error_px(detections[0], 166, 120, 80) <= 8
            assert detections[0].area_px > 0.15 * belt.height * belt.width


def test_once_fruit_have_passed_a_crumb_is_none() -> None:
    belt, localizer = Belt(BELTS["blue"]), Localizer(LocalizeSettings(), BeltSettings(direction=BeltDirection.RIGHT))
    told = Localizer(LocalizeSettings(min_diameter_px=9), BeltSettings(direction=BeltDirection.RIGHT))
    for frame in range(60):
        picture = belt.draw(8 * frame, [(-30 + 8 * (frame % 45), 60, FRUITS["red"])])
        cv2.circle(picture, (8 * frame - 120, 180), 6, FRUITS["brown"], cv2.FILLED)
        seen = [detection.box.centre_px[1] > 150 for detection in localizer.detect(picture)]
        told_seen = [detection.box.centre_px[1] > 150 for detection in told.detect(picture)]
        if 30 <= frame <= 50:
            assert not any(seen)
            assert sum(told_seen) == 1


@pytest.mark.parametrize("belt_name", ["white", "grey"])
def test_a_wet_patch_is_none(belt_name: str) -> None:
    belt, localizer = Belt(BELTS[belt_name]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(40):
        picture = belt.draw(8 * frame, [(-30 + 8 * frame, 60, FRUITS["red"])])
        wet = np.ones(picture.shape[:2], np.float32)
        cv2.circle(wet, (-30 + 8 * frame, 170), 30, 0.83, cv2.FILLED)
        picture = (picture * cv2.GaussianBlur(wet, (0, 0), 3)[..., None]).astype(np.uint8)
        assert [round(each.box.centre_px[1] / 60) for each in localizer.detect(picture)] in ([1], [])


def test_several_fruit_come_from_left_to_right() -> None:
    belt, localizer = Belt(BELTS["white"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(30):
        places = [(-40 + 8 * frame, 60, FRUITS["red"]), (-120 + 8 * frame, 170, FRUITS["pale"])]
        detections = localizer.detect(belt.draw(8 * frame, places))
    assert [round(each.box.centre_px[0] / 10) for each in detections] == [11, 19]


@pytest.mark.parametrize("offset", [(40, 6), (4, 33), (32, 22)])
def test_touching_fruit_are_told_apart(offset: tuple[int, int]) -> None:
    belt, localizer = Belt(BELTS["blue"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(28):
        x = -60 + 8 * frame
        places = [(x, 100, FRUITS["red"]), (x + offset[0], 100 + offset[1], FRUITS["red"])]
        detections = localizer.detect(belt.draw(8 * frame, places))
        if 30 < x < 240:
            assert len(detections) == 2
    assert sorted(round(each.box.centre_px[0]) for each in detections) == pytest.approx([x, x + offset[0]], abs=5)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ("disc", 1),
        ("strip", 1),
        ("ring", 1),
        ("heart", 1),
        ("pair", 2),
        ("unequal", 2),
        ("small ends", 3),
        ("row", 4),
        ("apart", 2),
        ("chip", 1),
    ],
)
def test_outlines_are_cut_at_waists_only(shape: str, count: int) -> None:
    discs = {
        "disc": [(100, 60, 30)],
        "strip": [],
        "ring": [(100, 60, 40)],
        "heart": [(90, 60, 24), (112, 60, 24), (101, 72, 24)],
        "pair": [(70, 60, 25), (115, 60, 25)],
        "unequal": [(70, 60, 30), (112, 60, 17)],
        "small ends": [(58, 60, 16), (100, 60, 29), (142, 60, 16)],
        "row": [(30, 60, 20), (66, 60, 20), (102, 60, 20), (138, 60, 20)],
        "apart": [(50, 60, 25), (130, 60, 22)],
        "chip": [(60, 60, 30), (120, 60, 8)],
    }
    mask = np.zeros((120, 200), np.uint8)
    for x, y, radius in discs[shape]:
        cv2.circle(mask, (x, y), radius, (255,), cv2.FILLED)
    if shape == "ring":
        cv2.circle(mask, (100, 60), 25, (0,), cv2.FILLED)
    if shape == "strip":
        mask[50:62, 5:195] = 255
        mask[53:59, 60:64] = 0
    outlines = outlines_of(mask)
    parts = separate(outlines, 40)
    assert len(parts) == count
    centres = sorted(part.box[0] + part.box[2] / 2 for part in parts)
    if count == len(discs[shape]) > 1:
        assert centres == pytest.approx(sorted(x for x, *_ in discs[shape]), abs=4)
        assert sum(part.area for part in parts) == pytest.approx(cv2.countNonZero(mask), rel=0.03)
    assert len(separate(outlines, 40, usual_area=1e6)) == (2 if shape == "apart" else 1)


def test_an_outline_holds_as_many_pixels_as_were_drawn() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:9, 7:20] = 255
    mask[9:30, 12] = 255
    cv2.ellipse(mask, (42, 20), (14, 9), 30, 0, 360, (255,), cv2.FILLED)
    assert sum(area_of(outline) for outline in outlines_of(mask)) == cv2.countNonZero(mask)


def test_two_small_ones_that_touch_are_two_and_a_knob_on_one_is_none() -> None:
    mask = np.zeros((120, 200), np.uint8)
    for x, radius in ((60, 20), (96, 18)):
        cv2.circle(mask, (x, 60), radius, (255,), cv2.FILLED)
    both = cv2.countNonZero(mask)
    assert len(separate(outlines_of(mask), 40, usual_area=0.9 * both)) == 2
    mask[:] = 0
    cv2.circle(mask, (60, 60), 30, (255,), cv2.FILLED)
    cv2.circle(mask, (102, 60), 15, (255,), cv2.FILLED)
    assert len(separate(outlines_of(mask), 40)) == 2
    assert len(separate(outlines_of(mask), 40, usual_area=cv2.countNonZero(mask))) == 1


@pytest.mark.parametrize(("radius", "count"), [(12, 3), (8, 2)])
def test_a_small_one_beside_two_that_touch_is_measured_by_each_of_them(radius: int, count: int) -> None:
    mask = np.zeros((120, 200), np.uint8)
    for x, size in ((80, 20), (116, 20), (40, radius)):
        cv2.circle(mask, (x, 60), size, (255,), cv2.FILLED)
    outlines = outlines_of(mask)
    assert len(outlines) == 2
    things = separate(outlines, 40)
    centres = sorted(thing.box[0] + thing.box[2] / 2 for thing in things)
    assert centres == pytest.approx([40, 80, 116][-count:], abs=4)


@pytest.mark.parametrize(("radius", "apart"), [(7, 10), (13, 18)])
def test_two_whose_middles_nearly_meet_are_each_themselves(radius: int, apart: int) -> None:
    """In the smaller picture there is nothing between their cores: both were taken for the whole, without an end."""
    mask = np.zeros((80, 100), np.uint8)
    for x in (30, 30 + apart):
        cv2.circle(mask, (x, 30), radius, (255,), cv2.FILLED)
    things = separate(outlines_of(mask), 20)
    assert len({thing.box for thing in things}) == 2
    assert sum(thing.area for thing in things) == pytest.approx(cv2.countNonZero(mask), rel=0.05)


@pytest.mark.parametrize(("gap_px", "count"), [(8, 1), (10, 2)])
def test_a_gap_of_four_working_pixels_is_closed_and_what_is_found_grows_by_none(gap_px: int, count: int) -> None:
    picture, localizer = np.full((240, 320, 3), 110, np.uint8), Localizer(LocalizeSettings(), BeltSettings())
    localizer.detect(picture)
    for start, end in ((100, 140), (140 + gap_px, 180 + gap_px)):
        picture[80:120, start:end] = FRUITS["red"]
    boxes = [each.box.as_list() for each in localizer.detect(picture)]
    assert len(boxes) == count
    assert boxes[0] == [100, 80, 80 + gap_px if count == 1 else 40, 40]


def test_a_fruit_that_the_edge_cuts_says_so() -> None:
    belt, localizer = Belt(BELTS["blue"]), Localizer(LocalizeSettings(), BeltSettings())
    localizer.detect(belt.draw(0, []))
    assert [each.touches_border for each in localizer.detect(belt.draw(8, [(4, 120, FRUITS["red"])]))] == [True]
    assert [each.touches_border for each in localizer.detect(belt.draw(16, [(40, 120, FRUITS["red"])]))] == [False]
    assert [each.touches_border for each in localizer.detect(belt.draw(24, [(315, 120, FRUITS["red"])]))] == [True]


def test_an_empty_belt_stays_empty_through_a_slow_change_of_light() -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(150):
        picture = belt.draw(5 * frame, [])
        dimmed = (picture * (1 - 0.002 * frame)).astype(np.uint8)
        assert localizer.detect(dimmed) == []


@pytest.mark.parametrize("gain", [0.6, 1.25])
@pytest.mark.parametrize("belt_name", ["blue", "white"])
def test_a_sudden_change_of_light_is_followed(gain: float, belt_name: str) -> None:
    belt, localizer = Belt(BELTS[belt_name]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(60):
        x = -130 + 6 * frame
        picture = belt.draw(6 * frame, [(x, 120, FRUITS["red"])])
        if frame >= 40:
            picture = np.clip(picture * gain, 0, 255).astype(np.uint8)
        detections = localizer.detect(picture)
        if x > 22:
            assert len(detections) == 1
            assert box_error_px(detections[0], x, 120) <= 6


@pytest.mark.parametrize("black_frames", [1, 4, 30])
def test_black_frames_teach_nothing(black_frames: int) -> None:
    belt, localizer = Belt(BELTS["green"]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(40):
        localizer.detect(belt.draw(8 * frame, [(-30 + 8 * frame, 120, FRUITS["red"])]))
    for _ in range(black_frames):
        assert localizer.detect(np.ones((belt.height, belt.width, 3), np.uint8)) == []
    for frame in range(36):
        x = 30 + 8 * frame
        detections = localizer.detect(belt.draw(8 * frame, [(x, 60, FRUITS["brown"])]))
        assert len(detections) == 1
        if 30 < x < 290:
            assert box_error_px(detections[0], x, 60) <= 6


@pytest.mark.parametrize(("frames", "belt_name"), [(1, "black"), (6, "black"), (200, "black"), (6, "green")])
def test_the_end_of_a_glare_is_no_failed_lamp(frames: int, belt_name: str) -> None:
    belt, localizer = Belt(BELTS[belt_name]), Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(40):
        localizer.detect(belt.draw(8 * frame, [(-30 + 8 * frame, 120, FRUITS["red"])]))
    for frame in range(frames):
        glaring = np.clip(belt.draw(8 * frame, []).astype(int) * 6, 0, 255).astype(np.uint8)
        assert localizer.detect(glaring) == []
    for frame in range(36):
        x = 30 + 8 * frame
        detections = localizer.detect(belt.draw(8 * frame, [(x, 60, FRUITS["red"])]))
        if 30 < x < 290:
            assert len(detections) == 1
            assert box_error_px(detections[0], x, 60) <= 6


def test_a_camera_that_is_turned_elsewhere_starts_afresh() -> None:
    black, white = Belt(BELTS["black"]), Belt(BELTS["white"], seed=1)
    localizer = Localizer(LocalizeSettings(), BeltSettings())
    for frame in range(20):
        localizer.detect(black.draw(6 * frame, []))
    checked = np.indices((240, 320)).sum(axis=0)[..., None] // 60 % 2
    for frame in range(30):
        scene = np.where(checked > 0, white.draw(6 * frame, []), np.uint8([200, 30, 30])).astype(np.uint8)
        detections = localizer.detect(scene)
    assert detections == []


def test_a_tool_left_beside_the_fruit_is_absorbed_and_a_stopped_fruit_is_not() -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    localizer.detect(belt.draw(0, []))
    stopped = [localizer.detect(belt.draw(0, [(100, 120, FRUITS["red"])])) for _ in range(200)]
    assert all(len(each) == 1 for each in stopped)
    tool = (270, 200, FRUITS["pale"])
    for frame in range(300):
        passing = (-40 + 8 * frame % 400, 90, FRUITS["red"])
        detections = localizer.detect(belt.draw(8 * frame, [passing, tool]))
    assert all(each.box.centre_px[1] < 130 for each in detections)


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (720, 1280), (1080, 1920)])
def test_boxes_are_in_pixels_of_the_picture_at_any_size(size: tuple[int, int]) -> None:
    scale = size[0] / 240
    belt, localizer = Belt(BELTS["blue"]), Localizer(LocalizeSettings(), BeltSettings())
    for x in (-30, 100, 110):
        small = belt.draw(x, [(x, 120, FRUITS["red"])])
        detections = localizer.detect(cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR))  # type: ignore[arg-type]
    assert len(detections) == 1
    centre_x, centre_y = detections[0].box.centre_px
    assert abs(centre_x / (size[1] / 320) - 110) < 4
    assert abs(centre_y / scale - 120) < 4


def test_size_limits_are_obeyed() -> None:
    for settings, count in (
        (LocalizeSettings(min_diameter_px=30), 1),
        (LocalizeSettings(min_diameter_px=60), 0),
        (LocalizeSettings(max_diameter_px=30), 0),
    ):
        belt, localizer = Belt(BELTS["blue"]), Localizer(settings, BeltSettings())
        localizer.detect(belt.draw(0, []))
        assert len(localizer.detect(belt.draw(8, [(100, 120, FRUITS["red"])]))) == count


def test_the_same_frames_give_the_same_boxes() -> None:
    def once() -> list[list[Detection]]:
        belt, localizer = Belt(BELTS["green"]), Localizer(LocalizeSettings(), BeltSettings())
        return [localizer.detect(belt.draw(8 * n, [(-30 + 8 * n, 120, FRUITS["pale"])])) for n in range(20)]

    assert once() == once()


def test_the_picture_handed_in_is_left_alone() -> None:
    picture = Belt(BELTS["green"]).draw(0, [(100, 120, FRUITS["red"])])
    before = picture.copy()
    Localizer(LocalizeSettings(), BeltSettings()).detect(picture)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("along_x", [True, False])
def test_the_belt_is_guessed_through_the_fruit_on_it(along_x: bool) -> None:
    empty, full = Belt(BELTS["green"]).draw(0, []), Belt(BELTS["green"]).draw(0, [(100, 120, FRUITS["red"])])
    if not along_x:
        empty, full = empty.transpose(1, 0, 2), full.transpose(1, 0, 2)
    guess = guess_belt(np.ascontiguousarray(full), None)
    assert np.abs(guess.expected.astype(int) - empty).mean() < 5
    assert guess.spread.shape == full.shape


@pytest.mark.parametrize("along_x", [True, False])
@pytest.mark.parametrize("length", [160, 161])
def test_the_belt_is_guessed_exactly_where_most_of_each_line_is_bare(along_x: bool, length: int) -> None:
    chance = np.random.default_rng(1)
    belt = np.broadcast_to(chance.integers(60, 200, (90, 1, 3)), (90, length, 3)).astype(np.uint8)
    full = np.where(chance.random((90, length, 1)) < 0.15, np.uint8(10), belt)
    full = np.where(chance.random((90, length, 1)) < 0.15, np.uint8(250), full)
    if not along_x:
        belt, full = belt.transpose(1, 0, 2), full.transpose(1, 0, 2)
    guess = guess_belt(np.ascontiguousarray(full), along_x)
    assert np.array_equal(guess.expected, belt)
    assert not guess.spread.any()


CLIPS = {"belt_topdown_black_parts.mp4": 5, "belt_side_fruit_veg.gif": 4, "belt_topdown_green_boxes.mp4": 3}
"""Things that pass, counted by eye."""


@pytest.mark.parametrize("name", CLIPS)
def test_things_on_real_belts_are_counted(name: str) -> None:
    data = os.environ.get("RIPELINE_TEST_DATA")
    clip = Path(data or "") / "data" / "belt" / name
    if not data or not clip.exists():
        pytest.skip("RIPELINE_TEST_DATA does not name a folder with data/belt")
    localizer, tracker = Localizer(LocalizeSettings(), BeltSettings()), Tracker(TrackSettings(), BeltSettings())
    ids = set()
    for frame in open_camera(str(clip)).frames():
        ids.update(view.fruit_id for view in tracker.update(frame, localizer.detect(frame.image)).tracked)
    assert abs(len(ids) - CLIPS[name]) <= 1


def test_the_scene_is_the_belt_as_a_picture_without_the_fruit_on_it() -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    assert localizer.scene is None
    for frame in range(20):
        localizer.detect(belt.draw(8 * frame, [(30 + 8 * frame, 120, FRUITS["red"])]))
    assert localizer.scene is not None
    assert localizer.scene.shape == (belt.height // 2, belt.width // 2, 3)
    empty = cv2.cvtColor(belt.draw(0, [])[::2, ::2], cv2.COLOR_RGB2YCrCb)
    assert np.abs(localizer.scene.mean(axis=(0, 1)) - empty.mean(axis=(0, 1))).max() < 4
