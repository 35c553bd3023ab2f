"""Which exposures of a simulated line a run has read, when they were and how far the belt had run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.evidence import Evidence
from simulator.scenario import Scenario
from simulator.world import empty_world


@dataclass(frozen=True, slots=True)
class Exposures:
    """Those whose picture arrived, `[n]` each, rising.

    `numbers` as the run numbers its frames; `good` where nothing was wrong with the picture; `stamped_ns` on the line's
    own clock; `way_mm` of the encoder's wheel.
    """

    numbers: npt.NDArray[np.int64]
    good: npt.NDArray[np.bool_]
    stamped_ns: npt.NDArray[np.int64]
    way_mm: npt.NDArray[np.float64]


def exposures_read(evidence: Evidence) -> Exposures | None:
    """Exposures up to the last one that the run read; None of a line that was not simulated.

    A tracker that has gone blind leaves no views; the run went on to the last frame that it read.
    """
    if evidence.scene is None:
        return None
    world = empty_world(Scenario.model_validate(evidence.scene["scenario"]), seed=evidence.scene["seed"])
    arrived = np.flatnonzero(world.shutter.arrives)
    numbers = np.arange(len(arrived)) if evidence.scene.get("film") else arrived
    read = min((evidence.summary.get("frames") or {}).get("read", len(arrived)), len(arrived))
    last = max([view["frame"] for view in evidence.tracks], default=-1)
    begins = int(np.searchsorted(arrived, evidence.scene.get("from_frame", 0)))
    place = np.arange(len(arrived))
    kept = (place >= begins) & ((place < begins + read) | (numbers <= last))
    shown = arrived[kept]
    return Exposures(
        numbers[kept].astype(np.int64),
        world.shutter.good[shown],
        world.shutter.stamped_ns[shown],
        world.wheel.way_mm(world.shutter.belt_mm[shown]),
    )
