from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cameras import open_camera
from edge_runtime.cameras.watched_belt import WatchedBelt
from edge_runtime.localization.localize import Localizer
from edge_runtime.records import BeltDirection, Frame, Image
from edge_runtime.tracking.belt_texture import BeltTexture
from edge_runtime.tracking.track import Tracker

WIDTH_PX, HEIGHT_PX, PERIOD_PX = 320, 96, 1600
FRAME_NS = 33_000_000


def belt(seed: int, contrast: float = 8.0) -> np.ndarray:
    """One period of a grainy belt."""
    grain = np.random.default_rng(seed).normal(0, 1, (HEIGHT_PX, PERIOD_PX)).astype(np.float32)
    soft = cv2.GaussianBlur(np.tile(grain, (1, 3)), (0, 0), 1.5)[:, PERIOD_PX : 2 * PERIOD_PX]
    return 90 + contrast * soft / soft.std()


def picture(texture: np.ndarray, way_px: float, rng: np.random.Generator, scenery: np.ndarray | None = None) -> Image:
    """What a camera sees of a belt that has run so far to the right."""
    x = np.arange(WIDTH_PX) - way_px
    whole = np.floor(x).astype(int)
    share = (x - whole)[None]
    seen = (1 - share) * texture[:, whole % PERIOD_PX] + share * texture[:, (whole + 1) % PERIOD_PX]
    if scenery is not None:
        seen = seen + scenery
    noisy = seen + rng.normal(0, 1.5, seen.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def ways(speeds_px: list[float]) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(speeds_px)])


RAMPS_AND_STOP = [9 + 3 * np.sin(n / 8) for n in range(60)] + [9 * (1 - n / 12) for n in range(12)] + [0.0] * 20
RAMPS_AND_STOP += [9 * n / 12 for n in range(12)] + [9.0] * 40


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), fast=st.floats(0.3, 4.0))
def test_ramps_and_stops_are_followed_to_a_pixel(seed: int, fast: float) -> None:
    rng, texture, follower = np.random.default_rng(seed), belt(seed), BeltTexture(BeltDirection.RIGHT)
    true = ways([fast * speed for speed in RAMPS_AND_STOP])
    steps = [follower.see(picture(texture, way, rng), n * FRAME_NS) for n, way in enumerate(true)]
    found = np.array([step.way_px for step in steps])
    assert (np.diff(found) >= 0).all()
    assert sum(step.sure for step in steps) >= 0.95 * len(steps)
    # Over half a picture, which is as far as anybody needs it.
    for first in range(20, len(true), 10):
        last = int(np.searchsorted(true, true[first] + WIDTH_PX / 2))
        if last < len(true):
            assert abs(found[last] - found[first] - true[last] + true[first]) < 1.0


@pytest.mark.parametrize("direction", list(BeltDirection))
def test_every_direction_is_followed(direction: BeltDirection) -> None:
    rng, texture, follower = np.random.default_rng(1), belt(1), BeltTexture(direction)
    turns = {"right": 0, "up": 1, "left": 2, "down": 3}[direction]
    for number in range(30):
        image = np.ascontiguousarray(np.rot90(picture(texture, 7.0 * number, rng), turns))
        step = follower.see(image, number * FRAME_NS)
    assert step.way_px == pytest.approx(7.0 * 29, abs=1.0)


def test_scenery_that_stands_still_is_not_taken_for_a_belt_that_stands() -> None:
    scenery = np.zeros((HEIGHT_PX, WIDTH_PX))
    scenery[:30] = 60 * np.sign(np.sin(np.arange(WIDTH_PX) / 9))
    rng, texture, follower = np.random.default_rng(2), belt(2), BeltTexture(BeltDirection.RIGHT)
    steps = [follower.see(picture(texture, 6.0 * n, rng, scenery), n * FRAME_NS) for n in range(150)]
    assert steps[-1].known
    assert steps[-1].way_px - steps[100].way_px == pytest.approx(6.0 * 49, abs=2)


