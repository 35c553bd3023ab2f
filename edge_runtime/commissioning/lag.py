"""How late one record of the belt's way is against another: the camera's delay, and the ejector's latency."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.ports import Encoder

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

_GRID_MS = 4.0
_FINEST_MS = 0.02


@dataclass(frozen=True, slots=True)
class Trace:
    """A way over time: `times_ns` `[n]` rising, `way_mm` `[n]`; linear between."""

    times_ns: Times
    way_mm: Floats

    def at(self, times_ns: Floats) -> Floats:
        """The way at `[m]` times, counted from the first one; at its ends where it does not reach."""
        return np.interp(times_ns, (self.times_ns - self.times_ns[0]).astype(np.float64), self.way_mm)


@dataclass(frozen=True, slots=True)
class Lag:
    """`seen = offset[group] + scale * way(time - lag)`, fitted.

    `lag_error_ms` and `scale_error` are standard errors; infinite where the record cannot tell, as at constant speed.
    `rms_mm` is the root mean square of what the fit leaves.
    """

    lag_ms: float
    scale: float
    offsets_mm: tuple[float, ...]
    lag_error_ms: float
    scale_error: float
    rms_mm: float


def sampled(encoder: Encoder, first_ns: int, last_ns: int, *, every_ms: float = 2.0) -> Trace | None:
    """An encoder's way between two times; None where it has no word on them."""
    times = np.arange(first_ns, last_ns + 1, round(1e6 * every_ms), dtype=np.int64)
    ways = [(int(time), way) for time in times if (way := encoder.position_mm(int(time))) is not None]
    if len(ways) < 2:
        return None
    return Trace(np.array([time for time, _ in ways], np.int64), np.array([way for _, way in ways], np.float64))


def fit_lag(
    trace: Trace,
    times_ns: Times,
    seen_mm: Floats,
    groups: npt.NDArray[np.int64],
    *,
    between_ms: tuple[float, float],
    scale: float | None = None,
    least_noise_mm: float = 0.02,
) -> Lag:
    """Least squares over the lag, and for each lag over the rest, which is linear (variable projection, Golub 1973).

    Args:
        trace: The way that is on time.
        times_ns: `[n]`, stamps of what is late.
        seen_mm: `[n]`, its ways; only differences within a group count.
        groups: `[n]`, 0, 1, ...: each has an offset of its own.
        between_ms: Where the lag is looked for.
        scale: Known scale of the trace; None fits it.
        least_noise_mm: Standard deviation of `seen_mm` at least, for the errors.

    Returns:
        The fit; with errors of infinity where there is nothing to go by.
    """
    since_ns = (times_ns - trace.times_ns[0]).astype(np.float64)
    offsets = np.eye(int(groups.max()) + 1)[groups]

    def solve(lag_ms: float) -> tuple[float, Floats, Floats]:
        way = trace.at(since_ns - 1e6 * lag_ms)
        design = offsets if scale is not None else np.column_stack([offsets, way])
        wanted = seen_mm - scale * way if scale is not None else seen_mm
        found, *_ = np.linalg.lstsq(design, wanted, rcond=None)
        return float(np.sum((wanted - design @ found) ** 2)), found, design

    lags = np.arange(between_ms[0], between_ms[1] + _GRID_MS / 2, _GRID_MS)
    best = float(lags[int(np.argmin([solve(float(lag))[0] for lag in lags]))])
    step = _GRID_MS
    while step > _FINEST_MS:
        step /= 2
        best = min((best - step, best, best + step), key=lambda lag: solve(lag)[0])
    squares, found, design = solve(best)
    own_scale = scale if scale is not None else float(found[-1])
    freedom = max(1, len(seen_mm) - design.shape[1] - 1)
    noise = max(math.sqrt(squares / freedom), least_noise_mm)
    slope = own_scale * (trace.at(since_ns - 1e6 * (best - 1)) - trace.at(since_ns - 1e6 * (best + 1))) / 2
    lag_error = _error(noise, slope, design)
    scale_error = 0.0 if scale is not None else _error(noise, design[:, -1], np.column_stack([offsets, slope]))
    return Lag(
        best,
        own_scale,
        tuple(float(each) for each in found[: offsets.shape[1]]),
        lag_error,
        scale_error,
        math.sqrt(squares / len(seen_mm)),
    )


def _error(noise: float, column: Floats, others: Floats) -> float:
    """Standard error of one coefficient: what of its column the others cannot explain carries it."""
    explained, *_ = np.linalg.lstsq(others, column, rcond=None)
    own = float(np.linalg.norm(column - others @ explained))
    return noise / own if own > 1e-9 else math.inf
