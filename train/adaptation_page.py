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
    total = sum(found.pictures.values())
    if found.helps:
        section.verdict(
            f"Adapted with {total} pictures of {found.data.name}: expect {percent(expected.accuracy)} there, "
            f"{percent(before.accuracy)} before"
            + ("." if found.surely_helps else ". So few pictures cannot tell that gain from chance."),
            "good" if found.surely_helps else "plain",
        )
    else:
        section.verdict(
            f"The {total} pictures of {found.data.name} do not make the model better: it is "
            f"unchanged. Expect {percent(before.accuracy)} there.",
            "warn",
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
            KeyFigure("Weight of the new pictures", f"{found.weight:g}", f"chosen among {len(found.tried)}"),
        ]
    )
    section.text(
        "Every new picture was answered by a head that had seen no picture of its group, so these figures are honest; "
        f"with {found.groups} unrelated pictures they are as wide as the interval says."
    )
    section.plot(
        _curve(found), "Loss on new pictures that the head had not seen; bars: one standard error of the gain."
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


def _curve(found: Adaptation) -> Figure:
    figure = Figure(figsize=(5.6, 2.8))
    axes = figure.subplots()
    weights = [one.weight for one in found.tried]
    axes.errorbar(
        weights,
        [one.loss for one in found.tried],
        yerr=[one.noise if math.isfinite(one.noise) else 0 for one in found.tried],
        color="#b3202f",
        marker="o",
        capsize=3,
    )
    axes.axvline(found.weight, color="#6b645c", linestyle="--", linewidth=1)
    axes.set_xlabel("weight of the new pictures (0: the old head)")
    axes.set_ylabel("cross-entropy")
    axes.set_ylim(
        bottom=0, top=1.15 * max(one.loss + (one.noise if math.isfinite(one.noise) else 0) for one in found.tried)
    )
    return figure
