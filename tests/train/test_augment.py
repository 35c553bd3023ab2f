from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
import pytest

from train.augment import BELT_SHARE, LARGEST_GAIN_CHANGE, LARGEST_GRADIENT, augmented_view

VIEWS = 200
LARGEST_HUE_CHANGE_DEGREES = 4  # what strong JPEG does to a flat colour


@pytest.fixture(scope="module")
def red_views() -> npt.NDArray[np.uint8]:
    return augmented_view(plain((160, 40, 36)), np.random.default_rng(0))


def plain(colour: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.broadcast_to(np.array(colour, np.uint8), (VIEWS, 64, 64, 3)).copy()


def corners(views: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean of a small patch at each corner, `[N, 4, 3]`."""
    return np.stack([views[:, y : y + 4, x : x + 4].mean(axis=(1, 2)) for y in (0, 60) for x in (0, 60)], axis=1)


def hue_degrees(colour: npt.NDArray[np.float64]) -> float:
    return 360 * colorsys.rgb_to_hsv(*(colour / 255))[0]


def test_views_differ_from_the_picture_and_each_other_and_follow_the_seed() -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    before = inputs.copy()
    first, second = (augmented_view(inputs, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(inputs, before)
    assert (first != inputs).any(axis=(1, 2, 3)).all()
    assert (augmented_view(inputs, np.random.default_rng(2)) != first).any()


@pytest.mark.parametrize("colour", [(160, 40, 36), (90, 130, 40), (160, 90, 40), (150, 140, 60)])
def test_the_fruit_keeps_its_hue_and_the_shares_of_its_channels(colour: tuple[int, int, int]) -> None:
    middle = augmented_view(plain(colour), np.random.default_rng(0))[:, 22:42, 22:42].mean(axis=(1, 2))
    hue = hue_degrees(np.array(colour, np.float64))
    moved = [abs((hue_degrees(one) - hue + 180) % 360 - 180) for one in middle]
    assert max(moved) < LARGEST_HUE_CHANGE_DEGREES
    shares = middle / middle.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, np.broadcast_to(np.array(colour) / sum(colour), shares.shape), atol=0.02)


def test_light_varies_within_its_bounds_and_slopes(red_views: npt.NDArray[np.uint8]) -> None:
    across = red_views[..., 0].astype(np.float64)
    gain = across[:, 24:40, 24:40].mean(axis=(1, 2)) / 160
    assert gain.min() > np.exp(-LARGEST_GAIN_CHANGE) - 0.02
    assert gain.max() < np.exp(LARGEST_GAIN_CHANGE) + 0.02
    assert gain.std() > 0.05
    slope = (across[:, 24:40, 44:48].mean(axis=(1, 2)) - across[:, 24:40, 16:20].mean(axis=(1, 2))) / (160 * gain)
    assert 0.05 < np.abs(slope).max() < LARGEST_GRADIENT / 2
    assert slope.min() < 0 < slope.max()


def test_some_fruit_lie_on_a_belt_which_leaves_the_middle_alone(red_views: npt.NDArray[np.uint8]) -> None:
    around = corners(red_views)
    is_red = around[..., 0] > 2.5 * around[..., 1]
    assert abs((~is_red).any(axis=1).mean() - BELT_SHARE) < 0.1
    assert (np.ptp(around[~is_red], axis=0) > 80).all()
    middle = red_views[:, 20:44, 20:44].mean(axis=(1, 2))
    assert (middle[:, 0] > 3 * middle[:, 1]).all()


def test_a_fruit_may_lie_any_way_round() -> None:
    inputs = plain((90, 130, 40))
    inputs[:, :32] = (160, 40, 36)  # red above green
    views = augmented_view(inputs, np.random.default_rng(0))[:, 16:48, 16:48].astype(np.float64)
    redness = views[..., 0] - views[..., 1]
    down = redness[:, 16:].mean(axis=(1, 2)) - redness[:, :16].mean(axis=(1, 2))
    right = redness[:, :, 16:].mean(axis=(1, 2)) - redness[:, :, :16].mean(axis=(1, 2))
    quadrant = np.floor(np.degrees(np.arctan2(down, right)) / 90)
    assert (np.unique(quadrant, return_counts=True)[1] > VIEWS / 8).sum() == 4


def test_some_views_are_noisy_and_some_blurred() -> None:
    noise = augmented_view(plain((120, 120, 120)), np.random.default_rng(0))[:, 26:38, 26:38].std(axis=(1, 2, 3))
    assert (noise > 2).mean() > 0.1
    assert (noise < 1.5).mean() > 0.3
    board = plain((90, 90, 90))
    board[:, ::2] = 160
    sharp = augmented_view(board, np.random.default_rng(0))[:, 22:42, 22:42].std(axis=(1, 2, 3))
    assert np.quantile(sharp, 0.1) < 0.5 * np.quantile(sharp, 0.9)
