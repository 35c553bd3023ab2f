from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.deciding.decide import fuse, softmax
from evaluation.temperature import fit_temperature, tempered
from evaluation.view_correlation import LINE_RHO, LOWEST_RHO, ViewCorrelation, measure_view_correlation

EVIDENCE_OF_LABEL = (4.0, 0.5, 2.0)


def fruits_of(count: int, rho: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]:
    """Fruits of 2 to 5 pictures of three labels, some easier than others; log-odds of the truth correlate by rho."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 6, count)
    fruit = np.repeat(np.arange(count), sizes)
    label = rng.integers(0, 3, count)[fruit]
    shared, own = rng.normal(size=count)[fruit], rng.normal(size=len(fruit))
    odds = np.array(EVIDENCE_OF_LABEL)[label] + 1.5 * (np.sqrt(rho) * shared + np.sqrt(1 - rho) * own)
    logits = np.full((len(fruit), 3), -9.0)
    logits[np.arange(len(fruit)), (label + 1) % 3] = 0.0
    logits[np.arange(len(fruit)), label] = odds
    return label, softmax(logits), [f"fruit {i}" for i in fruit]


def on_line(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], fruits: Sequence[str | None]
) -> ViewCorrelation:
    return measure_view_correlation(truth, probabilities, fruits, [True] * len(fruits))


@pytest.mark.parametrize("rho", [0.1, 0.4, 0.8])
def test_a_planted_correlation_is_recovered(rho: float) -> None:
    found = [on_line(*fruits_of(200, rho, seed)) for seed in range(20)]
    assert np.mean([one.rho for one in found]) == pytest.approx(rho, abs=0.03)
    covered = [one.ci95[0] <= rho <= one.ci95[1] for one in found if one.ci95 is not None]
    assert len(covered) == 20
    assert sum(covered) >= 17
    assert {one.origin for one in found} == {"measured"}


def test_a_temperature_changes_nothing() -> None:
    truth, probabilities, fruits = fruits_of(60, 0.5, 0)
    plain = on_line(truth, probabilities, fruits)
    scaled = on_line(truth, tempered(probabilities, 2.5), fruits)
    assert scaled.rho == pytest.approx(plain.rho, abs=1e-6)


def test_independent_pictures_keep_a_little_correlation() -> None:
    found = on_line(*fruits_of(400, 0.0, 1))
    assert found.rho == LOWEST_RHO
    assert found.estimate is not None
    assert abs(found.estimate) < LOWEST_RHO


def test_too_few_fruits_with_several_pictures_leave_the_cautious_default() -> None:
    truth, probabilities, fruits = fruits_of(19, 0.1, 0)
    singles: list[str | None] = [*fruits, *(f"single {i}" for i in range(50)), None, None]
    truth, probabilities = np.resize(truth, len(singles)), np.resize(probabilities, (len(singles), 3))
    found = on_line(truth, probabilities, singles)
    assert found == ViewCorrelation(fruits=19, pictures=len(fruits))
    assert (found.rho, found.origin) == (LINE_RHO, "default")
    assert on_line(truth, probabilities, [None] * len(singles)).origin == "default"


def test_photographs_do_not_promise_what_frames_of_a_line_do_not_keep() -> None:
    truth, probabilities, fruits = fruits_of(200, 0.4, 0)
    found = measure_view_correlation(truth, probabilities, fruits, [False] * len(fruits))
    assert (found.origin, found.rho) == ("photographs", LINE_RHO)
    assert found.estimate == pytest.approx(on_line(truth, probabilities, fruits).rho)
    assert found.estimate < 0.6


def test_frames_of_a_line_are_measured_without_the_photographs_beside_them() -> None:
    truth, probabilities, fruits = fruits_of(100, 0.2, 0)
    lined, lined_odds, names = fruits_of(100, 0.8, 1)
    among = [f"photographed {name}" for name in fruits]
    found = measure_view_correlation(
        np.concatenate([truth, lined]),
        np.concatenate([probabilities, lined_odds]),
        [*among, *names],
        [False] * len(among) + [True] * len(names),
    )
    assert found == on_line(lined, lined_odds, names)
    assert found.rho > 0.7


def test_fusing_with_the_measured_correlation_gives_honest_confidence_and_with_none_overconfidence() -> None:
    """Four views of each fruit whose log-odds are honest one by one, and correlate by 0.5."""
    rng = np.random.default_rng(3)
    fruits, views, spread = 4000, 4, 1.6
    truth = rng.integers(0, 2, fruits)
    noise = np.sqrt(0.5) * (rng.normal(size=(fruits, 1)) + rng.normal(size=(fruits, views)))
    odds = (2 * truth[:, None] - 1) * spread**2 / 2 + spread * noise
    logits = np.stack([np.zeros_like(odds), odds], axis=-1)

    names = [f"{i}" for i in range(fruits) for _ in range(views)]
    found = on_line(np.repeat(truth, views), softmax(logits.reshape(-1, 2)), names)
    temperatures = {
        rho: fit_temperature(np.log(np.stack([fuse(one, temperature=1.0, rho=rho) for one in logits])), truth)
        for rho in (found.rho, 0.0)
    }
    assert temperatures[found.rho] == pytest.approx(1.0, abs=0.08)
    assert temperatures[0.0] > 2.0
