from __future__ import annotations

import numpy as np
import pytest

from train.forgetting import linear_cka, measure_forgetting

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(120, 40)) * np.linspace(3, 0.1, 40) + 5


def test_turning_scaling_and_shifting_change_nothing() -> None:
    turn, _ = np.linalg.qr(RNG.normal(size=(40, 40)))
    assert linear_cka(FEATURES, FEATURES @ turn) == pytest.approx(1.0)
    assert linear_cka(FEATURES, 1e-9 * FEATURES) == pytest.approx(1.0)
    assert linear_cka(FEATURES, FEATURES + 7) == pytest.approx(1.0)
    assert linear_cka(FEATURES, FEATURES[:, :20]) == pytest.approx(linear_cka(FEATURES[:, :20], FEATURES))


def test_an_invertible_map_that_is_no_turn_does_change_something() -> None:
    assert linear_cka(FEATURES, FEATURES * np.linspace(0.1, 3, 40)) < 0.8


@pytest.mark.parametrize("channels", [10, 1280])
def test_noise_is_not_alike_even_with_more_channels_than_pictures(channels: int) -> None:
    found = [linear_cka(RNG.normal(size=(200, channels)), RNG.normal(size=(200, channels))) for _ in range(5)]
    assert np.abs(found).max() < 0.05


def test_the_more_noise_the_less_alike() -> None:
    noise = RNG.normal(size=FEATURES.shape)
    found = [linear_cka(FEATURES, FEATURES + level * noise) for level in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1.0)
    assert found[-1] < 0.6


def test_features_that_say_nothing_are_like_nothing() -> None:
    assert np.isnan(linear_cka(FEATURES, np.full((120, 3), 0.1)))


def test_forgetting_warns_below_the_stated_likeness() -> None:
    single = FEATURES.astype(np.float32)
    same, far = measure_forgetting(single, single), measure_forgetting(single, single[::-1])
    assert same is not None
    assert far is not None
    assert (same.pictures, same.forgets, far.forgets) == (120, False, True)
    assert same.cka == pytest.approx(1.0)
    assert measure_forgetting(single[:3], single[:3]) is None
    assert measure_forgetting(np.zeros_like(single), single) is None


def test_tiny_features_are_compared_like_any_others() -> None:
    tiny = (FEATURES * 1e-11).astype(np.float32)
    found = measure_forgetting(tiny, tiny)
    assert found is not None
    assert found.cka == pytest.approx(1.0)
