"""Space and time of a run: where each fruit was, what the line knew of it and did to it, and where that was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simulator.evidence import Evidence, Row
from simulator.exposures import exposures_read
from simulator.matching import Matched, Outcome, Stroke
from simulator.worst import Wrong

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_S = 12.0
CAPTION = (
    "A panel a lane. The camera sees the band below 0; the dotted line is the valve. An order that was never fired "
    "stands where its fruit passed the valve, with why. What went wrong is magenta."
)
_VERDICTS = {"ACCEPT": "#2e7d4f", "DIVERT": "#b3392f", "UNDECIDED": "#c98a1b"}
_WRONG, _INK, _TRUE, _FOLLOWED = "#c2007a", "#26323f", "#b9b1a8", "#8a94a0"
_RING: dict[str, Any] = {"marker": "o", "s": 120, "facecolors": "none", "edgecolors": _WRONG, "linewidths": 1.6}
_ORDER: dict[str, Any] = {"marker": "D", "s": 30, "facecolors": "none", "edgecolors": _WRONG, "linewidths": 1.4}


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What ties time to the belt's way in one run: `[n]` seconds and `[n]` mm, rising; and how far the camera sees."""

    times_s: npt.NDArray[np.float64]
    belt_mm: npt.NDArray[np.float64]
    length_mm: float

    def way_mm(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Way of the belt at `[m]` times."""
        return np.asarray(np.interp(times_s, self.times_s, self.belt_mm), np.float64)

    def passed_s(self, belt_mm: float) -> float:
        """When the belt had run so far; the run's first or last second where it never had."""
        return float(np.interp(belt_mm, self.belt_mm, self.times_s))

    def seen_s(self, place_mm: float) -> float:
        """When what lies at a place of the belt was in the middle of the picture."""
        return self.passed_s(place_mm - self.length_mm / 2)


def clockwork(evidence: Evidence) -> Clockwork | None:
    """From the traced views, and from the scene where it is known; None without two views that know the belt's way."""
    views = [view for view in evidence.tracks if view["belt_mm"] is not None]
    seen = {(view["captured_ns"], view["belt_mm"]) for view in views}
    if len(seen) < 2:
        return None
    belt = sorted(seen | _without_views(evidence, views))
    width_px = evidence.scene["scenario"]["camera"]["width_px"] if evidence.scene else 1000
    times_s, belt_mm = np.array(belt, np.float64).T
    return Clockwork(times_s / 1e9, belt_mm, width_px * evidence.mm_per_px)


def _without_views(evidence: Evidence, views: Sequence[Row]) -> set[tuple[float, float]]:
    """Time and way of the frames in which nothing was followed: what was missed is mostly in those."""
    exposures = exposures_read(evidence)
    if exposures is None:
        return set()
    at = {int(number): place for place, number in enumerate(exposures.numbers)}
    known = [(view, at[view["frame"]]) for view in views if view["frame"] in at]
    if not known:
        return set()
    # The run's clock and way begin elsewhere than the line's own.
    since_ns = int(np.median([view["captured_ns"] - exposures.stamped_ns[place] for view, place in known]))
    since_mm = float(np.median([view["belt_mm"] - exposures.way_mm[place] for view, place in known]))
    empty = ~np.isin(exposures.numbers, [view["frame"] for view in views])
    times_ns, ways_mm = exposures.stamped_ns[empty] + since_ns, exposures.way_mm[empty] + since_mm
    return set(zip(times_ns.tolist(), ways_mm.tolist(), strict=True))


def windows(wrong: Sequence[Wrong], clock: Clockwork, *, most: int) -> tuple[list[float], int]:
    """Beginnings of up to `most` windows that show errors, the worst first served, and how many errors none shows.

    Without errors it is the beginning of the run.
    """
    seen_s = [clock.seen_s(one.place_mm) for one in wrong if one.place_mm is not None]
    begins_s, latest_s = float(clock.times_s[0]), float(clock.times_s[-1]) - WINDOW_S
    starts: list[float] = []
    for at_s in seen_s:
        if len(starts) < most and not _inside(at_s, starts):
            starts.append(max(begins_s, min(latest_s, at_s - WINDOW_S / 3)))
    left_out = len(wrong) - sum(_inside(at_s, starts) for at_s in seen_s)
    return sorted(starts) or [begins_s], left_out


def lanes_of(evidence: Evidence) -> list[int]:
    """The lanes in which there is something to show, in order."""
    rows = [*evidence.truth, *evidence.decisions]
    return sorted({int(row.get("lane") or 0) for row in rows} | {int(one["ejector"]) for one in evidence.ejections})


def draw(
    figure: Figure,
    evidence: Evidence,
    matched: Matched,
    strokes: Sequence[Stroke],
    clock: Clockwork,
    *,
    wrong: Sequence[Wrong],
    start_s: float,
) -> None:
    """One window of at most `WINDOW_S` from `start_s` on, a panel a lane, with a legend under them."""
    lanes = lanes_of(evidence)
    panels = figure.subplots(len(lanes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, lane in zip(panels, lanes, strict=True):
        part = _of_lane(evidence, lane)
        outcomes = tuple(one for one in matched.outcomes if one.truth["lane"] == lane)
        acted = [one for one in strokes if one.action["ejector"] == lane]
        _draw_lane(axes, part, outcomes, acted, clock, wrong=wrong, start_s=start_s)
        axes.set_ylabel(f"lane {lane}\nplace, mm" if len(lanes) > 1 else "place along the line, mm")
    panels[-1].set_xlabel(f"seconds since the first {'view' if evidence.scene is None else 'picture'}")
    figure.legend(handles=_legend(valves=evidence.ejector is not None), loc="outside lower center", ncols=4, fontsize=8)


def _of_lane(evidence: Evidence, lane: int) -> Evidence:
    return replace(
        evidence,
        decisions=[one for one in evidence.decisions if (one.get("lane") or 0) == lane],
        tracks=[one for one in evidence.tracks if (one["lane"] or 0) == lane],
        firings=[one for one in evidence.firings if (one.get("ejector") or 0) == lane],
    )


def _draw_lane(
    axes: Axes,
    evidence: Evidence,
    outcomes: Sequence[Outcome],
    strokes: Sequence[Stroke],
    clock: Clockwork,
    *,
    wrong: Sequence[Wrong],
    start_s: float,
) -> None:
    ejector, begins_s = evidence.ejector, float(clock.times_s[0])
    far_mm = 90.0 + (ejector["at_mm"] if ejector else 100.0)
    end_s = min(start_s + WINDOW_S, float(clock.times_s[-1]))
    axes.set(xlim=(start_s - begins_s, end_s - begins_s), ylim=(-clock.length_mm - 10, far_mm))
    axes.axhspan(-clock.length_mm, 0, color="#f3f0ec", zorder=0)
    shown_s = np.linspace(start_s, end_s, 240)
    way_mm = clock.way_mm(shown_s)
    for one in outcomes:
        place_mm = way_mm - one.truth["position_mm"]
        visible = np.where((place_mm > -clock.length_mm) & (place_mm < far_mm), place_mm, np.nan)
        if np.isfinite(visible).any():
            axes.plot(shown_s - begins_s, visible, zorder=1, **_LINES[one.fate])
    verdict_of = {one["fruit_id"]: one["verdict"] for one in evidence.decisions}
    views = [view for view in _within(evidence.tracks, "captured_ns", start_s) if view["belt_mm"] is not None]
    axes.scatter(
        [view["captured_ns"] / 1e9 - begins_s for view in views],
        [view["belt_mm"] - view["position_mm"] for view in views],
        s=3,
        c=[_VERDICTS.get(verdict_of.get(view["fruit_id"], ""), _FOLLOWED) for view in views],
        zorder=2,
    )
    decisions = _within(evidence.decisions, "decided_ns", start_s)
    _marks(axes, decisions, clock, marker="^", s=34, c=_INK)
    wrong_ids = {one.decision["fruit_id"] for one in wrong if one.decision is not None}
    _marks(axes, [one for one in decisions if one["fruit_id"] in wrong_ids], clock, **_RING)
    if not ejector:
        return
    axes.axhline(ejector["at_mm"], color=_INK, linewidth=0.8, linestyle=":")
    acted = [one for one in strokes if start_s <= one.action["acted_ns"] / 1e9 <= end_s]
    axes.scatter(
        [one.action["acted_ns"] / 1e9 - begins_s for one in acted],
        [ejector["at_mm"]] * len(acted),
        marker="x",
        s=34,
        c=[_INK if one.hit_own and not one.hit_neighbour else _WRONG for one in acted],
        zorder=4,
    )
    for at_s, reason in _never_fired(evidence, clock):
        if start_s <= at_s <= end_s:
            axes.scatter([at_s - begins_s], [ejector["at_mm"]], zorder=4, **_ORDER)
            axes.annotate(
                reason, (at_s - begins_s, ejector["at_mm"]), (0, 7), textcoords="offset points", ha="center",
                fontsize=7, color=_WRONG, annotation_clip=True,
            )  # fmt: skip


_LINES: dict[str, dict[str, Any]] = {
    "found": {"color": _TRUE, "linewidth": 1.2},
    "unseen": {"color": _TRUE, "linewidth": 1.2, "linestyle": "--"},
    "missed": {"color": _WRONG, "linewidth": 2.2},
    "merged": {"color": _WRONG, "linewidth": 2.2, "linestyle": "--"},
}


def _legend(*, valves: bool) -> list[Artist]:
    from matplotlib.lines import Line2D

    def mark(label: str, marker: str, colour: str, size: float, *, hollow: bool = False) -> Line2D:
        face = "none" if hollow else colour
        return Line2D(
            [], [], linestyle="", marker=marker, markersize=size, color=colour, markerfacecolor=face, label=label
        )

    names = {"found": "true fruit", "unseen": "passed a blind camera", "missed": "missed", "merged": "merged"}
    shown = [Line2D([], [], label=names[fate], **style) for fate, style in _LINES.items()]
    shown += [mark(f"view of a fruit decided {verdict}", ".", colour, 6) for verdict, colour in _VERDICTS.items()]
    shown += [mark("view of what was never decided", ".", _FOLLOWED, 6)]
    shown += [mark("decision", "^", _INK, 6), mark("decision with an error", "o", _WRONG, 10, hollow=True)]
    if valves:
        shown += [mark("stroke on its fruit alone", "x", _INK, 6), mark("stroke on another or nothing", "x", _WRONG, 6)]
        shown += [mark("order never fired, and why", "D", _WRONG, 5, hollow=True)]
    return [*shown]


def _never_fired(evidence: Evidence, clock: Clockwork) -> list[tuple[float, str]]:
    """When the fruit of each order that was not fired passed the valve, or was decided about, in seconds; and why."""
    decided_s = {one["fruit_id"]: one["decided_ns"] / 1e9 for one in evidence.decisions}
    found = []
    for one in evidence.firings:
        planned_mm = one.get("planned_mm")
        at_s = decided_s.get(one["fruit_id"]) if planned_mm is None else clock.passed_s(planned_mm)
        if one["reason"] and at_s is not None:
            found.append((at_s, str(one["reason"])))
    return found


def _inside(at_s: float, starts: Sequence[float]) -> bool:
    return any(start <= at_s <= start + WINDOW_S for start in starts)


def _within(rows: Sequence[Row], when: str, start_s: float) -> list[Row]:
    return [row for row in rows if row["position_mm"] is not None and 0 <= row[when] / 1e9 - start_s <= WINDOW_S]


def _marks(axes: Axes, decisions: Sequence[Row], clock: Clockwork, **style: Any) -> None:
    """Decisions, each where its fruit was when it fell."""
    at_s = np.array([row["decided_ns"] for row in decisions], np.float64) / 1e9
    if len(at_s):
        places_mm = np.array([row["position_mm"] for row in decisions], np.float64)
        axes.scatter(at_s - clock.times_s[0], clock.way_mm(at_s) - places_mm, zorder=3, **style)
