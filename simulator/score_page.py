"""The score for people: figures, a space-time diagram that shows each error, and pictures of the worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.preprocess import InputSpec, to_model_input
from edge_runtime.records import Box
from evaluation.page import PLOT_STYLE, KeyFigure, Page, Section, Tile, Tone
from simulator.evidence import Evidence, Row
from simulator.line import scene_line
from simulator.line_score import Matched, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOW_S = 12.0
_WINDOWS = 3
_WORST = 8
_CROP_PX = 192
_COLOURS = {"ACCEPT": "#2e7d4f", "DIVERT": "#b3392f", "UNDECIDED": "#c98a1b"}


def write_score_page(file: Path, evidence: Evidence, matched: Matched, figures: Row, said: Sequence[str]) -> None:
    """Write `score.html`.

    Args:
        file: Where to.
        evidence: Of the run.
        matched: Decisions and truth put together.
        figures: `line_score.score`.
        said: What a gate said no to.
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
    for text in said:
        short.notice(text, "bad")
    _diagrams(page.section("Space and time"), evidence, matched)
    _worst(page, evidence, matched)
    _tables(page, figures)
    page.write(file)


def _tables(page: Page, figures: Row) -> None:
    counting, grading, acting, timing = (figures[name] for name in ("counting", "grading", "acting", "timing"))
    names = ("found", "missed", "merged", "split", "doubled", "spurious")
    page.section("Counting").table(["", "fruit", "share", "95 %"], [_row(name, counting[name]) for name in names])
    rows = [_row(f"recall of {label}", one) for label, one in grading["recall"].items()]
    grades = ("accuracy", "two_step_errors", "escapes", "false_rejects", "undecided")
    page.section("Grading").table(
        ["", "fruit", "share", "95 %"], [*(_row(name.replace("_", " "), grading[name]) for name in grades), *rows]
    )
    for name in ("label", "lane", "minute"):
        page.section(f"By {name}").table(
            [name, "true", "found", "accuracy", "escapes", "false rejects"],
            [
                [
                    group,
                    one["counting"]["true"],
                    _percent(one["counting"]["found"]),
                    _percent(one["grading"]["accuracy"]),
                    _of(one["grading"]["escapes"]),
                    _of(one["grading"]["false_rejects"]),
                ]
                for group, one in figures[f"by_{name}"].items()
            ],
        )
    streams = page.section("Where fruit went")
    for name, stream in figures["streams"].items():
        mix = ", ".join(f"{label} {_percent(one)}" for label, one in stream["mix"].items())
        streams.text(f"{name.replace('_', ' ')}: {_of(stream['share_of_all'])}; {mix or 'nothing'}")
    if acting:
        strokes = ("hit_own", "hit_neighbour", "hit_nothing", "late")
        page.section("Acting").table(
            ["", "strokes", "share", "95 %"], [_row(name.replace("_", " "), acting[name]) for name in strokes]
        )
    spreads = [("position error, mm", acting["position_error_mm"] if acting else None)]
    spreads += [(name.replace("_", " "), timing[name]) for name in ("capture_to_decision_ms", "capture_to_fire_ms")]
    page.section("Errors of place and time").table(
        ["", "p50", "p99", "p99.9", "largest"],
        [[name, *(one[key] for key in ("p50", "p99", "p99.9", "max"))] for name, one in spreads if one],
    )


def _diagrams(section: Section, evidence: Evidence, matched: Matched) -> None:
    """Windows of time around the errors, or the beginning if there are none."""
    belt = sorted({(view["captured_ns"], view["belt_mm"]) for view in evidence.tracks if view["belt_mm"] is not None})
    if len(belt) < 2:
        section.text("No diagram: run with --trace and an encoder to have one.")
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure

    times_s, belt_mm = np.array([time_ns for time_ns, _ in belt]) / 1e9, np.array([mm for _, mm in belt])
    length_mm = evidence.scene["scenario"]["camera"]["width_px"] * evidence.mm_per_px if evidence.scene else 400.0
    for start_s in _windows(matched, times_s, belt_mm, length_mm):
        with mpl.rc_context(PLOT_STYLE):
            figure = Figure(figsize=(10, 4.4))
            _diagram(figure.subplots(), evidence, matched, (times_s, belt_mm, length_mm), start_s)
            section.plot(
                figure,
                "Grey: where each true fruit was. Dots: where the tracker saw it, coloured by the verdict. "
                "Triangle: decided. Cross: the valve's stroke. Red line: no decision of its own. "
                "The camera sees the band below 0.",
                "Belt position against time",
            )


def _windows(matched: Matched, times_s: Any, belt_mm: Any, length_mm: float) -> list[float]:
    wrong_mm = [one.truth["position_mm"] for one in matched.outcomes if _badness(one) > 0]
    wrong_mm += [one["position_mm"] for _, one in matched.spare if one["position_mm"] is not None]
    starts: list[float] = []
    for place_mm in wrong_mm:
        seen_s = float(np.interp(place_mm - length_mm / 2, belt_mm, times_s))
        if all(not start <= seen_s <= start + _WINDOW_S for start in starts):
            starts.append(max(float(times_s[0]), seen_s - _WINDOW_S / 3))
    return sorted(starts[:_WINDOWS]) or [float(times_s[0])]


