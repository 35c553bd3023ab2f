"""`study.html`: the settings found, how they compare with the usual ones, and Optuna's own plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial, TrialState

from evaluation.page import PLOT_STYLE, CaptionedPlot, KeyFigure, Page, Section, Tone
from train.config import TrainConfig
from train.tune_record import StudyRecord
from train.tune_space import Params, in_words
from train.tune_study import FAILURE, completed, loss_of, seconds_of, without_warnings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 15
LEAST_TO_COMPARE = 4
"""Trials with a result, below which Optuna can say nothing about the importance of a setting."""
_SMALL_INCH = (4.8, 3.4)
_WIDE_INCH = (10.5, 3.6)
_COLOUR = "#b3202f"
_NAMES = {
    "alpha": "alpha",
    "size_px": "image size, px",
    "head_decay": "head penalty",
    "head_rate": "head rate",
    "dropout": "dropout",
    "fine_tune_at": "share unfrozen",
    "fine_tune_rate": "fine-tuning rate",
}

Configured = Callable[[Params], TrainConfig]


def study_page(study: optuna.Study, record: StudyRecord, configured: Configured) -> Page:
    """The page about a study with at least one completed trial.

    Args:
        study: The study.
        record: What it has come to.
        configured: The settings at a point of its space.
    """
    page = Page("Search for settings", f"Study {record.study}, {sum(record.trials.values())} trials")
    done = completed(study)
    # Some of Optuna's plots lay themselves out, and warn where another layout was set before.
    with mpl.rc_context({**PLOT_STYLE, "figure.constrained_layout.use": False}), without_warnings():
        _result(page.section("Best settings"), record, configured(done[0].params))
        _small_ones(page.section("What a smaller net or picture costs"), done, configured)
        _plots(page.section("How the search went"), study, done)
        _trials(page.section("Trials"), study, done, configured)
    return page


def _result(section: Section, record: StudyRecord, best: TrainConfig) -> None:
    section.verdict(*_verdict(record))
    trials = record.trials
    section.key_figures(
        [
            KeyFigure("Best loss", f"{record.best.loss:.4f}", f"trial {record.best.trial}: {in_words(best)}"),
            KeyFigure(
                "Usual settings",
                "\u2013" if record.usual_loss is None else f"{record.usual_loss:.4f}",
                "what train does by itself, nothing unfrozen",
            ),
            KeyFigure(
                "Trials", str(trials["complete"]), f"with a result; {trials['pruned']} pruned, {trials['fail']} failed"
            ),
        ]
    )
    section.command(record.best.command)
    judges = ", ".join(record.judged_by)
    section.text(
        f"Loss is the cross-entropy on sources held out in turn ({judges}), by models made like the one that would "
        "ship, but without having learned from them: the recipe's own measure of a new place."
        if record.judged_by != ("validation",)
        else "Loss is the cross-entropy on the validation split: there are too few sources to hold out, and pictures "
        "of the same sources may approve of settings that do nothing for a new place."
    )
    section.text(
        "The best of many is a little lucky: expect its loss to be somewhat higher. No trial looked at the test split; "
        "the run that the command makes measures it once."
    )


def _verdict(record: StudyRecord) -> tuple[str, Tone]:
    if record.usual_loss is None:
        return f"Trial {record.best.trial} has the lowest loss.", "plain"
    gain = record.usual_loss - record.best.loss
    if gain <= 0:
        return "No trial beats the usual settings: train without any of these options.", "plain"
    return f"Trial {record.best.trial} has a loss {gain / record.usual_loss:.0%} below the usual settings'.", "good"


def _small_ones(section: Section, done: Sequence[FrozenTrial], configured: Configured) -> None:
    """Best first in `done`, so the first of each pair is its best."""
    best: dict[tuple[float, int], FrozenTrial] = {}
    for one in done:
        best.setdefault((one.params["alpha"], one.params["size_px"]), one)
    section.table(
        ["Alpha", "Image size", "Work, relative", "Loss", "Trial", "Settings"],
        [
            [
                f"{alpha:g}",
                f"{size} px",
                f"{(alpha * size) ** 2 / max((a * s) ** 2 for a, s in best):.2f}",
                f"{loss_of(one):.4f}",
                one.number,
                in_words(configured(one.params)),
            ]
            for (alpha, size), one in sorted(best.items(), key=lambda pair: (pair[0][0] * pair[0][1], pair[0]))
        ],
        "The best trial of each width and picture size. A device's time for a picture grows about as alpha squared "
        "times size squared.",
    )


def _plots(section: Section, study: optuna.Study, done: Sequence[FrozenTrial]) -> None:
    from optuna.visualization import matplotlib as plots

    section.plot(
        _figure(plots.plot_optimization_history(study, target_name="loss"), _WIDE_INCH),
        "Loss of each trial, and the lowest so far.",
    )
    if len(done) >= LEAST_TO_COMPARE and done[0].value != done[-1].value:
        shared = plots.plot_param_importances(study, target_name="loss")
        section.plot(
            _figure(shared, _WIDE_INCH),
            "How much of the differences in loss each setting explains (fANOVA), among those that every trial has.",
        )
    small = []
    for name, title in _NAMES.items():
        if len({one.params[name] for one in done if name in one.params}) > 1:
            axes = plots.plot_slice(study, params=[name], target_name="loss")
            small.append(CaptionedPlot(_figure(axes, _SMALL_INCH), title.capitalize()))
    section.plots(small)
    section.plot(_figure(plots.plot_timeline(study), _WIDE_INCH), "When each trial ran, and how it ended.")


def _figure(axes: Axes | npt.NDArray[Any], inches: tuple[float, float]) -> Figure:
    """The plot's figure at our size and without its title, no longer held by pyplot."""
    from matplotlib import pyplot
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    assert isinstance(axes, Axes)
    figure = axes.figure
    assert isinstance(figure, Figure)
    axes.set_title("")
    pyplot.close(figure)
    figure.set_size_inches(inches)
    figure.set_layout_engine("tight")
    return figure


def _trials(section: Section, study: optuna.Study, done: Sequence[FrozenTrial], configured: Configured) -> None:
    section.table(
        ["Trial", "Loss", "Seconds", "Settings", "Process"],
        [
            [
                one.number,
                f"{loss_of(one):.4f}",
                f"{seconds_of(one):.0f}",
                in_words(configured(one.params)),
                one.user_attrs["worker"],
            ]
            for one in done[:ROWS]
        ],
        f"The best {min(len(done), ROWS)} of {len(done)}.",
    )
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    if failed:
        section.table(
            ["Trial", "Why it failed"],
            [[one.number, one.user_attrs.get(FAILURE, "its process was killed")] for one in failed],
            "Failed trials; the study went on without them.",
        )
