from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.decide import softmax
from evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    confusion,
    expected_calibration_error,
    negative_log_likelihood,
    recalls,
    score,
)
from evaluation.temperature import HIGHEST, LOWEST, fit_temperature

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 2, 2])


def test_confusion_has_truth_in_rows() -> None:
    assert confusion(TRUTH, PREDICTED, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_accuracy_and_recalls() -> None:
    matrix = confusion(TRUTH, PREDICTED, 3)
    assert accuracy(matrix) == pytest.approx(4 / 6)
    assert recalls(matrix) == pytest.approx([2 / 3, 1 / 2, 1])
    assert balanced_accuracy(matrix) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_a_label_without_pictures_has_no_recall_and_does_not_count() -> None:
    matrix = confusion(TRUTH, PREDICTED, 4)
    assert np.isnan(recalls(matrix)[3])
    assert balanced_accuracy(matrix) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_negative_log_likelihood() -> None:
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1]])
    assert negative_log_likelihood(probabilities, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)
    assert np.isfinite(negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])))


def test_calibration_error_by_hand() -> None:
    # Two bins: four answers at 0.95 of which three are right, two at 0.55 of which one is.
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 1])
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)


def test_scores_hold_all_figures_and_survive_json() -> None:
    probabilities = np.eye(4)[PREDICTED] * 0.7 + 0.075
    scores = score(["a", "b", "c", "d"], TRUTH, probabilities, list("uvwxyz"))
    assert scores.n == 6
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.accuracy_ci95[0] < 4 / 6 < scores.accuracy_ci95[1]
    assert scores.recall == {"a": pytest.approx(2 / 3), "b": 0.5, "c": 1.0, "d": None}
    assert scores.recall_ci95["d"] == (0.0, 1.0)
    assert scores.recall_ci95["c"][0] < 0.5
    assert scores.confusion[0] == [2, 1, 0, 0]
    assert type(scores).model_validate_json(scores.model_dump_json()) == scores


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_temperature_is_found_again(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20_000, 3))
    truth = (softmax(honest).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(honest * true_temperature, truth) == pytest.approx(true_temperature, rel=0.04)


def test_temperature_stays_sane_on_perfect_and_on_hopeless_answers() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(HIGHEST, rel=1e-3)
