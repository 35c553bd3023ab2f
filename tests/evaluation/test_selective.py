from __future__ import annotations

import numpy as np
import pytest

from evaluation.selective import risk_coverage, selective_figures

CONFIDENCE = np.array([0.6, 0.9, 0.8, 0.7])
RIGHT = np.array([False, True, True, False])


def test_the_curve_by_hand() -> None:
    coverage, risk = risk_coverage(CONFIDENCE, RIGHT)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    figures = selective_figures(CONFIDENCE, RIGHT)
    assert figures.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert figures.coverage_at_risk == {0.01: 0.5, 0.02: 0.5, 0.05: 0.5}


def test_equal_confidence_is_answered_together_whatever_the_order() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.5])
    for right in ([True, True, False, True], [False, True, True, True]):
        coverage, risk = risk_coverage(confidence, np.array(right))
        assert coverage.tolist() == [0.75, 1.0]
        assert risk == pytest.approx([1 / 3, 1 / 4])


def test_a_confident_mistake_leaves_nothing_to_answer_at_that_risk() -> None:
    figures = selective_figures(np.array([0.99, 0.5, 0.4]), np.array([False, True, True]))
    assert figures.coverage_at_risk == {0.01: 0.0, 0.02: 0.0, 0.05: 0.0}
    assert selective_figures(np.array([0.9]), np.array([True])).coverage_at_risk[0.01] == 1.0


def test_confidence_that_knows_beats_confidence_that_does_not() -> None:
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.5, 1, 4000)
    right = rng.random(4000) < honest
    knows, guesses = selective_figures(honest, right), selective_figures(rng.permutation(honest), right)
    assert guesses.aurc == pytest.approx(0.25, abs=0.03)
    assert knows.aurc < guesses.aurc - 0.08
