from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.deciding.decide import Policy, softmax
from evaluation.calibration import expected_calibration_error, reliability
from evaluation.metrics import (
    NO_SOURCE,
    Scores,
    accuracy,
    balanced_accuracy,
    confusion,
    negative_log_likelihood,
    recalls,
    score,
)
from evaluation.temperature import HIGHEST, LOWEST, cautious_temperature, fit_temperature, tempered

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
    logits, truth = _answers(20_000, true_temperature)
    assert fit_temperature(logits, truth) == pytest.approx(true_temperature, rel=0.04)


def test_temperature_stays_sane_on_perfect_and_on_hopeless_answers() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(HIGHEST, rel=1e-3)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_many_fruit_outweigh_the_caution_of_what_ships(true_temperature: float) -> None:
    logits, truth = _answers(20_000, true_temperature)
    fruit = [str(i) for i in range(len(truth))]
    assert cautious_temperature(logits, truth, fruit) == pytest.approx(true_temperature, rel=0.04)


def test_a_few_fruit_that_are_all_answered_rightly_do_not_make_a_network_surer() -> None:
    logits, _ = _answers(250, 1.0)
    truth, fruit = logits.argmax(axis=1), [str(i // 5) for i in range(250)]
    assert fit_temperature(logits, truth) == pytest.approx(LOWEST, rel=1e-3)
    assert 0.6 < cautious_temperature(logits, truth, fruit) < 1
    by_picture = cautious_temperature(logits, truth, [str(i) for i in range(250)])
    assert by_picture < 0.95 * cautious_temperature(logits, truth, fruit), "five views of a fruit are one witness"


def test_more_views_of_the_same_fruit_are_no_more_evidence() -> None:
    logits, _ = _answers(60, 1.0)
    truth, fruit = logits.argmax(axis=1), [str(i) for i in range(60)]
    again = cautious_temperature(np.tile(logits, (4, 1)), np.tile(truth, 4), fruit * 4)
    assert again == pytest.approx(cautious_temperature(logits, truth, fruit), rel=1e-3)


def test_a_network_that_is_too_sure_is_taken_at_its_word_however_few_fruit_say_so() -> None:
    logits, truth = _answers(40, 3.0)
    fruit = [str(i) for i in range(40)]
    assert fit_temperature(logits, truth) > 1.5
    assert cautious_temperature(logits, truth, fruit) == pytest.approx(fit_temperature(logits, truth), rel=1e-3)


def _answers(pictures: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[pictures, 3]` that are honest at this temperature, and what the pictures truly are."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (pictures, 3))
    truth = (softmax(honest).cumsum(axis=1) < rng.random((pictures, 1))).sum(axis=1)
    return honest * temperature, truth


def test_a_temperature_on_probabilities_is_one_on_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(tempered(softmax(logits), 2.5), softmax(logits, 2.5), atol=1e-12)


def test_reliability_bins_hold_what_falls_into_them() -> None:
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 2)
    low, high = reliability(probabilities, np.array([0, 0, 0, 1, 0, 1]), bins=10)
    assert (low.n, high.n) == (2, 4)
    assert (low.low, low.high) == (0.5, 0.6)
    assert (high.confidence, high.accuracy) == (pytest.approx(0.95), 0.75)


def test_a_temperature_mends_overconfidence_in_the_calibrated_figures_alone() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 3))
    truth = (softmax(honest).cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    found = score(list("abc"), truth, softmax(3 * honest), range(4000), temperature=3.0)
    assert found.calibrated is not None
    assert found.calibrated.temperature == 3.0
    assert found.expected_calibration_error > 0.1
    assert found.calibrated.expected_calibration_error < 0.025
    assert found.calibrated.negative_log_likelihood < found.negative_log_likelihood - 0.1


def test_two_step_errors_are_counted_by_direction_with_intervals() -> None:
    truth = np.array([0, 0, 0, 1, 2, 2, 2, 1])
    answers = np.array([2, 2, 1, 2, 0, 2, 1, 1])
    found = score(["unripe", "turning", "ripe"], truth, np.eye(3)[answers], range(8)).two_step_errors
    assert found is not None
    assert (found.too_ripe.count, found.too_unripe.count, found.both.count) == (2, 1, 3)
    assert (found.both.n, found.both.share) == (8, 3 / 8)
    assert found.both.ci95[0] < 3 / 8 < found.both.ci95[1]
    none = score(["unripe", "turning", "ripe"], truth, np.eye(3)[truth], range(8)).two_step_errors
    assert none is not None
    assert none.both.count == 0
    assert none.both.ci95[1] > 0.2  # none of eight is not none at all
    assert score(["unripe", "ripe"], np.array([0, 1]), np.eye(2), "ab").two_step_errors is None


def test_sources_are_scored_apart_largest_first() -> None:
    sources = ["farm", "farm", None, "lab", "farm", None]
    found = score(["a", "b", "c"], TRUTH, np.eye(3)[PREDICTED], "uvwxyz", sources=sources).by_source
    assert list(found) == ["farm", NO_SOURCE, "lab"]
    assert found["farm"].n == 3
    assert found["farm"].accuracy == pytest.approx(2 / 3)
    assert found["farm"].recall == {"a": 1.0, "b": 0.0, "c": None}
    assert found["lab"].accuracy == 1.0
    assert found["lab"].accuracy_ci95[0] < 0.5
    assert score(["a", "b", "c"], TRUTH, np.eye(3)[PREDICTED], "uvwxyz", sources=[None] * 6).by_source == {}


def test_scores_of_an_earlier_version_can_still_be_read() -> None:
    policy = Policy.accepting(list("abc"), ["c"])
    whole = score(list("abc"), TRUTH, np.eye(3)[PREDICTED], "uvwxyz", policy=policy, sources=list("ffffgg"))
    added = {"balanced_accuracy_ci95", "calibrated", "two_step_errors", "selective", "cost", "by_source"}
    assert all(getattr(whole, name) for name in added)
    assert Scores.model_validate_json(whole.model_dump_json(exclude=added)).accuracy == whole.accuracy
