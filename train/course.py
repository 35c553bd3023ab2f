"""How a run went, for its report: curves over both phases, the guard's events, and what was tried for phase two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.page import CaptionedPlot, Section
from evaluation.report import percent
from train.run_record import Choice, EpochRow, Judgement, RecipeEvent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

PHASE_NAMES = {"head": "new head", "fine_tune": "fine-tuning"}
TRAIN_COLOUR, VALIDATION_COLOUR, SOURCE_COLOUR, EVENT_COLOUR = "#c9a227", "#b3202f", "#2f6f8f", "#6b645c"
GUARD = {"diverged", "gave_up"}
_CURVES = ("loss", "accuracy")
_FADED = 0.35
_WIDTH_INCH, _HEIGHT_INCH = 4.8, 4.0


def attempts(history: Sequence[EpochRow]) -> list[list[EpochRow]]:
    """The epochs of each phase; one that the guard sent back counts its epochs again, and so begins a new list."""
    parts: list[list[EpochRow]] = []
    for row in history:
        if not parts or row.phase != parts[-1][-1].phase or row.epoch <= parts[-1][-1].epoch:
            parts.append([])
        parts[-1].append(row)
    return parts


def curves(history: Sequence[EpochRow], events: Sequence[RecipeEvent]) -> Figure:
    """Loss and accuracy side by side, each as `curve` draws it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * _WIDTH_INCH, _HEIGHT_INCH))
    grid = figure.add_gridspec(1, 2)
    for place, name in enumerate(_CURVES):
        part = figure.add_subfigure(grid[place])
        _draw_curve(part, history, events, name)
        part.axes[0].set_title(name.capitalize())
    return figure


