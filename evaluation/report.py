"""What every report shows of a measured model: figures with intervals, the confusion matrix, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from evaluation.calibration import Probabilities
from evaluation.dataset import Item, load_inputs
from evaluation.metrics import Scores
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Section, Tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST_MISTAKES = 30


def write_evaluation(
    path: Path,
    title: str,
    labels: Sequence[str],
    items: Sequence[Item],
    spec: InputSpec,
    probabilities: Probabilities,
    scores: Scores,
    notices: Sequence[str] = (),
) -> None:
    """One page about a model on labelled pictures, `probabilities` `[N, labels]`; only mistakes are read again."""
    import matplotlib as mpl

    wrong = [at for at, item in enumerate(items) if labels[int(probabilities[at].argmax())] != item.label]
    mistaken = [items[at] for at in wrong]

    page = Page("Evaluation", title)
    with mpl.rc_context(PLOT_STYLE):
        result = page.section("Result")
        for text in notices:
            result.notice(text)
        result_section(result, scores, labels)
        worst = page.section("Worst mistakes")
        mistakes_section(worst, labels, mistaken, load_inputs(mistaken, spec), probabilities[wrong])
    page.write(path)


def result_section(section: Section, scores: Scores, labels: Sequence[str]) -> None:
    """Key figures, recall of each label with intervals, the confusion matrix and the calibration error."""
    known = {label: recall for label, recall in scores.recall.items() if recall is not None}
    worst = min(known, key=lambda label: known[label])
    low, high = scores.accuracy_ci95
    section.key_figures(
        [
            KeyFigure("Accuracy", percent(scores.accuracy), f"95 % interval {percent(low)} to {percent(high)}"),
            KeyFigure("Balanced accuracy", percent(scores.balanced_accuracy), "mean of the labels' recalls"),
            KeyFigure("Worst label", percent(known[worst]), f"of '{worst}' recognised"),
            KeyFigure("Pictures", str(scores.n), "measured on"),
        ]
    )
    if len(known) < len(labels):
        section.notice(f"Not tested, for lack of pictures: {', '.join(x for x in labels if x not in known)}.", "bad")
    section.table(
        ["Label", "Pictures", "Recall", "95 % interval"],
        [
            [
                label,
                sum(scores.confusion[i]),
                percent(known[label]) if label in known else "\u2013",
                " to ".join(percent(end) for end in scores.recall_ci95[label]),
            ]
            for i, label in enumerate(labels)
        ],
        "Recall: the share of a label's pictures that got this label. Intervals count related pictures once.",
    )
    section.plot(confusion_plot(labels, scores.confusion), "Confusion: rows are the truth, columns the answer.")
    section.text(
        f"Confidence is off by {percent(scores.expected_calibration_error)} on average (expected calibration error)."
    )


def mistakes_section(
    section: Section,
    labels: Sequence[str],
    items: Sequence[Item],
    inputs: npt.NDArray[np.uint8],
    probabilities: Probabilities,
) -> None:
    """The mistakes that the model was surest of, as pictures.

    Args:
        section: To fill.
        labels: In the order of the columns of `probabilities`.
        items: The N pictures.
        inputs: What the model saw of them, `[N, size, size, 3]` uint8 RGB.
        probabilities: What it answered, `[N, labels]`.
    """
    truth = np.array([labels.index(item.label) for item in items])
    answer = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answer != truth)
    if not len(wrong):
        section.text("None.")
        return
    surest = wrong[np.argsort(probabilities[wrong, truth[wrong]], kind="stable")][:WORST_MISTAKES]
    section.gallery(
        [
            Tile(
                inputs[i],
                f"{items[i].label}, taken for {labels[answer[i]]}",
                f"{percent(probabilities[i, answer[i]])} sure \u00b7 {items[i].file}",
            )
            for i in surest
        ],
        f"{len(surest)} of {len(wrong)} mistakes, the surest first, as the model saw them.",
    )


def confusion_plot(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """Counts, shaded by the share of the row's label."""
    from matplotlib.figure import Figure

    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.7 + 0.85 * len(labels)
    figure = Figure(figsize=(side + 0.5, side))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1.25)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.6
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "#26211c", fontsize=12)
    return figure


def percent(share: float) -> str:
    """`96.4 %`."""
    return f"{100 * share:.1f} %"
