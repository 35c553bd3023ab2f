"""What a bundle says about its parity to people and tools; times stand apart, since they differ each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.manifest import Manifest, Result
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Tile, Tone
from export.decisions import Decisions
from export.junit import Case, junit
from export.parity import Parity
from train.run_directory import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARITY = "parity.json"
PARITY_PAGE = "parity.html"
PARITY_JUNIT = "junit.xml"
MEASURED = "measured.json"
MODEL_CARD = "MODEL_CARD.md"
_SHOWN_FLIPS = 24
_TONES: dict[Result, Tone] = {Result.PASS: "good", Result.INCONCLUSIVE: "warn", Result.FAIL: "bad"}
_COLOURS = {Result.PASS: "#2e7d4f", Result.INCONCLUSIVE: "#c98a1b", Result.FAIL: "#b3202f"}


class Missing(BaseModel):
    """A pair that could not be measured, and so is not in the manifest and never runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    engine: str
    reason: str


class ArtefactParity(BaseModel):
    """Everything measured of one artefact on one engine; `flipped` are places in the held-out split."""

    model_config = ConfigDict(frozen=True)

    name: str
    format: str
    engine: str
    bytes: int
    p50_ms: float
    temperature: float
    operators: dict[str, int]
    parity: Parity
    decisions: Decisions | None
    diagnosis: tuple[str, ...] = ()
    flipped: tuple[int, ...]
    keras_labels: tuple[int, ...]
    found_labels: tuple[int, ...]

    def causes(self) -> tuple[str, ...]:
        """Why it did not simply pass, and the usual mistake that would explain it."""
        return (*self.parity.reasons, *self.diagnosis)

    def row(self) -> dict[str, Any]:
        """As `ripeline export --json` lists it."""
        return {
            "name": self.name,
            "format": self.format,
            "engine": self.engine,
            "bytes": self.bytes,
            "accuracy": self.parity.accuracy.candidate,
            "agreement": self.parity.agreement,
            "max_abs_diff": self.parity.max_abs_diff,
            "max_logit_diff": self.parity.max_logit_diff,
            "difference": self.parity.accuracy.difference,
            "lower_bound": self.parity.accuracy.lower_bound,
            "images_needed": self.parity.images_needed,
            "verdict_flips": None if self.decisions is None else self.decisions.flips,
            "diagnosis": list(self.diagnosis),
            "p50_ms": self.p50_ms,
            "result": self.parity.result,
        }

    def table_row(self) -> dict[str, str]:
        """For people: the terminal's and the page's table."""
        parity = self.parity
        return {
            "artefact": self.name,
            "engine": self.engine,
            "size": f"{self.bytes / 1e6:.2f} MB",
            "accuracy": f"{parity.accuracy.candidate:.1%}",
            "vs Keras": f"{parity.accuracy.difference:+.1%}",
            "at least": f"{parity.accuracy.lower_bound:+.2%}",
            "agreement": f"{parity.agreement:.1%}",
            "verdicts": "–" if self.decisions is None else f"{1 - self.decisions.flips:.1%}",
            "max |Δp|": f"{parity.max_abs_diff:.1e}",
            "one image": f"{self.p50_ms:.2f} ms",
            "result": parity.result.value,
        }


def write_documents(
    folder: Path,
    run: Run,
    manifest: Manifest,
    parities: Sequence[ArtefactParity],
    missing: Sequence[Missing],
    test_inputs: npt.NDArray[np.uint8],
    test_truth: npt.NDArray[np.int64],
) -> None:
    """Write all five into the bundle's folder.

    Args:
        folder: Of the bundle.
        run: Where it came from.
        manifest: Its own, complete.
        parities: Of every artefact on every engine.
        missing: Pairs that could not be measured.
        test_inputs: What parity was measured on, `[n, size, size, 3]` uint8 RGB.
        test_truth: Label indices `[n]`.
    """
    times = [{"artefact": one.name, "engine": one.engine, "p50_ms": round(one.p50_ms, 4)} for one in parities]
    _write_json(folder / MEASURED, {"threads": 1, "latency": times})
    left_out = {"p50_ms", "keras_labels", "found_labels"}
    _write_json(
        folder / PARITY,
        {
            "schema_version": 1,
            "result": manifest.result,
            "labels": manifest.labels,
            "artefacts": [one.model_dump(mode="json", exclude=left_out) for one in parities],
            "unavailable": [one.model_dump() for one in missing],
        },
    )
    _page(run, manifest, parities, missing, test_inputs, test_truth).write(folder / PARITY_PAGE)
    cases = [
        Case("parity with Keras", f"{one.name} on {one.engine}", one.parity.result, "; ".join(one.causes()))
        for one in parities
    ] + [Case("parity with Keras", f"{one.name} on {one.engine}", Result.FAIL, one.reason) for one in missing]
    (folder / PARITY_JUNIT).write_text(junit(f"ripeline export {manifest.bundle_id}", cases), "utf-8")
    (folder / MODEL_CARD).write_text(_model_card(run, manifest, parities), "utf-8")


