"""The plots of every report about a measured model; matplotlib figures in the style of `evaluation.page.PLOT_STYLE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evaluation.calibration import Probabilities, reliability
from evaluation.selective import risk_coverage
from evaluation.temperature import tempered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE_INCH = 3.3
INK, SOFT, FIRST, SECOND = "#26211c", "#9a938c", "#b3202f", "#c9a227"
RELIABILITY_BINS = 10
_DARK_SHADE = 0.6


def confusion_plot(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """Counts, shaded by the share of the row's label: rows are the truth, columns the answer."""
    figure, axes = _square()
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1.25)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    long = max(map(len, labels)) * len(labels) > 24
    axes.set_xticks(range(len(labels)), labels, rotation=30 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > _DARK_SHADE
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else INK, fontsize=12)
    return figure


def reliability_plot(probabilities: Probabilities, truth: npt.NDArray[np.int64], temperature: float) -> Figure:
    """Share of right answers against confidence, before and after the temperature; dots grow with their pictures."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
    variants = [(tempered(probabilities, temperature), FIRST, f"at temperature {temperature:.2f}")]
    if abs(temperature - 1) > 1e-9:
        variants.insert(0, (np.asarray(probabilities, np.float64), SECOND, "as trained"))
    for confident, colour, name in variants:
        bins = reliability(confident, truth, RELIABILITY_BINS)
        x, y = [one.confidence for one in bins], [one.accuracy for one in bins]
        sizes = [12 + 150 * one.n / len(truth) for one in bins]
        axes.plot(x, y, color=colour, linewidth=1, alpha=0.5)
        axes.scatter(x, y, sizes, color=colour, edgecolor="white", linewidth=0.6, zorder=3)
        axes.plot([], [], color=colour, marker="o", linestyle="", label=name)
    axes.set_xlim(1 / probabilities.shape[1] - 0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def risk_coverage_plot(probabilities: Probabilities, truth: npt.NDArray[np.int64], temperature: float) -> Figure:
    """Error among the surest answers against the share of pictures answered, with the best that is possible."""
    figure, axes = _square()
    confident = tempered(probabilities, temperature)
    right = confident.argmax(axis=1) == truth
    coverage, risk = risk_coverage(confident.max(axis=1), right)
    axes.step(
        np.append(0, coverage) * 100, np.append(risk[0], risk) * 100, where="pre", color=FIRST, label="this model"
    )
    best_coverage, best_risk = risk_coverage(right.astype(np.float64), right)
    if len(best_coverage) > 1:
        ideal = np.linspace(best_coverage[0], 1, 50)
        axes.plot(
            np.append(0, ideal) * 100, np.append(0, 1 - best_coverage[0] / ideal) * 100,
            color=SOFT, linewidth=1, linestyle="--", label="mistakes last",
        )  # fmt: skip
    axes.set_xlim(0, 100)
    axes.set_ylim(0, max(2.0, 1.15 * 100 * float(max(risk[coverage >= min(0.05, coverage[-1])].max(), best_risk[-1]))))
    axes.set_xlabel("answered, % of pictures")
    axes.set_ylabel("wrong among these, %")
    axes.legend(loc="upper left", fontsize=9)
    return figure


def _square() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIDE_INCH, SIDE_INCH))
    return figure, figure.subplots()
