"""From where the marker was seen, and what the encoder said, to the figures of a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.commissioning.lag import Floats, Lag, Trace, fit_lag
from edge_runtime.commissioning.passes import Sighting, Travel, ruler_sign, travel
from edge_runtime.commissioning.strokes import EjectorPlace, Stroke, locate

LONGEST_DELAY_MS = 500.0
LEAST_SIGHTINGS = 8
_MOVING_MM_S = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """A stroke as it was ordered: at what time, at which place of the sheet, and what was read; None without a mark."""

    ordered_ns: int
    sheet_mm: float
    moving: bool
    read_mm: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; None is what could not be.

    `lag` is the camera's against the encoder, its `scale` the belt millimetres for one unit of the encoder.
    `sheets_mm` are the places of the marker in each pass: the encoder's distance, in millimetres, at which its centre
    leaves the picture. `speeds_mm_s` are the slowest and the fastest at which it was seen to move.
    """

    travel: Travel | None = None
    speeds_mm_s: tuple[float, float] | None = None
    lag: Lag | None = None
    sheets_mm: tuple[float, ...] = ()
    ejector: EjectorPlace | None = None


def measure(
    sightings: Sequence[Sighting], picture_px: tuple[int, int], trace: Trace | None, orders: Sequence[Order] = ()
) -> Figures:
    """Fit what there is to fit.

    Args:
        sightings: Of the marker, in order of time.
        picture_px: Width and height.
        trace: The encoder's way in its own units, from well before the first sighting to well after the last order;
            None without an encoder.
        orders: Strokes at the sheet.
    """
    if trace is not None:
        # Only what the trace reaches, however late it may have been stamped.
        begun_ns = int(trace.times_ns[0]) + round(1e6 * LONGEST_DELAY_MS)
        reached = [each for each in sightings if each.time_ns >= begun_ns]
        sightings = reached if len(reached) >= LEAST_SIGHTINGS else sightings
    way = travel(sightings, picture_px)
    if way is None:
        return Figures()
    times = np.array([each.time_ns for each in sightings], np.int64)
    speeds = _speeds(times, way)
    if trace is None or len(sightings) < LEAST_SIGHTINGS:
        return Figures(way, speeds)
    lag = fit_lag(trace, times, way.seen_mm, way.groups, between_ms=(-50.0, LONGEST_DELAY_MS))
    in_mm = Trace(trace.times_ns, trace.way_mm * lag.scale)
    left_mm = in_mm.at(times - trace.times_ns[0] - 1e6 * lag.lag_ms) + way.length_mm - way.seen_mm
    passes = range(int(way.groups[-1]) + 1)
    sheets = tuple(float(np.median(left_mm[way.groups == number])) for number in passes)
    signs = [ruler_sign(sightings[int(np.argmax(way.groups == number))], way.direction) for number in passes]
    strokes = [_stroke(order, in_mm, sheets, signs) for order in orders if order.read_mm is not None]
    return Figures(way, speeds, lag, sheets, locate(strokes, in_mm) if strokes else None)


def _stroke(order: Order, in_mm: Trace, sheets_mm: Sequence[float], signs: Sequence[int]) -> tuple[Stroke, float]:
    """The order with the sheet's place as it is known in the end, and what was read."""
    assert order.read_mm is not None
    number = int(np.argmin([abs(place - order.sheet_mm) for place in sheets_mm]))
    counted = float(in_mm.at(np.array([float(order.ordered_ns - in_mm.times_ns[0])]))[0])
    return Stroke(order.ordered_ns, counted, sheets_mm[number], signs[number], order.moving), order.read_mm


def _speeds(times_ns: npt.NDArray[np.int64], way: Travel) -> tuple[float, float] | None:
    """Slowest and fastest, leaving out a tenth at both ends: frames in which it started or stopped."""
    same: npt.NDArray[np.bool_] = np.diff(way.groups) == 0
    speeds: Floats = (np.diff(way.seen_mm) / (np.diff(times_ns) / 1e9))[same]
    moving = speeds[speeds > _MOVING_MM_S]
    if len(moving) == 0:
        return None
    slow, fast = np.percentile(moving, (10, 90))
    return float(slow), float(fast)