def _diagram(axes: Axes, evidence: Evidence, matched: Matched, belt: tuple[Any, Any, float], start_s: float) -> None:
    times_s, belt_mm, length_mm = belt
    ejector = evidence.ejector
    far_mm = 40.0 + (ejector["at_mm"] if ejector else 100.0)
    shown = np.linspace(start_s, min(start_s + _WINDOW_S, float(times_s[-1])), 240)
    way_mm = np.interp(shown, times_s, belt_mm)
    for one in matched.outcomes:
        place_mm = way_mm - one.truth["position_mm"]
        visible = np.where((place_mm > -length_mm) & (place_mm < far_mm), place_mm, np.nan)
        lost = one.decision is None
        axes.plot(shown, visible, color="#c62828" if lost else "#d5cfc8", linewidth=2.2 if lost else 1.2, zorder=1)
    verdict_of = {one["fruit_id"]: one["verdict"] for one in evidence.decisions}
    views = [view for view in evidence.tracks if start_s <= view["captured_ns"] / 1e9 <= start_s + _WINDOW_S]
    views = [view for view in views if view["position_mm"] is not None and view["belt_mm"] is not None]
    axes.scatter(
        [view["captured_ns"] / 1e9 for view in views],
        [view["belt_mm"] - view["position_mm"] for view in views],
        s=3,
        c=[_COLOURS.get(verdict_of.get(view["fruit_id"], ""), "#777777") for view in views],
        zorder=2,
    )
    _marks(axes, evidence.decisions, "decided_ns", times_s, belt_mm, (start_s, "^", "#26323f"))
    fruit = {one["fruit_id"]: one for one in evidence.decisions}
    fired = [
        one | {"position_mm": fruit[one["fruit_id"]]["position_mm"]} for one in evidence.firings if one["fired_ns"]
    ]
    _marks(axes, fired, "fired_ns", times_s, belt_mm, (start_s, "x", "#7b1fa2"))
    if ejector:
        axes.axhline(ejector["at_mm"], color="#7b1fa2", linewidth=0.8, linestyle=":")
    axes.axhspan(-length_mm, 0, color="#f3f0ec", zorder=0)
    axes.set(xlim=(start_s, start_s + _WINDOW_S), ylim=(-length_mm - 10, far_mm))
    axes.set(xlabel="time, s", ylabel="place along the line, mm")


def _marks(
    axes: Axes, rows: Sequence[Row], when: str, times_s: Any, belt_mm: Any, style: tuple[float, str, str]
) -> None:
    start_s, marker, colour = style
    inside = [
        row for row in rows if start_s <= row[when] / 1e9 <= start_s + _WINDOW_S and row["position_mm"] is not None
    ]
    at_s = np.array([row[when] / 1e9 for row in inside])
    if len(at_s):
        place_mm = np.interp(at_s, times_s, belt_mm) - np.array([row["position_mm"] for row in inside])
        axes.scatter(at_s, place_mm, marker=marker, s=34, c=colour, zorder=3)


def _worst(page: Page, evidence: Evidence, matched: Matched) -> None:
    wrong = sorted((one for one in matched.outcomes if _badness(one) > 0), key=_badness, reverse=True)[:_WORST]
    if not wrong:
        page.section("Worst errors").text("None: every fruit was found and got its label.")
        return
    section = page.section("Worst errors")
    if not evidence.scene or not evidence.scene["drawn"]:
        section.table(
            ["fruit", "label", "what"], [[one.truth["fruit_id"], one.truth["label"], _what(one)] for one in wrong]
        )
        return
    line = scene_line(evidence.scene)
    tiles = []
    for one in wrong:
        frame = (
            one.decision["last_frame"] if one.decision else (one.truth["first_frame"] + one.truth["last_frame"]) // 2
        )
        fruit = line.world.fruits[one.truth["fruit_id"]]
        x_px, y_px = line.world.centre_px(fruit, float(line.world.shutter.belt_mm[frame]))
        width_px, height_px = one.truth["size_px"]
        box = Box(x_px - width_px, y_px - height_px, 2 * width_px, 2 * height_px)
        crop = to_model_input(line.renderer.render(frame), box, InputSpec(size_px=_CROP_PX))
        tiles.append(Tile(crop, f"{one.truth['label']}: {_what(one)}", f"fruit {fruit.fruit_id}, frame {frame}"))
    section.gallery(tiles, "Drawn again from the scenario, without the camera's faults.")


def _badness(outcome: Outcome) -> float:
    """0 for a fruit that was found and labelled, more for what costs more."""
    if outcome.decision is None:
        return {"missed": 3.0, "merged": 2.5}.get(outcome.fate, 0.0)
    if outcome.decision["label"] == outcome.truth["label"]:
        return 0.0
    return 1.0 + float(outcome.decision["probabilities"][outcome.decision["label"]])


def _what(outcome: Outcome) -> str:
    if outcome.decision is None:
        return outcome.fate
    return f"taken for {outcome.decision['label']}, {outcome.decision['verdict']}"


def _row(name: str, one: Row) -> list[str]:
    return [name, f"{one['k']} of {one['n']}", _percent(one), _interval(one)]


def _of(one: Row) -> str:
    return f"{one['k']} of {one['n']}"


def _percent(one: Row) -> str:
    return "–" if one["share"] is None else f"{one['share']:.1%}"


def _interval(one: Row) -> str:
    return "–" if one["ci95"] is None else f"{one['ci95'][0]:.1%} – {one['ci95'][1]:.1%}"


def _tone(one: Row) -> Tone:
    return "good" if one["k"] == 0 else "warn"
