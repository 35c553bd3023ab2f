"""Space and time of a run: where each fruit was, what the line knew of it and did to it, and where that was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simulator.evidence import Evidence, Row
from simulator.matching import Matched, Stroke
from simulator.worst import Wrong

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_S = 12.0
CAPTION = (
    "Grey lines: true fruit; red where one has no decision of its own. Dots: where the tracker saw it, coloured by the "
    "verdict. Triangle: decided; in a red ring, something went wrong with it. Cross on the dotted line: a valve's "
    "stroke; red if it missed its fruit or met another. The camera sees the band below 0."
)
_COLOURS = {"ACCEPT": "#2e7d4f", "DIVERT": "#b3392f", "UNDECIDED": "#c98a1b"}
_WRONG, _STROKE, _TRUE = "#c62828", "#7b1fa2", "#d5cfc8"


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What ties time to the belt's way in one run: `[n]` seconds and `[n]` mm, rising; and how far the camera sees."""

    times_s: npt.NDArray[np.float64]
    belt_mm: npt.NDArray[np.float64]
    length_mm: float

    def way_mm(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Way of the belt at `[m]` times."""
        return np.asarray(np.interp(times_s, self.times_s, self.belt_mm), np.float64)

    def seen_s(self, place_mm: float) -> float:
        """When what lies at a place of the belt was in the middle of the picture."""
        return float(np.interp(place_mm - self.length_mm / 2, self.belt_mm, self.times_s))


def clockwork(evidence: Evidence) -> Clockwork | None:
    """From the traced views; None without two of them on a belt with an encoder."""
    belt = sorted({(view["captured_ns"], view["belt_mm"]) for view in evidence.tracks if view["belt_mm"] is not None})
    if len(belt) < 2:
        return None
    width_px = evidence.scene["scenario"]["camera"]["width_px"] if evidence.scene else 1000
    times_s, belt_mm = np.array(belt, np.float64).T
    return Clockwork(times_s / 1e9, belt_mm, width_px * evidence.mm_per_px)


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


def draw(
    axes: Axes,
    evidence: Evidence,
    matched: Matched,
    strokes: Sequence[Stroke],
    clock: Clockwork,
    *,
    wrong: Sequence[Wrong],
    start_s: float,
) -> None:
    """One window of `WINDOW_S`, from `start_s` on."""
    ejector = evidence.ejector
    far_mm = 40.0 + (ejector["at_mm"] if ejector else 100.0)
    end_s = start_s + WINDOW_S
    shown_s = np.linspace(start_s, min(end_s, float(clock.times_s[-1])), 240)
    way_mm = clock.way_mm(shown_s)
    for one in matched.outcomes:
        place_mm = way_mm - one.truth["position_mm"]
        visible = np.where((place_mm > -clock.length_mm) & (place_mm < far_mm), place_mm, np.nan)
        lost = one.decision is None
        if np.isfinite(visible).any():
            axes.plot(shown_s, visible, color=_WRONG if lost else _TRUE, linewidth=2.2 if lost else 1.2, zorder=1)
    verdict_of = {one["fruit_id"]: one["verdict"] for one in evidence.decisions}
    views = [view for view in _within(evidence.tracks, "captured_ns", start_s) if view["belt_mm"] is not None]
    axes.scatter(
        [view["captured_ns"] / 1e9 for view in views],
        [view["belt_mm"] - view["position_mm"] for view in views],
        s=3,
        c=[_COLOURS.get(verdict_of.get(view["fruit_id"], ""), "#777777") for view in views],
        zorder=2,
    )
    decisions = _within(evidence.decisions, "decided_ns", start_s)
    _marks(axes, decisions, clock, marker="^", s=34, c="#26323f")
    wrong_ids = {one.decision["fruit_id"] for one in wrong if one.decision is not None}
    rings = [one for one in decisions if one["fruit_id"] in wrong_ids]
    _marks(axes, rings, clock, marker="o", s=120, facecolors="none", edgecolors=_WRONG, linewidths=1.6)
    if ejector:
        axes.axhline(ejector["at_mm"], color=_STROKE, linewidth=0.8, linestyle=":")
        acted = [one for one in strokes if start_s <= one.action["acted_ns"] / 1e9 <= end_s]
        axes.scatter(
            [one.action["acted_ns"] / 1e9 for one in acted],
            [ejector["at_mm"]] * len(acted),
            marker="x",
            s=34,
            c=[_STROKE if one.hit_own and not one.hit_neighbour else _WRONG for one in acted],
            zorder=4,
        )
    axes.axhspan(-clock.length_mm, 0, color="#f3f0ec", zorder=0)
    axes.set(xlim=(start_s, end_s), ylim=(-clock.length_mm - 10, far_mm))
    axes.set(xlabel="time, s", ylabel="place along the line, mm")


def _inside(at_s: float, starts: Sequence[float]) -> bool:
    return any(start <= at_s <= start + WINDOW_S for start in starts)


def _within(rows: Sequence[Row], when: str, start_s: float) -> list[Row]:
    return [row for row in rows if row["position_mm"] is not None and 0 <= row[when] / 1e9 - start_s <= WINDOW_S]


def _marks(axes: Axes, decisions: Sequence[Row], clock: Clockwork, **style: Any) -> None:
    """Decisions, each where its fruit was when it fell."""
    at_s = np.array([row["decided_ns"] for row in decisions], np.float64) / 1e9
    if len(at_s):
        places_mm = np.array([row["position_mm"] for row in decisions], np.float64)
        axes.scatter(at_s, clock.way_mm(at_s) - places_mm, zorder=3, **style)
