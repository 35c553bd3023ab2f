"""The score for people: figures, diagrams that show the errors, pictures of the worst, and other runs beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_runtime.preprocess import InputSpec, to_model_input
from edge_runtime.records import Box, Image
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Section, Tile, Tone
from simulator.diagram import CAPTION, clockwork, draw, lanes_of, windows
from simulator.evidence import Evidence, Row
from simulator.matching import Matched, Stroke
from simulator.worst import Shown, Wrong

_STREAMS = {"kept": "kept", "thrown_out": "thrown out"}
_STROKES = {
    "hit_own": "hit their fruit",
    "hit_neighbour": "hit a neighbour",
    "hit_sparable": "one that they could have spared",
    "hit_nothing": "hit nothing",
    "late": "ordered too late",
}
_WINDOWS = 6
_CROP_PX = 240


def write_score_page(
    file: Path,
    evidence: Evidence,
    matched: Matched,
    strokes: Sequence[Stroke],
    figures: Row,
    *,
    wrong: Sequence[Wrong],
    shown: Sequence[Shown | None],
    beside: Mapping[str, Row],
) -> None:
    """Write `score.html`.

    Args:
        file: Where to.
        evidence: Of the run.
        matched: Decisions and truth put together.
        strokes: What the valves met.
        figures: The contents of `score.json`.
        wrong: All errors, the worst first.
        shown: Pictures of the first of them.
        beside: `score.json` of other runs, by name.
    """
    counting, grading, acting = figures["counting"], figures["grading"], figures["acting"]
    page = Page("Score of a line", str(evidence.summary.get("source", "")))
    short = page.section("In short").key_figures(
        [
            KeyFigure("Found", _of(counting["found"]), f"{counting['unseen']} unseen by the camera"),
            KeyFigure("Label right", _percent(grading["accuracy"]), _interval(grading["accuracy"])),
            KeyFigure("Escapes", _of(grading["escapes"]), "bad fruit accepted", _tone(grading["escapes"])),
            KeyFigure("False rejects", _of(grading["false_rejects"]), "good fruit diverted"),
            *([KeyFigure("Hit", _of(acting["hit_own"]), "of the strokes hit their fruit")] if acting else []),
        ]
    )
    for text in (figures.get("gate") or {}).get("failures", ()):
        short.notice(text, "bad")
    if beside:
        header, rows = comparison({"this run": figures, **beside})
        # Runs side by side: there are more figures than a page is wide.
        names, *columns = zip(header, *rows, strict=True)
        page.section("Beside other runs").table(
            [str(name) for name in ("", *names[1:])], [list(one) for one in columns]
        )
    _diagrams(page.section("Space and time"), evidence, matched, strokes, wrong)
    _worst(page.section("Worst errors"), evidence, wrong, shown)
    _tables(page, figures)
    page.write(file)


def comparison(scores: Mapping[str, Row]) -> tuple[list[str], list[list[object]]]:
    """Header and rows of the table that compares runs, from their `score.json`."""
    header = ["run", "fruit", "found", "merged", "extra", "identity F1", "label right", "escapes", "false rejects"]
    header += ["undecided", "cost", "yield", "hit", "error p99, mm", "late"]
    rows: list[list[object]] = []
    for name, one in scores.items():
        counting, grading, acting = one["counting"], one["grading"], one["acting"]
        extra = sum(counting[kind]["k"] for kind in ("split", "doubled", "spurious"))
        place = (acting or {}).get("position_error_mm")
        rows.append(
            [
                name,
                counting["true"],
                _percent(counting["found"]),
                counting["merged"]["k"],
                extra,
                f"{one['identity']['f1']:.3f}" if one.get("identity") else "–",
                f"{_percent(grading['accuracy'])} ({_interval(grading['accuracy'])})",
                *(_percent(grading[kind]) for kind in ("escapes", "false_rejects", "undecided")),
                f"{grading['cost']['mean']:.3f}" if grading["cost"] else "–",
                _percent(one["streams"]["yield"]),
                _percent(acting["hit_own"]) if acting else "–",
                f"{place['p99']:.1f}" if place else "–",
                acting["late"]["k"] if acting else "–",
            ]
        )
    return header, rows


def _tables(page: Page, figures: Row) -> None:
    counting, grading, acting = figures["counting"], figures["grading"], figures["acting"]
    names = ("found", "missed", "merged", "split", "doubled", "spurious", "count_error")
    header = ["", "fruit", "share", "95 %"]
    section = page.section("Counting").table(header, [_row(name.replace("_", " "), counting[name]) for name in names])
    if (identity := figures["identity"]) is not None:
        section.text(
            f"Identity F1 {identity['f1']:.4f} (precision {identity['precision']:.4f}, "
            f"recall {identity['recall']:.4f}), {identity['switches']} switches in {identity['frames']} frames."
        )
    grades = ("accuracy", "two_step_errors", "escapes", "false_rejects", "undecided")
    rows = [_row(name.replace("_", " "), grading[name]) for name in grades]
    rows += [_row(f"recall of {label}", one) for label, one in grading["recall"].items()]
    section = page.section("Grading").table(header, rows)
    if (cost := grading["cost"]) is not None:
        ends = f" ({cost['ci95'][0]:.4f} – {cost['ci95'][1]:.4f})" if cost["ci95"] else ""
        section.text(f"A fruit costs {cost['mean']:.4f}{ends}, by the cost table of the run.")
    if (promised := grading["promised_error"]) is not None:
        section.text(f"By their own probabilities {promised['mean']:.1%} of the labels were to be wrong.")
    for name in ("label", "lane", "minute"):
        _by(page.section(f"By {name}"), name, figures[f"by_{name}"])
    streams = figures["streams"]
    section = page.section("Where fruit went").text(f"Good fruit kept: {_with_interval(streams['yield'])}")
    labels = sorted({label for name in _STREAMS for label in streams[name]["mix"]})
    section.table(
        ["", "of all fruit", *(f"of it {label}" for label in labels)],
        [
            [title, _with_interval(streams[name]["share_of_all"])]
            + [
                _with_interval(streams[name]["mix"][label]) if label in streams[name]["mix"] else "–"
                for label in labels
            ]
            for name, title in _STREAMS.items()
        ],
    )
    if acting:
        page.section("Acting").table(
            ["", "strokes", "share", "95 %"], [_row(title, acting[kind]) for kind, title in _STROKES.items()]
        )
    _place_and_time(page.section("Errors of place and time"), acting, figures["timing"])


def _place_and_time(section: Section, acting: Row | None, timing: Row) -> None:
    spreads = [("position error, mm", acting["position_error_mm"] if acting else None, 2)]
    spreads += [
        (name.replace("_ms", ", ms").replace("_", " "), timing[name], 1)
        for name in ("capture_to_decision_ms", "capture_to_fire_ms")
    ]
    section.table(
        ["", "p50", "p99", "p99.9", "largest"],
        [
            [name, *(f"{one[key]:.{digits}f}" for key in ("p50", "p99", "p99.9", "max"))]
            for name, one, digits in spreads
            if one
        ],
    )
    decided = timing["capture_to_decision_ms"]
    if decided and decided["max"] == 0:
        section.text("In virtual time a decision falls with its picture: the runtime's own work takes no time.")
    if (frames := timing["frames"]) is not None:
        section.text(
            f"{frames['read']} frames, of which {frames['processed']} processed and {frames['dropped']} dropped."
        )


def _by(section: Section, name: str, groups: Mapping[str, Row]) -> None:
    header = [name, "true", "found", "count error", "accuracy", "escapes", "false rejects", "hit their fruit"]
    section.table(
        header,
        [
            [
                group,
                one["counting"]["true"],
                _with_interval(one["counting"]["found"]),
                _with_interval(one["counting"]["count_error"]),
                _with_interval(one["grading"]["accuracy"]),
                _with_interval(one["grading"]["escapes"]),
                _with_interval(one["grading"]["false_rejects"]),
                _with_interval(one["acting"]["hit_own"]) if one["acting"] else "–",
            ]
            for group, one in groups.items()
        ],
    )


def _diagrams(
    section: Section, evidence: Evidence, matched: Matched, strokes: Sequence[Stroke], wrong: Sequence[Wrong]
) -> None:
    """Windows of time around the errors, or the beginning if there are none."""
    clock = clockwork(evidence)
    if clock is None:
        section.text(_no_diagram(evidence))
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure

    starts, left_out = windows(wrong, clock, most=_WINDOWS)
    for start_s in starts:
        with mpl.rc_context(PLOT_STYLE):
            figure = Figure(figsize=(10, 1.6 + max(3.2, 2.2 * len(lanes_of(evidence)))))
            draw(figure, evidence, matched, strokes, clock, wrong=wrong, start_s=start_s)
            section.plot(figure, CAPTION if start_s == starts[0] else "", "Belt position against time")
    if left_out:
        section.text(f"{left_out} of {len(wrong)} errors lie outside these windows, which hold the worst.")


def _no_diagram(evidence: Evidence) -> str:
    if not evidence.truth and not evidence.decisions:
        return "No diagram: no fruit was on the belt, and none was seen."
    if not evidence.decisions and not evidence.tracks:
        return "No diagram: the run saw no fruit."
    if not evidence.tracks:
        return "No diagram: no views were traced. Run with --trace to have one."
    return "No diagram: the views carry no belt positions. Run with an encoder to have one."


def _worst(section: Section, evidence: Evidence, wrong: Sequence[Wrong], shown: Sequence[Shown | None]) -> None:
    if not wrong:
        section.text(_no_errors(evidence))
        return
    tiles = [
        Tile(_around(picture), one.what, f"frame {one.frame}")
        for one, picture in zip(wrong, shown, strict=False)
        if picture is not None
    ]
    if tiles:
        section.gallery(
            tiles, "White frame: the true fruit. Yellow corners: what was decided about. Whole frames lie in worst/."
        )
    else:
        header = ["what", "fruit", "frame"]
        section.table(header, [[one.what, one.as_dict()["fruit_id"], one.frame] for one in wrong[: len(shown)]])


def _no_errors(evidence: Evidence) -> str:
    if not evidence.truth:
        return "None: there was no fruit, and none was made up."
    if not evidence.decisions:
        return "None: no fruit passed in sight of the camera."
    return "None: every fruit in sight was found once, got its label and, if it had to, its stroke."


def _around(shown: Shown) -> Image:
    """A square of three times the box."""
    x, y, w, h = shown.box.as_list()
    box = Box(x - w, y - h, 3 * w, 3 * h)
    return np.asarray(to_model_input(shown.frame, box, InputSpec(size_px=_CROP_PX)), np.uint8)


def _row(name: str, one: Row) -> list[str]:
    return [name, f"{one['k']} of {one['n']}", _percent(one), _interval(one)]


def _of(one: Row) -> str:
    return f"{one['k']} of {one['n']}"


def _percent(one: Row) -> str:
    return "–" if one["share"] is None else f"{one['share']:.1%}"


def _interval(one: Row) -> str:
    return "–" if one["ci95"] is None else f"{one['ci95'][0]:.1%} – {one['ci95'][1]:.1%}"


def _with_interval(one: Row) -> str:
    if one["share"] is None:
        return "–"
    if one["ci95"] is None:
        return _of(one)
    low, high = (100 * end for end in one["ci95"])
    return f"{_of(one)}: {_percent(one)} ({low:.1f}\u00a0–\u00a0{high:.1f})"


def _tone(one: Row) -> Tone:
    return "good" if one["k"] == 0 else "warn"
