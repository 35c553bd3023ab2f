"""How the belt runs: its speed and way as functions of time, in closed form between knots."""

from __future__ import annotations

import bisect
import math

import numpy as np
import numpy.typing as npt

from simulator.scenario import BeltSection

Floats = npt.NDArray[np.float64]

_FINE_S = 0.05
"""Distance of knots where the speed is no chain of a few straight lines; jitter is smooth over about this time."""

_ACCELERATION_FLOOR = 1e-12


class BeltMotion:
    """A speed that is linear between knots, and so a way that is quadratic there.

    Args:
        times_s: `[n]` knots, rising from 0. Beyond the last one the belt keeps its last speed.
        speeds_mm_s: `[n]`, none negative.
    """

    def __init__(self, times_s: Floats, speeds_mm_s: Floats) -> None:
        self._times_s, self._speeds = times_s, speeds_mm_s
        lengths = np.diff(times_s) * (speeds_mm_s[:-1] + speeds_mm_s[1:]) / 2
        self._ways_mm = np.concatenate([[0.0], np.cumsum(lengths)])
        self._slopes = np.append(np.diff(speeds_mm_s) / np.diff(times_s), 0.0)
        # The encoder is read a thousand times a second, one time each: plain numbers are ten times as fast.
        self._knots = list(zip(self._ways_mm.tolist(), speeds_mm_s.tolist(), self._slopes.tolist(), strict=True))
        self._knot_times_s = times_s.tolist()

    def position_mm(self, time_ns: int) -> float:
        """Way of the belt since the start; negative just before it, when the belt already ran."""
        time_s = time_ns / 1e9
        knot = max(bisect.bisect_right(self._knot_times_s, time_s) - 1, 0)
        (way_mm, speed, slope), since_s = self._knots[knot], time_s - self._knot_times_s[knot]
        return float(way_mm + since_s * (speed + slope * since_s / 2))

    def positions_mm(self, times_ns: npt.NDArray[np.int64]) -> Floats:
        """The same for `[n]` times."""
        knot, since_s = self._after_knot(times_ns)
        return np.asarray(
            self._ways_mm[knot] + since_s * (self._speeds[knot] + self._slopes[knot] * since_s / 2), np.float64
        )

    def speed_mm_s(self, time_ns: int) -> float:
        """Speed of the belt at a time."""
        knot, since_s = self._after_knot(np.array([time_ns]))
        return float(self._speeds[knot][0] + self._slopes[knot][0] * since_s[0])

    def times_ns(self, positions_mm: Floats) -> npt.NDArray[np.int64]:
        """When the belt has first come so far, for `[n]` ways within the run."""
        knot = np.clip(np.searchsorted(self._ways_mm, positions_mm, side="left") - 1, 0, len(self._ways_mm) - 1)
        rest_mm, speed, slope = positions_mm - self._ways_mm[knot], self._speeds[knot], self._slopes[knot]
        final = np.sqrt(np.maximum(speed**2 + 2 * slope * rest_mm, 0.0))
        since_s = 2 * rest_mm / np.maximum(speed + final, _ACCELERATION_FLOOR)
        return np.asarray(np.round((self._times_s[knot] + since_s) * 1e9), np.int64)

    def _after_knot(self, times_ns: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Floats]:
        times_s = times_ns / 1e9
        knot = np.maximum(np.searchsorted(self._times_s, times_s, side="right") - 1, 0)
        return knot, times_s - self._times_s[knot]


class Wheel:
    """What the encoder's wheel runs when the belt runs a way: less by a slip that comes and goes every few metres."""

    _EVERY_MM = 5000.0

    _TURN = 2 * math.pi / _EVERY_MM

    def __init__(self, slip: float) -> None:
        self._slip = slip

    def way_mm(self, belt_mm: Floats) -> Floats:
        """`[n]` ways of the wheel, rising with the belt's; on average `slip` shorter."""
        return np.asarray(belt_mm - self._slip * (belt_mm - np.sin(self._TURN * belt_mm) / self._TURN), np.float64)

    def at_mm(self, belt_mm: float) -> float:
        """The same for one way."""
        return belt_mm - self._slip * (belt_mm - math.sin(self._TURN * belt_mm) / self._TURN)


def belt_motion(belt: BeltSection, *, seconds: float, rng: np.random.Generator) -> BeltMotion:
    """The motion that a scenario describes, for at least `seconds`."""
    knots = [0.0, seconds]
    if belt.ramps is not None:
        knots += list(np.arange(belt.ramps.period_s / 4, seconds, belt.ramps.period_s / 2))
    if belt.stops is not None:
        for start_s in np.arange(belt.stops.every_s, seconds, belt.stops.every_s):
            standing_s = start_s + belt.stops.ramp_s
            knots += [start_s, standing_s, standing_s + belt.stops.for_s]
            knots.append(standing_s + belt.stops.for_s + belt.stops.ramp_s)
    if belt.jitter > 0 or (belt.ramps is not None and belt.stops is not None):
        knots += list(np.arange(0, seconds, _FINE_S))
    times_s = np.unique(np.round(knots, 9))
    speeds = np.full(len(times_s), belt.speed_mm_s)
    if belt.ramps is not None:
        speeds *= 1 + belt.ramps.share * _triangle(times_s / belt.ramps.period_s)
    if belt.jitter > 0:
        speeds *= np.maximum(1 + belt.jitter * rng.standard_normal(len(times_s)), 0.2)
    if belt.stops is not None:
        speeds *= _running(times_s, belt.stops.every_s, belt.stops.for_s, belt.stops.ramp_s)
    return BeltMotion(times_s, speeds)


def _triangle(turns: Floats) -> Floats:
    """A wave of straight lines: 0 at 0, 1 at a quarter, -1 at three quarters."""
    return np.asarray(1 - 4 * np.abs((turns + 0.25) % 1 - 0.5), np.float64)


def _running(times_s: Floats, every_s: float, for_s: float, ramp_s: float) -> Floats:
    """1 where the belt runs, 0 where it stands, straight between. The first stop begins at `every_s`."""
    since_s = np.where(times_s < every_s, every_s, (times_s + 1e-12) % every_s)
    braking = 1 - since_s / ramp_s
    starting = (since_s - ramp_s - for_s) / ramp_s
    return np.round(np.clip(np.maximum(braking, starting), 0.0, 1.0), 9)
