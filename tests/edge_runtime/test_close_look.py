"""What a quarter of a large picture leaves in doubt is looked at in a half of it, and comes out as that would."""

import cv2
import numpy as np
import pytest

from edge_runtime.localization import localize
from edge_runtime.localization.background import Background
from edge_runtime.localization.close_look import SMALL_PX, look_closely, may_be_several
from edge_runtime.localization.localize import Localizer
from edge_runtime.localization.separate import Thing, outlines_of
from edge_runtime.localization.small_picture import SmallPicture
from edge_runtime.records import Detection, Image
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings
from tests.edge_runtime.test_localize import BELTS, FRUITS, Belt, box_error_px

HEIGHT, WIDTH, RADIUS, STEP_PX = 720, 1280, 40, 15
TOUCHING = (66, 22)
"""Of two fruit: a waist that a quarter of the picture hardly shows."""


def ride(settings: LocalizeSettings, fruit: list[tuple[int, int, str]], frames: int = 30) -> list[list[Detection]]:
    """Detections frame by frame, of fruit (x at the start, y, name) on a belt that ends up empty."""
    belt, localizer = Belt(BELTS["green"], HEIGHT, WIDTH), Localizer(settings, BeltSettings())
    for _ in range(3):
        localizer.detect(belt.draw(0, []))
    return [
        localizer.detect(
            belt.draw(STEP_PX * frame, [(x + STEP_PX * frame, y, FRUITS[name]) for x, y, name in fruit], RADIUS)
        )
        for frame in range(frames)
    ]


def pairs_told_apart(downscale: int | None, frames: int) -> float:
    """Share of the frames in which each of a row of fruit and of a pair that touches is one."""
    singles = [(x, 500, "red") for x in range(80, 560, 160)]
    pair = [(150, 180, "red"), (150 + TOUCHING[0], 180 + TOUCHING[1], "red")]
    rides = ride(LocalizeSettings(downscale=downscale), singles + pair, frames)
    return sum(len(seen) == len(singles) + 2 for seen in rides) / frames


def box_errors_px(downscale: int | None, frames: int) -> list[float]:
    """Of each fruit that lies whole in the picture, in each frame, the largest error of its box."""
    fruit = [(x, y, "red") for x, y in ((90, 150), (260, 420), (430, 230), (520, 600))]
    errors = []
    for frame, seen in enumerate(ride(LocalizeSettings(downscale=downscale), fruit, frames)):
        for x, y, _ in fruit:
            if RADIUS + 8 < (at := x + STEP_PX * frame) < WIDTH - RADIUS - 8:
                near = [each for each in seen if abs(each.box.centre_px[0] - at) < RADIUS]
                near = [each for each in near if abs(each.box.centre_px[1] - y) < RADIUS]
                errors.append(box_error_px(near[0], at, y, RADIUS) if len(near) == 1 else 99.0)
    return errors


def test_two_that_the_quarter_takes_for_one_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    closely, half = pairs_told_apart(None, 30), pairs_told_apart(2, 10)
    monkeypatch.setattr(localize, "MOST_LARGER", 0)
    quarter = pairs_told_apart(None, 10)
    assert closely >= 0.9
    assert half >= 0.9
    assert quarter < 0.5


def test_a_box_ends_within_a_pixel_of_the_quarter_of_the_fruit() -> None:
    """Looked at closely or not, between close looks too."""
    errors = box_errors_px(None, 30)
    assert len(errors) > 100
    assert max(errors) <= 8
    assert np.mean(errors) <= 4
    assert np.mean(errors) <= np.mean(box_errors_px(2, 10)) + 2


def scene_with(picture: Image) -> tuple[SmallPicture, Background, list[np.ndarray]]:
    """A grey belt, learnt, and that picture of it, with the outlines of what lies on it."""
    small = SmallPicture()
    size = picture.shape[1] // 4, picture.shape[0] // 4
    empty, planes = small.of(np.full_like(picture, 90), size, closer=True)
    background = Background(empty, True, 1.0, 30, 10_000)
    for _ in range(70):
        background.learn(planes, np.zeros(size[::-1], np.uint8))
    _, planes = small.of(picture, size, closer=True)
    mask = background.foreground(planes)
    background.add_traces(mask, planes)
    return small, background, list(outlines_of(mask))


@pytest.mark.parametrize(("x", "y"), [(160, 120), (21, 120), (300, 219)])
def test_an_outline_is_that_of_the_half_wherever_the_region_lies(x: int, y: int) -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    cv2.circle(picture, (x, y), 38, (200, 30, 30), cv2.FILLED)
    small, background, outlines = scene_with(picture)
    box = cv2.boundingRect(np.concatenate(outlines))
    (outline,) = look_closely(outlines, box, small, background)
    seen = cv2.drawContours(np.zeros((120, 160), np.uint8), [outline], 0, (255,), cv2.FILLED)
    expected = cv2.compare(cv2.resize(picture[..., 0], (160, 120), interpolation=cv2.INTER_AREA), 145, cv2.CMP_GT)
    rim = cv2.morphologyEx(expected, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    assert not (cv2.absdiff(seen, expected) & cv2.bitwise_not(rim)).any()


def test_a_neighbour_is_left_out_and_so_is_shade() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    cv2.circle(picture, (150, 130), 30, (66, 66, 66), cv2.FILLED)
    cv2.circle(picture, (120, 120), 38, (200, 30, 30), cv2.FILLED)
    cv2.circle(picture, (200, 120), 20, (200, 30, 30), cv2.FILLED)
    small, background, _ = scene_with(picture)
    left = cv2.circle(np.zeros((60, 80), np.uint8), (30, 30), 9, (255,), cv2.FILLED)
    outlines = outlines_of(left)
    (outline,) = look_closely(outlines, cv2.boundingRect(outlines[0]), small, background)
    x, _, width, _ = cv2.boundingRect(outline)
    assert x * 2 == pytest.approx(82, abs=2)
    assert (x + width) * 2 == pytest.approx(158, abs=2)


@pytest.mark.parametrize(
    ("axes", "usual_area", "doubtful"),
    [
        ((5, 5), 600.0, True),
        ((14, 12), 600.0, False),
        ((20, 16), 600.0, False),
        ((20, 16), 0.0, False),
    ],
)
def test_of_round_things_only_small_ones_are_in_doubt(axes: tuple[int, int], usual_area: float, doubtful: bool) -> None:
    mask = cv2.ellipse(np.zeros((60, 60), np.uint8), (30, 30), axes, 0, 0, 360, (255,), cv2.FILLED)
    outlines = outlines_of(mask)
    thing = Thing((0, 0, 60, 60), float(cv2.countNonZero(mask)), outlines)
    assert (thing.area < SMALL_PX) is (doubtful and axes == (5, 5))
    assert may_be_several(thing, usual_area) is doubtful


@pytest.mark.parametrize(("usual_area", "doubtful"), [(600.0, True), (0.0, True), (2000.0, False)])
def test_a_large_thing_with_dents_is_in_doubt(usual_area: float, doubtful: bool) -> None:
    mask = np.zeros((60, 80), np.uint8)
    for x in (26, 48):
        cv2.circle(mask, (x, 30), 14, (255,), cv2.FILLED)
    thing = Thing((0, 0, 80, 60), float(cv2.countNonZero(mask)), outlines_of(mask))
    assert may_be_several(thing, usual_area) is doubtful
