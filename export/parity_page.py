"""`parity.html`: the proof for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.manifest import Manifest, Result
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Tile
from export.findings import TONES, ArtefactParity, Missing, remarks
from export.ladder import Step
from export.parity import Parity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_FLIPS = 24
_COLOURS = {Result.PASS: "#2e7d4f", Result.INCONCLUSIVE: "#c98a1b", Result.FAIL: "#b3202f"}


def parity_page(
    run_name: str,
    manifest: Manifest,
    parities: Sequence[ArtefactParity],
    missing: Sequence[Missing],
    ladders: Mapping[str, Sequence[Step]],
    test_inputs: npt.NDArray[np.uint8],
    test_truth: npt.NDArray[np.int64],
) -> Page:
    """`parity.html`; arguments as for `export.document.write_documents`."""
    import matplotlib as mpl

    page = Page("Parity report", f"bundle {manifest.bundle_id}, from {run_name}")
    lowest = min(parities, key=lambda one: one.parity.agreement)
    result = page.section("Do the converted models decide as the Keras model does?")
    result.key_figures(
        [
            KeyFigure("Result", manifest.result.value, tone=TONES[manifest.result]),
            KeyFigure(
                "Keras accuracy", f"{parities[0].parity.accuracy.reference:.1%}", f"{len(test_truth)} held-out pictures"
            ),
            KeyFigure("Lowest agreement", f"{lowest.parity.agreement:.1%}", f"{lowest.name} on {lowest.engine}"),
        ]
    )
    for text, tone in remarks(parities, missing, ladders):
        result.notice(text, tone)
    rows = [one.table_row() for one in parities]
    result.table(
        list(rows[0]),
        [list(row.values()) for row in rows],
        "“At least” is the one-sided 95 % lower bound of the accuracy difference (Tango's paired score interval, "
        "wider where pictures come in groups); “verdicts” is the share with the same verdict under the cost table; "
        "times are medians on one thread of the machine that exported.",
    )
    with mpl.rc_context(PLOT_STYLE):
        result.plot(
            _forest(parities),
            "Accuracy against Keras, with one-sided 95 % bounds; the dashed line is the margin.",
        )
    _layers(page, parities, ladders)
    _decisions(page, parities)
    flips = page.section("Pictures that got another label")
    tiles = [
        Tile(
            test_inputs[place],
            f"Keras: {manifest.labels[one.keras_labels[place]]} → {manifest.labels[one.found_labels[place]]}",
            f"truth {manifest.labels[test_truth[place]]}; {one.name} on {one.engine}",
        )
        for one in parities
        for place in one.flipped
    ]
    if tiles:
        flips.gallery(tiles[:_SHOWN_FLIPS], f"{len(tiles)} in all." if len(tiles) > _SHOWN_FLIPS else "")
    else:
        flips.text("None, on any engine.")
    labels = page.section("Recall of each label")
    labels.table(
        ["artefact", "engine", *manifest.labels],
        [[one.name, one.engine, *(_recall_cell(one.parity, label) for label in manifest.labels)] for one in parities],
        "Recall, and its difference from the Keras model's.",
    )
    return page


def _decisions(page: Page, parities: Sequence[ArtefactParity]) -> None:
    rows = [
        [
            one.name,
            one.engine,
            f"{found.flips:.2%}",
            found.good_to_diverted,
            found.bad_to_accepted,
            f"{found.abstention:+.2%}",
            f"{found.calibration:+.4f}",
            f"{found.cost:+.4f}",
            f"{found.cost_ci95[0]:+.3f} to {found.cost_ci95[1]:+.3f}",
        ]
        for one in parities
        if (found := one.decisions) is not None
    ]
    if rows:
        page.section("Does the line still decide the same?").table(
            ["artefact", "engine", "flips", "good → diverted", "bad → accepted", "undecided", "ΔECE", "cost", "95 %"],
            rows,
            "Verdicts under the bundle's cost table, each picture as a fruit of one view. Cost a fruit, against Keras.",
        )


def _layers(page: Page, parities: Sequence[ArtefactParity], ladders: Mapping[str, Sequence[Step]]) -> None:
    climbed = [(name, step) for name, steps in ladders.items() if len(steps) > 1 for step in steps]
    if climbed:
        page.section("What else was tried where int8 lost too much").table(
            ["artefact", "made with", "agreement", "accuracy", "on validation pictures"],
            [
                [
                    name,
                    step.rung + (" (chosen)" if step.chosen else ""),
                    "–" if step.agreement is None else f"{step.agreement:.1%}",
                    "–" if step.difference is None else f"{step.difference:+.1%}",
                    step.reason or step.result.value,
                ]
                for name, step in climbed
            ],
            "The lowest of all engines, on the validation pictures; the held-out ones saw the chosen file alone.",
        )
    failed = {one.name: one.layers for one in parities if one.layers}
    if failed:
        page.section("Where the integers lose it").table(
            ["artefact", "layer", "adds", "lost by then"],
            [
                [name, one.layer, f"{one.added:.1%}", f"{one.lost:.1%}"]
                for name, layers in failed.items()
                for one in layers
            ],
            "Share of the signal of a layer's channels that differs from the Keras network's; “adds” is what it loses "
            "beyond the layers that it reads.",
        )


def _recall_cell(parity: Parity, label: str) -> str:
    one = parity.recall.get(label)
    return "–" if one is None else f"{one.candidate:.1%} ({one.difference:+.1%})"


def _forest(parities: Sequence[ArtefactParity]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 0.45 * len(parities)))
    axes = figure.subplots()
    for place, one in enumerate(reversed(parities)):
        accuracy, colour = one.parity.accuracy, _COLOURS[one.parity.result]
        axes.plot([accuracy.lower_bound * 100, accuracy.upper_bound * 100], [place, place], color=colour, linewidth=2)
        axes.plot(accuracy.difference * 100, place, "o", color=colour)
    axes.axvline(-parities[0].parity.accuracy.margin * 100, color="#6b645c", linestyle="--", linewidth=1)
    axes.axvline(0, color="#9a938c", linewidth=0.8)
    axes.set_yticks(range(len(parities)), [f"{one.name}\n{one.engine}" for one in reversed(parities)], fontsize=8)
    axes.set_xlabel("accuracy difference, percentage points")
    return figure
