"""The part of the report that says what adapting to a new line has brought."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import read_dataset
from evaluation.page import KeyFigure, Section, Tile
from evaluation.report import interval, percent
from train.adaptation import Adaptation
from train.pictures import FilePictures

MOST_SHOWN = 30


def adaptation_section(section: Section, found: Adaptation, labels: Sequence[str], spec: InputSpec) -> None:
    """Write what to expect on the new line, what it costs elsewhere, and how that was found.

    Args:
        section: To write to.
        found: What was done.
        labels: Of the model.
        spec: Of its input.
    """
    before, expected, old = found.before, found.expected, found.on_old
    total, place = sum(found.pictures.values()), found.data.name
    if not found.changed:
        section.verdict(
            f"The {total} pictures of {place} do not make the model better: it is unchanged. "
            f"Expect {percent(before.accuracy)} there.",
            "warn",
        )
    elif found.surely_helps:
        section.verdict(
            f"Adapted with {total} pictures of {place}: expect {percent(expected.accuracy)} right there, "
            f"{percent(before.accuracy)} before.",
            "good",
        )
    else:
        section.verdict(
            f"Adapted with {total} pictures of {place}: expect {percent(expected.accuracy)} right there. Before it was "
            f"{percent(before.accuracy)}; so few pictures cannot tell the difference from chance.",
            "plain",
        )
    for label in found.untested:
        section.notice(f"There is no new picture of '{label}': what the model knew of it is kept, and untested there.")
    change = old.accuracy_after - old.accuracy_before
    low, high = (100 * end for end in old.difference_ci95)
    section.key_figures(
        [
            KeyFigure("On the new line", percent(expected.accuracy), f"95 %: {interval(expected.accuracy_ci95)}"),
            KeyFigure("There, before", percent(before.accuracy), f"95 %: {interval(before.accuracy_ci95)}"),
            KeyFigure(
                "On the old test pictures",
                percent(old.accuracy_after),
                f"{100 * change:+.1f} points (95 %: {low:+.1f} to {high:+.1f})",
            ),
            KeyFigure("Weight of the new pictures", f"{found.weight:.2f}", "share of the loss; 0 is the old head"),
        ]
    )
    section.table(
        ["Label", "New pictures", "Recognised there", "Before"],
        [
            [label, found.pictures[label], *(_share(one.recall[label]) for one in (expected, before))]
            for label in labels
        ],
        "Shares of the new pictures; the accuracies above are for labels in the numbers in which they were given.",
    )  # fmt: skip
    section.text(
        "Every new picture was answered by a head that had seen no picture of its group, and that was put together "
        f"without it, so these figures are honest; with {found.groups} unrelated pictures they are as wide as the "
        "interval says. Only the last layer can change: so few pictures cannot teach the layers below it."
    )
    section.plot(
        _curve(found),
        "Loss of single heads on new pictures that they had not seen, with one standard error of the gain over the old "
        "head (red). The model is their average; bars: the share of each in it.",
    )
    mistakes = found.mistakes[:MOST_SHOWN]
    if mistakes:
        items = {item.file: item for item in read_dataset(found.data, labels, every_label=False).items}
        pixels = FilePictures([items[one.file] for one in mistakes], spec).read(range(len(mistakes)))
        section.gallery(
            [
                Tile(image, f"{one.label}, taken for {one.answer}", one.file)
                for image, one in zip(pixels, mistakes, strict=True)
            ],
            "New pictures that it gets wrong when it has not seen them. Are their labels right?",
        )


def _share(recall: float | None) -> str:
    return "\u2013" if recall is None else percent(recall)


def _curve(found: Adaptation) -> Figure:
    figure = Figure(figsize=(5.6, 2.8))
    axes = figure.subplots()
    weights = [one.weight for one in found.tried]
    noise = [one.noise if math.isfinite(one.noise) else 0 for one in found.tried]
    axes.errorbar(
        weights, [one.loss for one in found.tried], yerr=noise, color="#b3202f", marker="o", capsize=3, zorder=3
    )
    axes.set_xticks(weights)
    axes.set_xlabel("weight of the new pictures (0: the old head)")
    axes.set_ylabel("cross-entropy")
    axes.set_ylim(bottom=0, top=1.15 * max(one.loss + more for one, more in zip(found.tried, noise, strict=True)))
    say = axes.twinx()
    say.bar(weights, [100 * one.share for one in found.tried], width=0.04, color="#c9a227", alpha=0.5)
    say.set_ylabel("share in the model, %")
    say.set_ylim(0, 100)
    say.grid(visible=False)
    return figure
