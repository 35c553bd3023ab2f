"""Where every fruit lies on the belt, and the geometry that ties belt, time and picture together.

The belt runs to the right. A fruit's `position_mm` is the encoder's reading at which its centre leaves the picture:
belt distance plus the centre's distance from the downstream edge, a constant while it rides. Its centre is the middle
of the bounding box of what shows of it, calyx included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from simulator.cutout import Cutouts
from simulator.fruit import DIAMETER_MM, Fruit, sample_fruit
from simulator.scenario import Scenario
from simulator.sprite import Sprite

LARGEST_MM = 62.0
"""No fruit with its calyx and stem is longer than this in the picture."""


@dataclass(frozen=True, slots=True)
class PlacedFruit:
    """One fruit on the belt. `look` is drawn when it is a `Fruit`, and already a picture when it is a `Sprite`."""

    fruit_id: int
    label: str
    ripeness: float | None
    diameter_mm: float
    position_mm: float
    across_mm: float
    lane: int
    look: Fruit | Sprite


@dataclass(frozen=True, slots=True)
class World:
    """A scenario with its fruit, in order of `position_mm`."""

    scenario: Scenario
    seed: int
    fruits: tuple[PlacedFruit, ...]

    def centre_px(self, fruit: PlacedFruit, belt_mm: float) -> tuple[float, float]:
        """Where a fruit's centre is in the picture when the belt has run `belt_mm`; x grows with the belt."""
        camera = self.scenario.camera
        x_px = camera.width_px - (fruit.position_mm - belt_mm) / camera.mm_per_px
        return x_px, fruit.across_mm / camera.mm_per_px

    def frames_in_full(self, fruit: PlacedFruit, width_px: float) -> tuple[int, int] | None:
        """First and last frame in which a fruit `width_px` wide is wholly in the picture; None if there is none."""
        camera, belt = self.scenario.camera, self.scenario.belt
        leave_mm = fruit.position_mm - width_px / 2 * camera.mm_per_px
        enter_mm = leave_mm - (camera.width_px - width_px) * camera.mm_per_px
        per_frame_mm = belt.speed_mm_s / camera.frame_rate_hz
        first = max(0, math.ceil(enter_mm / per_frame_mm - 1e-9))
        last = min(self.scenario.frames - 1, math.floor(leave_mm / per_frame_mm + 1e-9))
        return (first, last) if first <= last else None


def build_world(scenario: Scenario, *, seed: int, cutouts: Cutouts | None = None) -> World:
    """Lay fruit on the belt so that each crosses the whole picture during the run and none touches another.

    The count is rate times time; where the belt is too slow for that, as many as fit at the least spacing.

    Args:
        scenario: The line.
        seed: The same scenario and seed give the same world.
        cutouts: Photographed fruit to use instead of drawn ones.

    Raises:
        InputError: The run is too short for any fruit to cross the picture.
    """
    rng = np.random.default_rng([seed, 1])
    camera, fruit = scenario.camera, scenario.fruit
    first_mm = camera.width_px * camera.mm_per_px + LARGEST_MM / 2
    last_mm = scenario.belt_mm(scenario.captured_ns(scenario.frames - 1)) - LARGEST_MM / 2
    if last_mm < first_mm:
        needed_s = (first_mm + LARGEST_MM / 2) / scenario.belt.speed_mm_s + 1 / camera.frame_rate_hz
        raise InputError(
            f"In {scenario.seconds:g} s at {scenario.belt.speed_mm_s:g} mm/s no fruit crosses the picture.",
            expected=f"at least {math.ceil(10 * needed_s) / 10:g} s at that speed",
            remedy="Make the run longer or the belt faster.",
        )
    room_mm = last_mm - first_mm
    count = max(1, min(round(fruit.per_second * scenario.seconds), 1 + int(room_mm / fruit.min_spacing_mm)))
    positions = _spaced(first_mm, last_mm, count, fruit.min_spacing_mm, rng)
    fruits = (
        _place(scenario, number, float(position_mm), seed=seed, rng=rng, cutouts=cutouts)
        for number, position_mm in enumerate(positions)
    )
    return World(scenario, seed, tuple(fruits))


def _spaced(first_mm: float, last_mm: float, count: int, spacing_mm: float, rng: np.random.Generator) -> list[float]:
    """Random places at least `spacing_mm` apart: uniform order statistics in the room that the spacings leave."""
    slack_mm = (last_mm - first_mm) - (count - 1) * spacing_mm
    loose = np.sort(rng.uniform(0, max(slack_mm, 0.0), count))
    return [first_mm + float(offset) + number * spacing_mm for number, offset in enumerate(loose)]


def _place(
    scenario: Scenario,
    number: int,
    position_mm: float,
    *,
    seed: int,
    rng: np.random.Generator,
    cutouts: Cutouts | None,
) -> PlacedFruit:
    camera, section = scenario.camera, scenario.fruit
    width_mm = camera.height_px * camera.mm_per_px
    lane_mm = width_mm / section.lanes
    lane = int(rng.integers(section.lanes))
    play_mm = max(0.0, lane_mm - LARGEST_MM - 4)
    across_mm = (lane + 0.5) * lane_mm + float(rng.uniform(-play_mm / 2, play_mm / 2))
    own = np.random.default_rng([seed, 2, number])
    if cutouts is not None:
        diameter_mm = float(own.uniform(*DIAMETER_MM))
        label, sprite = cutouts.draw(own, diameter_px=diameter_mm / camera.mm_per_px)
        return PlacedFruit(number, label, None, diameter_mm, position_mm, across_mm, lane, sprite)
    labels = sorted(section.mix)
    shares = np.array([section.mix[label] for label in labels])
    fruit = sample_fruit(own, labels[int(own.choice(len(labels), p=shares / shares.sum()))])
    return PlacedFruit(
        number, fruit.label, fruit.ripeness, fruit.shape.diameter_mm, position_mm, across_mm, lane, fruit
    )
