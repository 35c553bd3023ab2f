"""A simulated line to commission: nobody says how large, late and far things are; the printed sheet rides on its belt.

Also the technician, who starts and stops the belt and reads the marks that strokes left on the sheet's ruler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from edge_runtime.commissioning.sheet import Sheet
from edge_runtime.encoders.scaled import ScaledEncoder
from simulator.belt import BeltKind
from simulator.camera import SimulatedCamera
from simulator.cutout import Photographed
from simulator.ejector import SimulatedEjector
from simulator.motion import BeltMotion, Wheel
from simulator.renderer import Renderer
from simulator.scenario import Scenario
from simulator.shutter import Shutter
from simulator.world import PlacedFruit, World, empty_world

_SHEET_PX_PER_MM = 8.0
_READING_MM = 0.3
_STOP_MM = 12.0
_TAPE_MM = 15.0
_TAIL_S = 2.0


@dataclass(frozen=True, slots=True)
class Hidden:
    """What commissioning is to find out. `mm_per_tick` is how much farther the belt runs than its encoder believes."""

    mm_per_px: float
    mm_per_tick: float
    delay_ms: float
    at_mm: float
    latency_ms: float
    speed_mm_s: float


@dataclass(frozen=True, slots=True)
class CommissioningLine:
    """A line behind the runtime's ports, with its technician.

    `encoder` counts in its own units; `tape_mm` is where the ejector stands by a tape measure.
    """

    camera: SimulatedCamera
    encoder: ScaledEncoder
    ejector: SimulatedEjector
    hidden: Hidden
    tape_mm: float
    _world: World
    _turned: bool
    _rng: np.random.Generator

    def read_mark(self, stroke: int) -> float | None:
        """What the technician reads on the ruler after a stroke, counted from 0; None if it missed the sheet."""
        action = self.ejector.actions[stroke]
        hit_mm = action.acted_mm - self.hidden.at_mm
        sheet = min(self._world.fruits, key=lambda each: abs(each.position_mm - hit_mm))
        ahead_mm = (sheet.position_mm - hit_mm) * (-1 if self._turned else 1)
        if abs(ahead_mm) > Sheet().half_ruler_mm:
            return None
        return round(2 * (ahead_mm + float(self._rng.normal(0, _READING_MM)))) / 2


def open_commissioning(*, seed: int = 0) -> CommissioningLine:
    """Draw a line and put three sheets on its belt, so far apart that the picture shows one at a time.

    The belt stands, starts, stops once while the first sheet is in the picture, and goes on; it stops again when the
    second one is about before the ejector, and is slower afterwards.

    Args:
        seed: The same seed gives the same line and frames.
    """
    rng = np.random.default_rng([seed, 0xC0DE])
    hidden = Hidden(
        mm_per_px=float(rng.uniform(0.42, 0.55)),
        mm_per_tick=float(rng.uniform(0.95, 1.05)),
        delay_ms=float(rng.uniform(8, 90)),
        at_mm=float(rng.uniform(180, 320)),
        latency_ms=float(rng.uniform(8, 45)),
        speed_mm_s=float(rng.uniform(180, 420)),
    )
    belts = get_args(BeltKind)
    scenario = Scenario.model_validate(
        {
            "belt": {"kind": belts[int(rng.integers(len(belts)))], "speed_mm_s": hidden.speed_mm_s},
            "encoder": {"ticks_per_mm": 10.0, "noise_ticks": 0.3},
            "ejector": {"at_mm": hidden.at_mm, "latency_ms": hidden.latency_ms, "spread_ms": 0.5},
            "camera": {
                "width_px": 720,
                "height_px": 400,
                "mm_per_px": hidden.mm_per_px,
                "frame_rate_hz": 25.0,
                "exposure_ms": float(rng.uniform(0.5, 3.0)),
                "delay_ms": hidden.delay_ms,
                "stamps": "read",
                "stamp_jitter_ms": 0.5,
                "focus_px": float(rng.uniform(0.4, 0.8)),
                "noise_levels": float(rng.uniform(1, 3)),
            },
        }
    )
    length_mm = scenario.camera.width_px * hidden.mm_per_px
    first_mm = 0.8 * length_mm
    apart_mm = length_mm + 1.2 * Sheet().size_mm[0]
    stops_mm = first_mm + apart_mm + hidden.at_mm + float(rng.uniform(-_STOP_MM, _STOP_MM))
    end_mm = first_mm + 2 * apart_mm + hidden.at_mm + Sheet().size_mm[0]
    motion, seconds = _motion(hidden.speed_mm_s, 0.35 * length_mm, stops_mm, end_mm)
    scenario = scenario.model_copy(update={"seconds": seconds})
    turned = bool(rng.random() < 0.3)
    page = Sheet().draw(_SHEET_PX_PER_MM)
    look = Photographed(
        (np.dstack([page, np.full(page.shape[:2], 255, np.uint8)]),),
        180.0 if turned else 0.0,
        Sheet().size_mm[1] / hidden.mm_per_px,
    )
    across_mm = scenario.camera.height_px * hidden.mm_per_px / 2
    sheets = tuple(
        PlacedFruit(number, "sheet", None, Sheet().size_mm[1], first_mm + number * apart_mm, across_mm, 0, look)
        for number in range(3)
    )
    wheel = Wheel(0.0)
    world = replace(
        empty_world(scenario, seed=seed),
        fruits=sheets,
        motion=motion,
        wheel=wheel,
        shutter=Shutter(scenario, motion, wheel, seed=seed),
    )
    encoder = world.encoder()
    return CommissioningLine(
        camera=SimulatedCamera(world, encoder, name=f"sim:commissioning?seed={seed}", renderer=Renderer(world)),
        encoder=ScaledEncoder(encoder, 1 / hidden.mm_per_tick),
        ejector=SimulatedEjector(world),
        hidden=hidden,
        tape_mm=round(hidden.at_mm + float(rng.uniform(-_TAPE_MM, _TAPE_MM))),
        _world=world,
        _turned=turned,
        _rng=rng,
    )


def _motion(fast_mm_s: float, first_stop_mm: float, second_stop_mm: float, end_mm: float) -> tuple[BeltMotion, float]:
    """Stand, run to each stop, and run on at 60 %; also how long all of it takes."""
    knots, way_mm = [(0.0, 0.0), (0.6, 0.0)], 0.0
    for stop_mm, speed, standing_s in (
        (first_stop_mm, fast_mm_s * 0.7, 0.6),
        (second_stop_mm, fast_mm_s, 1.2),
        (end_mm, 0.6 * fast_mm_s, _TAIL_S),
    ):
        begun_s, ramp_s = knots[-1][0], 0.3
        cruise_s = (stop_mm - way_mm) / speed - ramp_s
        times = np.cumsum([begun_s, ramp_s, cruise_s, ramp_s, standing_s])
        knots += list(zip(times[1:].tolist(), (speed, speed, 0.0, 0.0), strict=True))
        way_mm = stop_mm
    times_s, speeds = (np.array(each) for each in zip(*knots, strict=True))
    return BeltMotion(times_s, speeds), float(times_s[-1])