def _page(
    run: Run,
    manifest: Manifest,
    parities: Sequence[ArtefactParity],
    missing: Sequence[Missing],
    test_inputs: npt.NDArray[np.uint8],
    test_truth: npt.NDArray[np.int64],
) -> Page:
    import matplotlib as mpl

    page = Page("Parity report", f"bundle {manifest.bundle_id}, from {run.folder.name}")
    lowest = min(parities, key=lambda one: one.parity.agreement)
    result = page.section("Do the converted models decide as the Keras model does?")
    result.key_figures(
        [
            KeyFigure("Result", manifest.result.value, tone=_TONES[manifest.result]),
            KeyFigure(
                "Keras accuracy", f"{parities[0].parity.accuracy.reference:.1%}", f"{len(test_truth)} held-out pictures"
            ),
            KeyFigure("Lowest agreement", f"{lowest.parity.agreement:.1%}", f"{lowest.name} on {lowest.engine}"),
        ]
    )
    for text, tone in remarks(parities, missing):
        result.notice(text, tone)
    rows = [one.table_row() for one in parities]
    result.table(
        list(rows[0]),
        [list(row.values()) for row in rows],
        "“At least” is the one-sided 95 % lower bound of the accuracy difference (Tango's paired score interval, "
        "pictures of one group counted once); “verdicts” is the share with the same verdict under the cost table; "
        "times are medians on one thread of the machine that exported.",
    )
    with mpl.rc_context(PLOT_STYLE):
        result.plot(
            _forest(parities),
            "Accuracy against Keras, with one-sided 95 % bounds; the dashed line is the margin.",
        )
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


def remarks(parities: Sequence[ArtefactParity], missing: Sequence[Missing] = ()) -> list[tuple[str, Tone]]:
    """Each failure by itself; what has too few pictures in one sentence, since the reason is the same."""
    remarks = [
        (f"{one.name} on {one.engine}: {reason}.", _TONES[Result.FAIL])
        for one in parities
        if one.parity.result is Result.FAIL
        for reason in one.causes()
    ]
    remarks += [(f"{one.name} cannot run on {one.engine}: {one.reason}", _TONES[Result.FAIL]) for one in missing]
    open_ones = [one for one in parities if one.parity.result is Result.INCONCLUSIVE]
    if open_ones:
        needs = sorted({one.parity.images_needed or 0 for one in open_ones})
        span = f"about {needs[0]:,}" + (f" (for one of them {needs[-1]:,})" if len(needs) > 1 else "")
        remarks.append(
            (
                f"{len(open_ones)} of {len(parities)} are INCONCLUSIVE: nothing is wrong so far, but "
                f"{open_ones[0].parity.n} pictures cannot exclude a loss beyond the margin. It would take {span}.",
                _TONES[Result.INCONCLUSIVE],
            )
        )
    return remarks


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


def _model_card(run: Run, manifest: Manifest, parities: Sequence[ArtefactParity]) -> str:
    record, test = run.record, run.record.test
    accepted = ", ".join(manifest.policy.accepted())
    recall = "\n".join(
        f"| {label} | {'–' if share is None else f'{share:.1%}'} | {test.recall_ci95[label][0]:.1%} to "
        f"{test.recall_ci95[label][1]:.1%} |"
        for label, share in test.recall.items()
    )
    table = "\n".join(
        f"| {one.name} | {one.engine} | {one.parity.accuracy.candidate:.1%} | {one.parity.agreement:.1%} "
        f"| {one.parity.result.value} |"
        for one in parities
    )
    pictures = ", ".join(f"{count} {split.value}" for split, count in record.data.pictures.items())
    return f"""# Model card: bundle {manifest.bundle_id}

Classifies a picture of one fruit as {", ".join(manifest.labels)} (in ripeness order). Accepted by the bundle's own
policy: {accepted or "nothing"}.

- Backbone: MobileNetV2, alpha {record.config.alpha}; input {manifest.input.size_px} px RGB.
- Made: {manifest.created}, from the run `{run.folder.name}`, seed {record.config.seed}.
- Pictures: {pictures}, split by group.

## On held-out pictures of the same sources

Accuracy {test.accuracy:.1%} (95 %: {test.accuracy_ci95[0]:.1%} to {test.accuracy_ci95[1]:.1%}), balanced
{test.balanced_accuracy:.1%}.

| label | recall | 95 % interval |
|---|---|---|
{recall}

## Parity of the converted models: {manifest.result.value}

| artefact | engine | accuracy | agreement with Keras | result |
|---|---|---|---|---|
{table}

## Limits

Figures from the same sources say little about a new line: another light, camera or variety lowers them. Measure with
pictures of your own line (`ripeline check BUNDLE DATA`) before trusting them.
"""


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
