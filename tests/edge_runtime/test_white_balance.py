"""The belt as a grey card: light that changed is taken out of crops, anything else is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.records import Image
from edge_runtime.white_balance import EVERY_FRAMES, FIRST_FRAMES, MOST_COLOUR, MOST_LIGHT, WhiteBalance

LONG = 20 * EVERY_FRAMES
BELT = np.random.default_rng(0).normal([92, 96, 88], 6, (135, 240, 3))


def scene(gains: tuple[float, float, float] = (1.0, 1.0, 1.0), belt: npt.NDArray[np.float64] = BELT) -> Image:
    picture = np.clip(np.round(belt * gains), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), np.uint8)


def after(now: Image, *, frames: int = LONG) -> WhiteBalance:
    light = WhiteBalance()
    for index in range(FIRST_FRAMES + frames):
        light.follow(scene() if index <= FIRST_FRAMES else now)
    return light


def test_a_crop_in_redder_and_weaker_light_looks_as_in_the_first() -> None:
    skin = np.full((2, 32, 32, 3), (150, 60, 40), np.uint8)
    dusk = (0.66, 0.6, 0.5)
    seen = np.round(skin * dusk).astype(np.uint8)
    assert np.abs(after(scene(dusk)).apply(seen).astype(int) - skin).max() <= 5


def test_steady_light_leaves_every_pixel_as_it_is() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), np.uint8)
    assert after(scene()).apply(crops) is crops
    assert WhiteBalance().apply(crops) is crops


def test_it_comes_slowly_and_stays_within_bounds() -> None:
    assert np.abs(after(scene((0.5, 0.5, 0.5)), frames=20).gains - 1).max() < 0.6
    far = after(scene((0.9, 0.3, 0.2))).gains
    assert far.max() <= MOST_LIGHT * MOST_COLOUR + 1e-9
    assert far.max() / far.min() <= MOST_COLOUR**2 + 1e-9


def test_dirt_on_a_third_of_the_belt_changes_nothing() -> None:
    dirty = BELT.copy()
    dirty[:, :80] = (120, 40, 30)
    assert after(scene(belt=dirty)).gains == pytest.approx([1, 1, 1], abs=0.03)


def test_a_belt_too_dark_to_compare_and_a_scene_that_is_lost_correct_nothing() -> None:
    assert after(scene((0.1, 0.1, 0.1))).gains == pytest.approx([1, 1, 1])
    light = after(scene((0.7, 0.7, 0.7)))
    assert light.gains.min() > 1.2
    light.follow(None)
    assert light.gains == pytest.approx([1, 1, 1])


def test_pictures_of_another_size_are_another_scene() -> None:
    light, other = after(scene((0.7, 0.7, 0.7))), scene(belt=np.full((150, 200, 3), 140.0))
    for _ in range(FIRST_FRAMES + LONG):
        light.follow(other)
    assert light.gains == pytest.approx([1, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.6, 1.6)] * 3))
def test_any_light_within_bounds_is_found_again(gains: tuple[float, float, float]) -> None:
    logs = np.log(gains)
    found = after(scene(gains)).gains
    if np.abs(logs - logs.mean()).max() < np.log(MOST_COLOUR) and abs(logs.mean()) < np.log(MOST_LIGHT):
        assert found == pytest.approx(1 / np.array(gains), rel=0.05)
