"""The page that a person reads after training: is it good enough, and where does it err."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from evaluation.dataset import Item
from evaluation.metrics import Scores
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Section, Tile
from evaluation.split import Split
from train.run_directory import REPORT_FILE, EpochRow, Run

WORST_MISTAKES = 30
PHASE_NAMES = {"head": "new head", "fine_tune": "fine-tuning"}
TRAIN_COLOUR, VALIDATION_COLOUR, EVENT_COLOUR = "#c9a227", "#b3202f", "#6b645c"


def write_report(
    run: Run,
    history: Sequence[EpochRow],
    items: Sequence[Item],
    inputs: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
) -> None:
    """Write `report.html` and the plots into the run's folder.

    Args:
        run: The run, its record complete.
        history: Every epoch.
        items: The N test pictures.
        inputs: What the model saw of them, `[N, size, size, 3]` uint8 RGB.
        probabilities: What it answered, `[N, labels]`.
    """
    record = run.record
    page = Page("Training report", f"{', '.join(record.labels)} from {record.data.path.name}")
    with mpl.rc_context(PLOT_STYLE):
        _result(page.section("Result on pictures the model never saw"), record.test, record.labels)
        _mistakes(page.section("Worst mistakes"), record.labels, items, inputs, probabilities)
        _course(page.section("How training went"), run, history)
        _data(page.section("Data"), run)
        _settings(page.section("Settings"), run)
    page.write(run.folder / REPORT_FILE)


def curves(history: Sequence[EpochRow], run: Run) -> Figure:
    """Loss and accuracy over both phases, with the switch and every divergence marked."""
    figure = Figure(figsize=(9.2, 3.4))
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    for axes, name in ((loss_axes, "loss"), (accuracy_axes, "accuracy")):
        marker = "o" if len(epochs) < 3 else None
        axes.plot(epochs, [getattr(row, name) for row in history], color=TRAIN_COLOUR, label="train", marker=marker)
        axes.plot(
            epochs,
            [getattr(row, f"val_{name}") for row in history],
            color=VALIDATION_COLOUR,
            label="validation",
            marker=marker,
        )
        axes.set_title(name.capitalize())
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        for event in run.record.events:
            if event.kind == "unfrozen":
                axes.axvline(event.epoch - 0.5, color=EVENT_COLOUR, linestyle="--", linewidth=1)
                axes.annotate(
                    "fine-tuning",
                    (event.epoch - 0.5, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(4, -10),
                    textcoords="offset points",
                    color=EVENT_COLOUR,
                    fontsize=8,
                )
            elif event.kind in {"diverged", "gave_up"}:
                axes.axvline(event.epoch, color=VALIDATION_COLOUR, linestyle=":", linewidth=1)
    loss_axes.set_ylim(bottom=0)
    accuracy_axes.legend(loc="lower right")
    return figure


def confusion_plot(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """Counts, shaded by the share of the row's label."""
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


def _result(section: Section, test: Scores, labels: Sequence[str]) -> None:
    known = {label: recall for label, recall in test.recall.items() if recall is not None}
    worst = min(known, key=lambda label: known[label])
    low, high = test.accuracy_ci95
    section.key_figures(
        [
            KeyFigure("Accuracy", _percent(test.accuracy), f"95 % interval {_percent(low)} to {_percent(high)}"),
            KeyFigure("Balanced accuracy", _percent(test.balanced_accuracy), "mean of the labels' recalls"),
            KeyFigure("Worst label", _percent(known[worst]), f"of '{worst}' recognised"),
            KeyFigure("Test pictures", str(test.n), "of groups kept apart from training"),
        ]
    )
    if len(known) < len(labels):
        section.notice(f"Not tested, for lack of pictures: {', '.join(x for x in labels if x not in known)}.", "bad")
    section.table(
        ["Label", "Pictures", "Recall", "95 % interval"],
        [
            [
                label,
                sum(test.confusion[i]),
                _percent(known[label]) if label in known else "\u2013",
                " to ".join(_percent(end) for end in test.recall_ci95[label]),
            ]
            for i, label in enumerate(labels)
        ],
        "Recall: the share of a label's pictures that got this label. Intervals count related pictures once.",
    )
    section.plot(confusion_plot(labels, test.confusion), "Confusion on test: rows are the truth, columns the answer.")
    section.text(
        f"Confidence is off by {_percent(test.expected_calibration_error)} on average (expected calibration error). "
        "Pictures from the same sources as the training pictures say little about a new line: measure there as well."
    )


def _mistakes(
    section: Section,
    labels: Sequence[str],
    items: Sequence[Item],
    inputs: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
) -> None:
    truth = np.array([labels.index(item.label) for item in items])
    answer = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answer != truth)
    if not len(wrong):
        section.text("None on the test pictures.")
        return
    surest = wrong[np.argsort(probabilities[wrong, truth[wrong]], kind="stable")][:WORST_MISTAKES]
    section.gallery(
        [
            Tile(
                inputs[i],
                f"{items[i].label}, taken for {labels[answer[i]]}",
                f"{_percent(probabilities[i, answer[i]])} sure \u00b7 {items[i].file}",
            )
            for i in surest
        ],
        f"{len(surest)} of {len(wrong)} mistakes on test, the surest first, as the model saw them.",
    )


def _course(section: Section, run: Run, history: Sequence[EpochRow]) -> None:
    figure = curves(history, run)
    figure.savefig(run.folder / "curves.png", dpi=130)
    section.plot(figure, "Training and validation over both phases; dotted lines mark epochs that were thrown away.")
    section.table(
        ["Epoch", "Phase", "Event", "Why", "Rate"],
        [
            [event.epoch, PHASE_NAMES[event.phase], event.kind.replace("_", " "), event.reason, f"{event.rate:.2g}"]
            for event in run.record.events
        ],
        "What the recipe decided, and when.",
    )


def _data(section: Section, run: Run) -> None:
    counts = {
        label: {split: sum(r.label == label and r.split is split for r in run.splits) for split in Split}
        for label in run.record.labels
    }
    groups = {label: len({r.group for r in run.splits if r.label == label}) for label in run.record.labels}
    for notice in run.record.data.notices:
        section.notice(notice)
    section.table(
        ["Label", "Train", "Validation", "Test", "Groups"],
        [[label, *counts[label].values(), groups[label]] for label in run.record.labels],
        "Pictures; those of one group are all in the same split.",
    )


def _settings(section: Section, run: Run) -> None:
    record = run.record
    shown = record.config.model_dump(mode="json", exclude={"data", "labels"})
    section.table(["Setting", "Value"], [[name.replace("_", " "), str(value)] for name, value in shown.items()])
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    section.text(
        f"{record.seconds:.0f} s on {record.threads} threads; {versions}. Data SHA-256 {record.data.sha256[:16]}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