def curve(history: Sequence[EpochRow], events: Sequence[RecipeEvent], name: str) -> Figure:
    """`loss` or `accuracy` over both phases above the learning rate, with the switch and each guard event marked.

    Attempts that the guard threw away are faded. The loss axis ends a little above phase one's highest: a run that blew
    up must not flatten the part that counts.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCH, _HEIGHT_INCH))
    _draw_curve(figure, history, events, name)
    return figure


def course_section(section: Section, history: Sequence[EpochRow], events: Sequence[RecipeEvent]) -> None:
    """The curves, and what the recipe decided, when and why."""
    section.plots([CaptionedPlot(curve(history, events, name), name.capitalize()) for name in _CURVES])
    reading = "Above by epoch, with the learning rate below."
    if any(event.kind == "unfrozen" for event in events):
        reading += " Dashed: the switch to fine-tuning; epochs count on."
    if any(event.kind in GUARD for event in events):
        reading += " Dotted: the guard stopped an attempt and put the weights from before it back; crosses: its rate."
    section.text(reading)
    section.table(
        ["Epoch", "Phase", "Event", "Why", "Rate"],
        [
            [event.epoch, PHASE_NAMES[event.phase], event.kind.replace("_", " "), event.reason, f"{event.rate:.1e}"]
            for event in events
        ],
        f"What the recipe decided, and when. {len(history)} epochs in all.",
    )


def choice_section(section: Section, choice: Choice) -> None:
    """The candidates for phase two, and how each held-out source judged them."""
    by_source = choice.select_by == "source"
    section.text(
        "Judged by sources held out in turn, each by models that had not learned from it: what decides is a new place."
        if by_source
        else "Judged by the validation split: pictures of the same sources as those of training, which may approve of "
        "changes that do nothing for a new place."
    )
    section.table(
        ["Unfreeze from", "Share of layers", "Epochs", "Loss", "Gain", "Noise", "Taken", "Why"],
        [
            [
                one.layer if one.boundary is not None else "nothing",
                f"{100 * one.share:.0f} %",
                one.epochs,
                f"{one.loss:.4f}",
                f"{one.better_by:+.4f}" if one.boundary is not None else "\u2013",
                f"{one.noise:.4f}" if one.boundary is not None else "\u2013",
                "yes" if one.chosen else "no",
                one.reason,
            ]
            for one in choice.candidates
        ],
        "Loss: mean cross-entropy over the judges. Gain: how much lower than with nothing unfrozen, and its noise "
        "(standard error).",
    )
    if by_source:
        section.table(
            ["Held-out source", *(one.layer if one.boundary is not None else "nothing" for one in choice.candidates)],
            [
                [
                    name,
                    *(
                        f"{(said := one.by_judge[name]).loss:.3f} ({percent(said.accuracy)})"
                        for one in choice.candidates
                    ),
                ]
                for name in choice.candidates[0].by_judge
            ],
            "Loss, and share right, on each source under each candidate that never saw it.",
        )


def new_place_section(section: Section, places: dict[str, Judgement]) -> None:
    """How models that never saw a source did there: the nearest thing to a new line."""
    section.text(
        "Each source was left out in turn and shown to a model that had not learned from it. A new line is such a "
        "place. Even these figures flatter a little: they also decided when to stop and what to unfreeze."
    )
    section.table(
        ["Source left out", "Pictures", "Right", "Loss"],
        [[name, one.pictures, percent(one.accuracy), f"{one.loss:.3f}"] for name, one in places.items()],
        f"On average over the sources {percent(average(places))} right. Loss: at the temperature that suits them all.",
    )


def new_places(choice: Choice | None) -> dict[str, Judgement]:
    """Held-out sources, as models made like the one that ships did there; empty where nobody was asked."""
    return choice.shipped if choice is not None and choice.select_by == "source" else {}


def average(places: dict[str, Judgement]) -> float:
    """Share right, each source counting the same."""
    return float(np.mean([one.accuracy for one in places.values()]))


def _draw_curve(figure: FigureBase, history: Sequence[EpochRow], events: Sequence[RecipeEvent], name: str) -> None:
    top, rate = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    parts = attempts(history)
    guarded = [event for event in events if event.kind in GUARD]
    gave_up = [event.kind for event in events if event.phase == "fine_tune"][-1:] == ["gave_up"]
    for place, part in enumerate(parts):
        lost = part[0].phase == "fine_tune" and (place < len(parts) - 1 or gave_up)
        _draw_attempt(top, part, name, labelled=place == 0, alpha=_FADED if lost else 1)
        # A step at each epoch's start, so that the rate stands over the epoch that used it.
        edges = [row.epoch - 0.5 for row in part] + [part[-1].epoch + 0.5]
        rates = [row.learning_rate for row in part]
        rate.step(edges, [*rates, rates[-1]], where="post", color=EVENT_COLOUR, alpha=_FADED if lost else 1)
    switches = [event.epoch - 0.5 for event in events if event.kind == "unfrozen"][:1]
    for axes in (top, rate):
        for x in switches:
            axes.axvline(x, color=EVENT_COLOUR, linestyle="--", linewidth=1)
        for x in {event.epoch for event in guarded}:
            axes.axvline(x, color=VALIDATION_COLOUR, linestyle=":", linewidth=1)
    rate.plot([e.epoch for e in guarded], [e.rate for e in guarded], "x", color=VALIDATION_COLOUR, markersize=5)
    _log_axis(rate, [row.learning_rate for row in history] + [event.rate for event in guarded])
    rate.set_xlabel("epoch")
    rate.set_ylabel("rate")
    rate.xaxis.get_major_locator().set_params(integer=True)
    if name == "loss":
        top.set_ylim(0, _loss_ceiling(history))
    for x in switches:
        _label(top, x, "fine-tuning", 0, at_top=name == "loss")
    if guarded:
        _label(top, guarded[0].epoch, f"guard \u00d7 {len(guarded)}", 1, at_top=name == "loss")
    top.legend(loc="center")


def _draw_attempt(axes: Axes, part: Sequence[EpochRow], name: str, *, labelled: bool, alpha: float) -> None:
    lines = [("train", TRAIN_COLOUR, [getattr(row, name) for row in part]),
             ("validation", VALIDATION_COLOUR, [getattr(row, f"val_{name}") for row in part])]  # fmt: skip
    if name == "loss" and any(row.source_loss is not None for row in part):
        lines.append(("held-out sources", SOURCE_COLOUR, [row.source_loss for row in part]))
    for label, colour, values in lines:
        axes.plot(
            [row.epoch for row in part], values, color=colour, marker="o" if len(part) < 3 else None, markersize=4,
            label=label if labelled else None, alpha=alpha,
        )  # fmt: skip


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Whole powers of ten, and only these written."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.set_ylim(10 ** np.floor(np.log10(min(values)) - 0.1), 10 ** np.ceil(np.log10(max(values)) + 0.1))
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_minor_locator(NullLocator())


def _label(axes: Axes, x: float, text: str, line: int, *, at_top: bool) -> None:
    """Beside a vertical line, on the side where there is room."""
    left, right = axes.get_xlim()
    on_left = x > (left + right) / 2
    axes.annotate(
        text, (x, 1.0 if at_top else 0.0), xycoords=("data", "axes fraction"),
        xytext=(-4 if on_left else 4, -10 - 12 * line if at_top else 4 + 12 * line),
        textcoords="offset points", ha="right" if on_left else "left", color=EVENT_COLOUR, fontsize=8,
    )  # fmt: skip


def _loss_ceiling(history: Sequence[EpochRow]) -> float:
    """Room for all of phase one, from which a divergence is told."""
    calm = [row for row in history if row.phase == "head"] or history
    losses = [value for row in calm for value in (row.loss, row.val_loss, row.source_loss) if value is not None]
    finite = [value for value in losses if np.isfinite(value)]
    return 1.08 * max(finite) if finite else 1.0
