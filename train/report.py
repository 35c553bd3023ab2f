"""The page that a person reads after training: is it good enough, and where does it err."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from evaluation.dataset import Item
from evaluation.page import PLOT_STYLE, Page, Section
from evaluation.report import mistakes_section, result_section
from evaluation.split import Split
from train.pictures import Pictures
from train.run_directory import REPORT_FILE, EpochRow, Run

PHASE_NAMES = {"head": "new head", "fine_tune": "fine-tuning"}
TRAIN_COLOUR, VALIDATION_COLOUR, EVENT_COLOUR = "#c9a227", "#b3202f", "#6b645c"


def write_report(
    run: Run,
    history: Sequence[EpochRow],
    items: Sequence[Item],
    pictures: Pictures,
    probabilities: npt.NDArray[np.float32],
) -> None:
    """Write `report.html` and the plots into the run's folder.

    Args:
        run: The run, its record complete.
        history: Every epoch.
        items: The N test pictures.
        pictures: What the model saw of them.
        probabilities: What it answered, `[N, labels]`.
    """
    record = run.record
    inputs = pictures.read(range(len(pictures)))
    page = Page("Training report", f"{', '.join(record.labels)} from {record.data.path.name}")
    with mpl.rc_context(PLOT_STYLE):
        result_section(page.section("Result on pictures the model never saw"), record.test, record.labels)
        page.sections[-1].text(
            "Pictures from the same sources as those of training say little about a new line: measure there as well."
        )
        mistakes_section(page.section("Worst mistakes"), record.labels, items, inputs, probabilities)
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
