from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from evaluation.metrics import confusion
from evaluation.plots import confusion_plot, reliability_plot, risk_coverage_plot

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet([0.4, 0.4, 0.4], 200)
TRUTH = np.array([RNG.choice(3, p=row) for row in PROBABILITIES])


def lines(figure: Figure) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in figure.axes[0].get_lines()}


def test_every_count_of_the_confusion_is_written_where_it_belongs() -> None:
    figure = confusion_plot(["unripe", "ripe"], [[8, 2], [0, 5]])
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0, 0): "8", (1, 0): "2", (0, 1): "0", (1, 1): "5"}  # x is the answer, y the truth


def test_the_risk_curve_ends_at_the_error_of_all_and_stays_above_the_best_possible() -> None:
    drawn = lines(risk_coverage_plot(PROBABILITIES, TRUTH, 1.0))
    error = 100 * (PROBABILITIES.argmax(axis=1) != TRUTH).mean()
    assert drawn["this model"][-1] == pytest.approx([100, error])
    assert drawn["mistakes last"][-1] == pytest.approx([100, error])
    best = np.interp(drawn["this model"][:, 0], *drawn["mistakes last"].T)
    assert (drawn["this model"][:, 1] >= best - 0.5).all()


@pytest.mark.parametrize("truth", [PROBABILITIES.argmax(axis=1), (PROBABILITIES.argmax(axis=1) + 1) % 3])
def test_all_right_and_all_wrong_can_be_drawn(truth: np.ndarray) -> None:
    for figure in (
        risk_coverage_plot(PROBABILITIES, truth, 2.0),
        reliability_plot(PROBABILITIES, truth, 2.0),
        confusion_plot(list("abc"), confusion(truth, PROBABILITIES.argmax(axis=1), 3).tolist()),
    ):
        figure.canvas.draw()
        assert len(figure.axes) == 1


def test_a_temperature_of_one_needs_no_second_curve() -> None:
    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert legend(reliability_plot(PROBABILITIES, TRUTH, 1.0)) == ["at temperature 1.00"]
    assert legend(reliability_plot(PROBABILITIES, TRUTH, 1.7)) == ["as trained", "at temperature 1.70"]
