"""The page that a person reads after training: is it good enough, where does it err, and how did it come about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from evaluation.dataset import Item, read_images
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Section, Tile, Tone
from evaluation.report import detail_sections, interval, percent, result_section
from evaluation.split import Split
from evaluation.view_correlation import LEAST_FRUITS, ViewCorrelation
from train.adaptation_page import adaptation_section
from train.audit.findings import TONES
from train.course import choice_section, course_section, curves, new_place_section, new_places
from train.forgetting import WARN_BELOW, Forgetting
from train.pictures import FilePictures, Pictures
from train.run_directory import CURVES_FILE, REPORT_FILE, Run
from train.run_record import EpochRow
from train.shift import CHANCE_P, Level, Shift
from train.verdict import verdict

_SHIFT_WORDS: dict[Level, tuple[str, Tone]] = {
    "none": ("The pictures from the line cannot be told from those of training.", "good"),
    "slight": (
        "The pictures from the line differ a little from those of training: measurable, seldom decisive.",
        "plain",
    ),
    "clear": (
        "The pictures from the line look different from those of training: expect the model to do worse there.",
        "warn",
    ),
    "strong": (
        "The pictures from the line are another world to this model: figures from the test split say little about "
        "them. Label some and adapt the run with: ripeline adapt",
        "bad",
    ),
}


def write_report(
    run: Run,
    history: Sequence[EpochRow],
    items: Sequence[Item],
    pictures: Pictures,
    probabilities: npt.NDArray[np.float32],
) -> None:
    """Write `report.html` and `curves.png` into the run's folder.

    Args:
        run: The run, its record complete.
        history: Every epoch.
        items: The N test pictures.
        pictures: What the model saw of them; only those that are shown are read.
        probabilities: What it answered, `[N, labels]`.
    """
    record = run.record
    evidence, labels = record.evidence, record.labels
    page = Page("Training report", f"{', '.join(labels)} from {record.data.path.name}")
    with mpl.rc_context(PLOT_STYLE):
        if record.adaptation is not None:
            adaptation_section(page.section("On the new line"), record.adaptation, labels, record.input)
        result = page.section("Is it good enough?")
        places = new_places(record.choice)
        result.verdict(*verdict(labels, record.test, evidence, places))
        result_section(result, record.test, labels)
        if places:
            new_place_section(page.section("At a place it has not seen"), places)
        detail_sections(page, record.test, labels, items, probabilities, pictures.read)
        if evidence.shift is not None and record.config.target is not None:
            _shift(page.section("The line's own pictures"), evidence.shift, record.config.target, run)
        curves(history, record.events).savefig(run.folder / CURVES_FILE, dpi=130)
        course_section(page.section("How training went"), history, record.events)
        if record.choice is not None and record.choice.candidates:
            choice_section(page.section("How much of the backbone to unfreeze"), record.choice)
        _features(page.section("What fine-tuning changed, and how views of one fruit err"), run)
        _data(page.section("Data"), run)
        _settings(page.section("Settings"), run)
    page.write(run.folder / REPORT_FILE)


def _shift(section: Section, shift: Shift, target: Path, run: Run) -> None:
    section.notice(*_SHIFT_WORDS[shift.level])
    section.key_figures(
        [
            KeyFigure(
                "Told apart", percent(shift.auc), f"of pairs (AUC), 50 % is guessing; 95 %: {interval(shift.auc_ci95)}"
            ),
            KeyFigure("By chance", f"p = {shift.auc_p:.3f}", f"counts as a shift up to {CHANCE_P / 2:g}"),
            KeyFigure("Discrepancy", f"{max(shift.mmd2, 0) ** 0.5:.3f}", f"MMD; p = {shift.mmd_p:.3f}"),
            KeyFigure("Far from all of training", percent(shift.outside), "of the line's pictures; 5 % is usual"),
        ]
    )
    files = [one.file for one in shift.farthest]
    found = {picture.file: picture for picture in read_images(target).pictures}
    shown = FilePictures([found[file] for file in files], run.record.input)
    section.gallery(
        [
            Tile(pixels, f"{one.distance:.2f}\u00d7", one.file)
            for one, pixels in zip(shift.farthest, shown.read(range(len(files))), strict=True)
        ],
        f"The line's pictures that are farthest from any training picture, as multiples of a distance that only one in "
        f"twenty training pictures has from the others. Compared: {shift.training_pictures} "
        f"unrelated training pictures with {shift.target_pictures} from {target.name}, by the features of the "
        "backbone before training.",
    )


def _features(section: Section, run: Run) -> None:
    evidence = run.record.evidence
    for name, found in evidence.forgetting.items():
        if found.forgets:
            section.notice(
                f"On {name} pictures the backbone's features are only {found.cka:.2f} like those before fine-tuning "
                f"(under {WARN_BELOW:g}): it may have forgotten what helps at a new place."
            )
    section.text(_forgetting_words(evidence.forgetting))
    section.text(_correlation_words(evidence.view_correlation))


def _forgetting_words(forgetting: dict[str, Forgetting]) -> str:
    if not forgetting:
        return "The backbone is as it was: nothing was fine-tuned, nothing forgotten."
    found = " and ".join(f"{one.cka:.3f} on {one.pictures} {name} pictures" for name, one in forgetting.items())
    return f"Likeness of the backbone's features before and after fine-tuning (linear CKA, 1 is the same): {found}."


def _correlation_words(found: ViewCorrelation) -> str:
    if found.ci95 is None:
        return (
            f"Views of one fruit are taken to err together by \u03c1 = {found.rho:g}, a cautious default: measuring it "
            f"takes {LEAST_FRUITS} validation fruits with several pictures each (column fruit of manifest.csv); here "
            f"are {found.fruits}."
        )
    if found.origin == "photographs":
        return (
            f"Views of one fruit are taken to err together by \u03c1 = {found.rho:.2f}. On {found.pictures} validation "
            f"pictures of {found.fruits} fruits it is {found.estimate:.2f}, but these are photographs (no column "
            "frame in manifest.csv), less alike than frames of a line, such as `ripeline collect` keeps."
        )
    return (
        f"Views of one fruit err together by \u03c1 = {found.rho:.2f} (95 %: {found.ci95[0]:.2f} to "
        f"{found.ci95[1]:.2f}), measured on {found.pictures} validation pictures of {found.fruits} fruits."
    )


def _data(section: Section, run: Run) -> None:
    counts = {
        label: {split: sum(r.label == label and r.split is split for r in run.splits) for split in Split}
        for label in run.record.labels
    }
    groups = {label: len({r.group for r in run.splits if r.label == label}) for label in run.record.labels}
    for notice in run.record.data.notices:
        section.notice(notice)
    for found in run.record.evidence.audit:
        section.notice(found.advice, TONES[found.severity])
    if run.record.evidence.audit:
        section.text("The pictures behind these remarks: ripeline audit.")
    section.table(
        ["Label", "Train", "Validation", "Test", "Groups"],
        [[label, *counts[label].values(), groups[label]] for label in run.record.labels],
        "Pictures; those of one group are all in the same split.",
    )


def _settings(section: Section, run: Run) -> None:
    record = run.record
    shown = record.config.model_dump(mode="json", exclude={"data", "labels", "policy"}, exclude_none=True)
    section.facts({name.replace("_", " "): value for name, value in shown.items()})
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    section.text(
        f"{record.seconds:.0f} s on {record.threads} threads; {versions}. Data SHA-256 {record.data.sha256[:16]}."
    )
