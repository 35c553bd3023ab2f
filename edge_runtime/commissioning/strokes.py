"""Where the ejector stands and how late it acts, from marks that its strokes left on the sheet's ruler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.commissioning.lag import Trace, fit_lag

READING_MM = 0.5
"""How exactly a person reads the middle of a mark, standard deviation."""

LONGEST_LATENCY_MS = 400.0
WORST_LATENCY_ERROR_MS = 20.0

_STANDING_MM_S = 5.0
_AT_SPEED = 0.4
_STANDS_FOR_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke at the sheet.

    `position_mm` is where the sheet lies on the belt, as the encoder counts: the distance at which its zero leaves the
    picture. `ordered_mm` is the encoder's distance at the order. `towards` is 1 where the ruler grows with the belt, -1
    where it lies the other way round.
    """

    ordered_ns: int
    ordered_mm: float
    position_mm: float
    towards: int
    moving: bool


@dataclass(frozen=True, slots=True)
class EjectorPlace:
    """`at_mm` and `latency_ms` as in `line.toml`, with their standard errors; latency None where it cannot be told."""

    at_mm: float
    at_error_mm: float
    latency_ms: float | None
    latency_error_ms: float | None


class StrokePlan:
    """When to fire at the sheet: once each time that it passes the place where the ejector roughly is.

    A sheet that stops there is fired at standing, which tells the place; one that goes by is fired at moving, which
    tells the latency. While the belt brakes or starts nothing is fired.

    Args:
        near_mm: Where the ejector roughly stands, from the picture's downstream edge.
        reach_mm: How far off it may be, for a sheet that stops.
    """

    def __init__(self, near_mm: float, reach_mm: float) -> None:
        self._near_mm, self._reach_mm = near_mm, reach_mm
        self._fired_at: list[float] = []
        self._before: tuple[int, float] | None = None
        self._standing_ns = 0
        self._fastest_mm_s = 0.0

    def due(self, now_ns: int, belt_mm: float, sheets_mm: Sequence[float]) -> tuple[float, bool] | None:
        """Whether to fire now.

        Args:
            now_ns: The time.
            belt_mm: The encoder's distance now.
            sheets_mm: Positions of the sheets that have left the picture; one that was fired at is not fired at again.

        Returns:
            The position of the sheet to fire at and whether it moves.
        """
        before, self._before = self._before, (now_ns, belt_mm)
        if before is None or now_ns <= before[0]:
            return None
        speed_mm_s = (belt_mm - before[1]) / ((now_ns - before[0]) / 1e9)
        self._fastest_mm_s = max(self._fastest_mm_s, speed_mm_s)
        stands, runs = speed_mm_s < _STANDING_MM_S, speed_mm_s > _AT_SPEED * self._fastest_mm_s
        self._standing_ns = self._standing_ns + now_ns - before[0] if stands else 0
        for sheet_mm in sheets_mm:
            if any(abs(sheet_mm - fired) < self._reach_mm for fired in self._fired_at):
                continue
            gone_mm = belt_mm - sheet_mm - self._near_mm
            waited = self._standing_ns >= _STANDS_FOR_NS and abs(gone_mm) <= self._reach_mm
            if waited or (runs and 0 <= gone_mm <= self._reach_mm):
                self._fired_at.append(sheet_mm)
                return sheet_mm, not stands
        return None


def locate(strokes: Sequence[tuple[Stroke, float]], trace: Trace) -> EjectorPlace | None:
    """Fit place and latency to strokes and what was read on the ruler, millimetres.

    A stroke hits what is before the ejector a latency after its order: at + position - towards * reading is the way of
    the encoder at that time. Standing strokes tell the place, moving ones the latency; moving ones of clearly different
    speeds tell both.

    Args:
        strokes: At least one.
        trace: The encoder's way, millimetres.

    Returns:
        None where all strokes were made at one speed, of which place and latency cannot be told apart.
    """
    times = np.array([stroke.ordered_ns for stroke, _ in strokes], np.int64)
    hit_mm = np.array([stroke.position_mm - stroke.towards * read for stroke, read in strokes])
    standing = np.array([not stroke.moving for stroke, _ in strokes])
    place_mm = np.array([stroke.ordered_mm for stroke, _ in strokes]) - hit_mm
    at_error_mm = READING_MM / math.sqrt(max(1, standing.sum()))
    if standing.all():
        return EjectorPlace(float(place_mm.mean()), at_error_mm, None, None)
    found = fit_lag(
        trace,
        times,
        hit_mm,
        np.zeros(len(strokes), np.int64),
        between_ms=(-LONGEST_LATENCY_MS, 0.0),
        scale=1.0,
        least_noise_mm=READING_MM,
    )
    if found.lag_error_ms > WORST_LATENCY_ERROR_MS:
        return EjectorPlace(float(place_mm[standing].mean()), at_error_mm, None, None) if standing.any() else None
    at_mm, latency_ms = -found.offsets_mm[0], -found.lag_ms
    if not standing.any():
        since_ns = (times - trace.times_ns[0]).astype(np.float64) + 1e6 * latency_ms
        speeds_mm_ms = (trace.at(since_ns + 5e6) - trace.at(since_ns - 5e6)) / 10
        at_error_mm = found.lag_error_ms * float(speeds_mm_ms.mean())
    return EjectorPlace(at_mm, at_error_mm, latency_ms, found.lag_error_ms)
