"""The demo's page: one section a step, with pictures of what the step made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.cameras import open_camera
from edge_runtime.preprocess import InputSpec, to_model_input
from edge_runtime.records import Box, Image, Verdict
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Tile
from evaluation.picture import read_image
from simulator.evidence import read_evidence
from simulator.matching import match

_CROPS_A_LABEL = 6
_STILLS = 3
_SHOWN_ERRORS = 12


def write_page(folder: Path, commands: Mapping[str, str], documents: Mapping[str, dict[str, Any]]) -> Path:
    """Write `index.html` into the demo's folder.

    Args:
        folder: With the steps' outputs in `data`, `run`, `bundle`, `clip` and `line`.
        commands: What was typed, by step.
        documents: What each step printed with `--json`.
    """
    train, export, run, score = (documents[step] for step in ("train", "export", "run", "score"))
    counting, escapes = score["counting"], score["grading"]["escapes"]["k"]
    twice = counting["split"]["k"] + counting["doubled"]["k"]
    page = Page("From photographs to a sorting line", "Ripeline's demo, on simulated fruit")
    page.section("In short").key_figures(
        [
            KeyFigure("Test accuracy", f"{train['test']['accuracy']:.1%}", f"{train['test']['n']} held-out pictures"),
            KeyFigure("Parity", export["result"], "of the converted models with Keras", _tone(export["result"])),
            KeyFigure(
                "Fruit found",
                f"{counting['found']['k']} of {counting['true']}",
                f"{twice} twice, {counting['spurious']['k']} that were none",
            ),
            KeyFigure("Escapes", str(escapes), "bad fruit accepted", "good" if escapes == 0 else "warn"),
            KeyFigure(
                "One frame", f"{run['latency_ms']['frame']['p50']:.1f} ms", f"{run['artefact']} on {run['engine']}"
            ),
        ]
    )
    _pictures(page, folder / "data", commands["dataset"])
    _training(page, folder / "run", commands["train"])
    _export(page, export, commands["export"], commands["check"])
    _line(page, folder, commands, run)
    _verdicts(page, folder, commands["score"], score)
    file = folder / "index.html"
    page.write(file)
    return file


def _pictures(page: Page, data: Path, command: str) -> None:
    section = page.section("1. Pictures").command(command)
    for label in (data / "labels.txt").read_text("utf-8").split():
        files = sorted((data / label).glob("*.jpg"))
        chosen = files[:: max(1, len(files) // _CROPS_A_LABEL)][:_CROPS_A_LABEL]
        section.gallery([Tile(read_image(file), label) for file in chosen], f"{len(files)} of {label}")


def _training(page: Page, folder: Path, command: str) -> None:
    import matplotlib as mpl

    from train.course import curves
    from train.run_directory import read_history, read_run

    run = read_run(folder)
    section = page.section("2. Training").command(command)
    with mpl.rc_context(PLOT_STYLE):
        section.plot(
            curves(read_history(run), run.record.events),
            "A new head on the frozen backbone, then the last layers of the backbone at a hundredth of the rate.",
        )
    test = run.record.test
    section.table(
        ["label", "recall", *(f"taken for {label}" for label in run.record.labels)],
        [
            [label, "–" if test.recall[label] is None else f"{test.recall[label]:.1%}", *row]
            for label, row in zip(run.record.labels, test.confusion, strict=True)
        ],
        "On pictures of fruit that training never saw. More in run/report.html.",
    )


def _export(page: Page, export: dict[str, Any], command: str, check: str) -> None:
    section = page.section("3. Export and proof").command(command).command(check)
    section.table(
        ["artefact", "engine", "size", "accuracy", "agreement", "max |Δp|", "one image", "result"],
        [
            [
                one["name"],
                one["engine"],
                f"{one['bytes'] / 1e6:.2f} MB",
                f"{one['accuracy']:.1%}",
                f"{one['agreement']:.1%}",
                f"{one['max_abs_diff']:.1e}",
                f"{one['p50_ms']:.2f} ms",
                one["result"],
            ]
            for one in export["artefacts"]
        ],
        "Each converted model on each engine of this machine, against the Keras model. More in bundle/parity.html.",
    )
    if export["result"] == "INCONCLUSIVE":
        section.notice(
            "INCONCLUSIVE: nothing is wrong, but the held-out pictures are too few to exclude a loss of one point."
        )


def _line(page: Page, folder: Path, commands: Mapping[str, str], run: dict[str, Any]) -> None:
    section = page.section("4. On the belt").command(commands["clip"]).command(commands["run"])
    for index, image in _stills(folder / "line" / "annotated.mp4", run["frames"]["processed"]):
        section.picture(image, f"Frame {index}. A box takes the colour of its verdict once there is one.")
    section.table(
        ["stage", "median", "p99", "longest"],
        [
            [stage, *(f"{times[name]:.2f} ms" for name in ("p50", "p99", "max"))]
            for stage, times in run["latency_ms"].items()
        ],
        "Time of each stage, one frame. The whole recording is line/annotated.mp4.",
    )


def _verdicts(page: Page, folder: Path, command: str, score: dict[str, Any]) -> None:
    section = page.section("5. Verdicts against the truth").command(command)
    outcomes = match(read_evidence(folder / "line", folder / "clip")).outcomes
    found = [(one.truth["label"], one.decision) for one in outcomes if one.decision is not None]
    verdicts = Counter((label, decision["verdict"]) for label, decision in found)
    grading = score["grading"]
    section.table(
        ["true label", *Verdict],
        [
            [label, *(verdicts[label, verdict] for verdict in Verdict)]
            for label in sorted({label for label, _ in found})
        ],
        f"Label right for {grading['accuracy']['share'] or 0:.1%} of the fruit that were found; "
        f"{grading['escapes']['k']} bad fruit accepted, {grading['false_rejects']['k']} good ones diverted. "
        "Where each fruit and each verdict was on the belt, and when: line/score.html.",
    )
    true_label = {decision["fruit_id"]: label for label, decision in found}
    wrong = [decision for label, decision in found if decision["label"] != label]
    if not wrong:
        section.text("Every fruit got its true label.")
        return
    section.gallery(
        [
            Tile(
                crop,
                f"{true_label[one['fruit_id']]}, taken for {one['label']}",
                f"{one['verdict']}, {one['probabilities'][one['label']]:.0%}",
            )
            for one, crop in _crops(folder / "clip" / "clip.mp4", wrong[:_SHOWN_ERRORS])
        ],
        "Fruit that got another label than the true one, as last seen.",
    )


def _tone(result: str) -> Any:
    return {"PASS": "good", "INCONCLUSIVE": "warn"}.get(result, "bad")


def _stills(video: Path, frames: int) -> Iterator[tuple[int, Image]]:
    wanted = {frames * (place + 1) // (_STILLS + 1) for place in range(_STILLS)}
    for frame in open_camera(str(video)).frames():
        if frame.index in wanted:
            yield frame.index, frame.image


def _crops(video: Path, decisions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Image]]:
    """Each decision with its last view, cut out as the model sees it, larger; in the order of the recording."""
    spec = InputSpec(size_px=192)
    for frame in open_camera(str(video)).frames():
        for one in decisions:
            if one["last_frame"] == frame.index:
                yield one, to_model_input(frame.image, Box(*one["box_px"]), spec)
