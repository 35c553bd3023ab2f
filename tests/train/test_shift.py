from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.errors import InputError
from train.shift import (
    FeatureSet,
    Shift,
    classifier_two_sample_test,
    distances,
    measure_shift,
    mmd_two_sample_test,
)

CHANNELS = 48
REPEATS = 60
Floats = npt.NDArray[np.float64]


def draw(rng: np.random.Generator, n: int, *, moved: float = 0.0, spread: float = 1.0) -> Floats:
    """Correlated features; `moved` shifts a few of them."""
    mixing = np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS)) / np.sqrt(CHANNELS)
    features = spread * rng.normal(size=(n, CHANNELS)) @ mixing
    features[:, :8] += moved
    return features


def alone(features: Floats, prefix: str = "") -> FeatureSet:
    return FeatureSet(features, [f"{prefix}{i}" for i in range(len(features))])


def compare(training: Floats, target: Floats, seed: int = 0) -> Shift:
    return measure_shift(alone(training), alone(target), [f"{i}.jpg" for i in range(len(target))], seed=seed)


@pytest.mark.parametrize("test", [classifier_two_sample_test, mmd_two_sample_test])
@pytest.mark.parametrize("sizes", [(40, 40), (120, 25)])
def test_without_a_shift_every_p_value_is_equally_likely(
    test: type, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.shift.SHUFFLES", 99)
    rng = np.random.default_rng(1)
    is_target = np.repeat([False, True], sizes)
    p = np.array([test(draw(rng, sum(sizes)), is_target, rng)[1] for _ in range(REPEATS)])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert (p <= level).mean() == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / REPEATS))


def test_both_tests_see_a_shift_and_the_more_the_clearer() -> None:
    rng = np.random.default_rng(2)
    levels, aucs = [], []
    for moved in (0.0, 0.3, 0.5, 3.0):
        found = compare(draw(rng, 300), draw(rng, 200, moved=moved))
        levels.append(found.level)
        aucs.append(found.auc)
        assert found.auc_ci95[0] <= found.auc <= found.auc_ci95[1]
    assert levels == ["none", "slight", "clear", "strong"]
    assert aucs == sorted(aucs)
    assert aucs[0] == pytest.approx(0.5, abs=0.07)


def test_mmd_sees_what_no_straight_line_can_separate() -> None:
    rng = np.random.default_rng(3)
    found = compare(draw(rng, 200), draw(rng, 200, spread=1.6))
    assert found.auc_p > 0.05
    assert found.mmd_p == 0.001
    assert found.level != "none"


def test_related_pictures_do_not_pass_for_a_shift() -> None:
    """25 scenes with 16 pictures each on both sides: by picture they differ, by scene they do not."""
    rng = np.random.default_rng(4)

    def scenes() -> Floats:
        return np.repeat(draw(rng, 25), 16, axis=0) + 0.1 * draw(rng, 400)

    one, other = scenes(), scenes()
    names = [f"scene {i // 16}" for i in range(400)]
    files = [str(i) for i in range(400)]
    by_scene = measure_shift(FeatureSet(one, names), FeatureSet(other, names), files, seed=0)
    by_picture = measure_shift(alone(one), alone(other), files, seed=0)
    assert by_picture.level != "none"
    assert by_scene.level == "none"
    assert (by_scene.training_pictures, by_scene.target_pictures) == (25, 25)


def test_pictures_farthest_out_are_named_first() -> None:
    rng = np.random.default_rng(5)
    target = draw(rng, 60)
    target[[7, 41]] = 8 * draw(rng, 2, moved=4) + 30
    found = compare(draw(rng, 300), target)
    assert {one.file for one in found.farthest[:2]} == {"7.jpg", "41.jpg"}
    assert found.farthest[0].distance > 1
    assert [one.distance for one in found.farthest] == sorted((one.distance for one in found.farthest), reverse=True)
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_without_a_shift_one_in_twenty_lies_outside() -> None:
    rng = np.random.default_rng(6)
    distance, usual = distances(draw(rng, 500), draw(rng, 4000))
    assert (distance > usual).mean() == pytest.approx(0.05, abs=0.03)


def test_too_few_pictures_are_refused_by_name() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(InputError, match="Only 19 unrelated pictures in the target pictures"):
        measure_shift(alone(draw(rng, 50)), alone(draw(rng, 19)), ["x"] * 19, seed=0)


def test_the_same_seed_finds_the_same() -> None:
    rng = np.random.default_rng(8)
    training, target = draw(rng, 80), draw(rng, 40, moved=0.2)
    assert compare(training, target) == compare(training, target)
    assert compare(training, target).auc_p != compare(training, target, seed=1).auc_p
