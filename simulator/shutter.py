"""When the camera exposes, what it stamps its frames with, and which of them go wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.motion import BeltMotion, Wheel
from simulator.scenario import FaultKind, FaultSection, Scenario

LOST: tuple[FaultKind, ...] = ("dropped", "disconnect")
"""Faults that leave no picture."""


class Shutter:
    """The exposures of a run.

    `exposed_ns` `[frames]` int64 are the middles of exposures (of the middle row, with a rolling shutter), `belt_mm`
    `[frames]` float64 the belt's way at those times, `stamped_ns` `[frames]` int64 what frames are stamped with,
    and `read_ns` `[frames]` int64 when they can be read: the delay after the exposure as it is stamped.
    """

    def __init__(self, scenario: Scenario, motion: BeltMotion, wheel: Wheel, *, seed: int) -> None:
        self.exposed_ns = _exposures(scenario, motion, wheel)
        self.belt_mm = motion.positions_mm(self.exposed_ns)
        camera = scenario.camera
        jitter_ms = camera.stamp_jitter_ms * np.random.default_rng([seed, 0x57A3]).standard_normal(self.frames)
        late_ms = camera.delay_ms if camera.stamps == "read" else 0.0
        since_stamp_ns = round(1e6 * (camera.delay_ms - late_ms))
        stamps = self.exposed_ns + np.round(1e6 * (late_ms + jitter_ms)).astype(np.int64)
        # Time goes on however coarse the clock: no driver hands out a stamp before the last one's.
        self.stamped_ns = np.maximum.accumulate(np.maximum(stamps, 0) - np.arange(self.frames)) + np.arange(self.frames)
        self.read_ns = self.stamped_ns + since_stamp_ns
        self._faults = [_during(fault, self.exposed_ns, seed, number) for number, fault in enumerate(scenario.fault)]
        self._kinds = [fault.kind for fault in scenario.fault]

    @property
    def frames(self) -> int:
        """Exposures in the whole run, lost ones included."""
        return len(self.exposed_ns)

    def fault(self, index: int) -> FaultKind | None:
        """What is wrong with a frame; of several faults the one that the scenario names last."""
        for kind, struck in zip(reversed(self._kinds), reversed(self._faults), strict=True):
            if struck[index]:
                return kind
        return None

    @property
    def arrives(self) -> npt.NDArray[np.bool_]:
        """`[frames]`: which exposures lead to a picture at all, however bad."""
        return np.array([self.fault(index) not in LOST for index in range(self.frames)], np.bool_)

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """`[frames]`: which frames arrive as they should."""
        struck = np.zeros(self.frames, np.bool_)
        for one in self._faults:
            struck |= one
        return ~struck


def _exposures(scenario: Scenario, motion: BeltMotion, wheel: Wheel) -> npt.NDArray[np.int64]:
    camera = scenario.camera
    if camera.trigger_every_mm is None:
        count = max(1, round(scenario.seconds * camera.frame_rate_hz))
        return np.asarray(np.round(np.arange(count) * 1e9 / camera.frame_rate_hz), np.int64)
    end_mm = motion.position_mm(round(scenario.seconds * 1e9))
    marks_mm = np.arange(0.0, wheel.at_mm(end_mm), camera.trigger_every_mm)
    grid_mm = np.linspace(0.0, end_mm, max(2, int(end_mm / 10)))
    belt_mm = np.asarray(np.interp(marks_mm, wheel.way_mm(grid_mm), grid_mm), np.float64)
    return motion.times_ns(belt_mm)


def _during(fault: FaultSection, exposed_ns: npt.NDArray[np.int64], seed: int, number: int) -> npt.NDArray[np.bool_]:
    since_s = exposed_ns / 1e9 - fault.at_s
    phase_s = since_s if fault.every_s is None else since_s % fault.every_s
    struck = (since_s >= 0) & (phase_s < fault.for_s)
    drawn = np.random.default_rng([seed, 0xFA17, number]).random(len(exposed_ns))
    return np.asarray(struck & (drawn < fault.share), np.bool_)