def test_a_plain_belt_before_a_scenery_is_unknown() -> None:
    scenery = 60 * np.sign(np.sin(np.arange(WIDTH_PX) / 9))[None]
    rng, follower = np.random.default_rng(3), BeltTexture(BeltDirection.RIGHT)
    plain = np.full((HEIGHT_PX, PERIOD_PX), 90.0)
    assert not any(follower.see(picture(plain, 6.0 * n, rng, scenery), n * FRAME_NS).known for n in range(80))


def test_a_few_bad_pictures_are_bridged_and_a_second_of_them_is_not() -> None:
    rng, texture, follower = np.random.default_rng(4), belt(4), BeltTexture(BeltDirection.RIGHT)
    black = hung = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for number in range(90):
        image = picture(texture, 6.0 * number, rng)
        if 30 <= number < 34:
            image = black
        if 40 <= number < 44:
            image = hung
        hung = image
        step = follower.see(image, number * FRAME_NS)
        if number > 5:
            assert step.known
    assert step.way_px == pytest.approx(6.0 * 89, abs=2)
    known = [follower.see(black, (90 + n) * FRAME_NS).known for n in range(60)]
    assert known[20]
    assert not known[-1]


def test_frames_leave_with_the_place_once_it_is_known() -> None:
    class Camera:
        name, live, dropped, frame_rate_hz = "belt", False, 0, 30.0

        def frames(self) -> Iterator[Frame]:
            rng, texture = np.random.default_rng(5), belt(5)
            for number in range(60):
                self.dropped = number // 30
                yield Frame(picture(texture, 6.0 * number, rng), number, number * FRAME_NS)

        def close(self) -> None:
            pass

    watched = WatchedBelt(Camera(), BeltDirection.RIGHT, 0.5)
    places = [frame.belt_mm for frame in watched.frames()]
    assert places[0] is None
    assert places[-1] == pytest.approx(3.0 * 59, abs=0.5)
    assert watched.dropped == 1


def test_a_tracker_takes_an_encoder_that_begins_in_mid_run() -> None:
    """The first place is no way of its own: without one before it, the belt did not jump by it."""
    from edge_runtime.tracking.belt_way import BeltWay

    way = BeltWay(BeltDirection.RIGHT, 0.5, 0.34)
    blank = np.zeros((8, 8, 3), np.uint8)
    assert way.shift_by_encoder_px(Frame(blank, 0, 0, 700.0)) == 0.0
    way.passed(Frame(blank, 0, 0, None))
    assert way.shift_by_encoder_px(Frame(blank, 1, FRAME_NS, 700.0)) is None
    way.passed(Frame(blank, 1, FRAME_NS, 700.0))
    assert way.shift_by_encoder_px(Frame(blank, 2, 2 * FRAME_NS, 705.0)) == pytest.approx(10.0)


def test_real_belts_run_as_fast_as_what_lies_on_them(real_data: Path) -> None:
    """The woven belt tells its own speed; the plain green one is said to be unknown, as long as it shows nothing."""
    from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings, TrackSettings

    camera = open_camera(str(real_data / "data" / "belt" / "belt_topdown_black_parts.mp4"))
    localizer, tracker = Localizer(LocalizeSettings(), BeltSettings()), Tracker(TrackSettings(), BeltSettings())
    follower, by_parts, by_texture = BeltTexture(BeltDirection.LEFT), [], []
    for frame in camera.frames():
        if frame.index >= 240:
            break
        tracker.update(frame, localizer.detect(frame.image))
        step = follower.see(frame.image, frame.captured_ns)
        if step.known and step.sure and tracker.speed_px_s:
            by_parts.append(tracker.speed_px_s)
            by_texture.append(follower.speed_px_s)
    camera.close()
    assert tracker.direction is BeltDirection.LEFT
    assert len(by_texture) > 60
    assert np.median(by_texture) == pytest.approx(np.median(by_parts), rel=0.08)
