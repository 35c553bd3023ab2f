"""Where every fruit lies on the belt, and the geometry that ties belt, time and picture together.

The belt runs to the right. A fruit's `position_mm` is the way of the belt at which its centre leaves the picture: belt
way plus the centre's distance from the downstream edge, a constant while it rides. Its centre is the middle of its
body's own bounding box, without stem and sepals: the body is what an ejector must hit.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_runtime.errors import InputError
from simulator.cutout import Cutouts, Photographed
from simulator.encoder import SimulatedEncoder
from simulator.fruit import LABELS, Fruit, Pose, sample_fruit
from simulator.layout import Group, lay_groups, touching_mm
from simulator.motion import BeltMotion, Wheel, belt_motion
from simulator.scenario import FruitSection, Scenario
from simulator.shutter import Shutter
from simulator.sprite import Outline, draw_outline

LARGEST_MM = 70.0
"""Room for any fruit: its stem and sepals reach no further than half of this from the middle of its body."""

_USUAL_MIX = {"spoiled": 0.2, "unripe": 0.2, "turning": 0.2, "ripe": 0.4}

_OUTLINE_PX_PER_MM = 2.5

_TAIL_S = 120.0
"""The belt runs on after the last frame, so that what was decided can be thrown out."""


@dataclass(frozen=True, slots=True)
class PlacedFruit:
    """One fruit on the belt, drawn or photographed.

    `rolls` says that it turns about its own axis, which lies across the belt, without leaving its place on it.
    """

    fruit_id: int
    label: str
    ripeness: float | None
    diameter_mm: float
    position_mm: float
    across_mm: float
    lane: int
    look: Fruit | Photographed
    rolls: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """A scenario with its fruit, in order of `position_mm`, and all that moves.

    `notices` are sentences for people about what photographs do not ride.
    """

    scenario: Scenario
    seed: int
    fruits: tuple[PlacedFruit, ...]
    motion: BeltMotion
    wheel: Wheel
    shutter: Shutter
    notices: tuple[str, ...] = ()

    def centre_px(self, fruit: PlacedFruit, belt_mm: float) -> tuple[float, float]:
        """Where a fruit's centre is in the picture when the belt has run `belt_mm`; x grows with the belt."""
        camera = self.scenario.camera
        x_px = camera.width_px - (fruit.position_mm - belt_mm) / camera.mm_per_px
        return x_px, fruit.across_mm / camera.mm_per_px

    def blur_px(self, index: int) -> float:
        """How far the belt moves in the picture during the exposure of a frame."""
        camera = self.scenario.camera
        middle_ns, half_ns = int(self.shutter.exposed_ns[index]), round(camera.exposure_ms * 5e5)
        begun_mm, ended_mm = self.motion.positions_mm(np.array([middle_ns - half_ns, middle_ns + half_ns]))
        return float(ended_mm - begun_mm) / camera.mm_per_px

    def frames_in_full(self, fruit: PlacedFruit, width_px: float, offset_px: float = 0.0) -> tuple[int, int] | None:
        """First and last exposure with all of a fruit in the picture; None if there is none.

        Args:
            fruit: Where its body is.
            width_px: Of the box around all of it.
            offset_px: How far right of the body's middle the middle of that box lies.
        """
        camera, belt_mm = self.scenario.camera, self.shutter.belt_mm
        leave_mm = fruit.position_mm - (width_px / 2 + offset_px) * camera.mm_per_px
        enter_mm = leave_mm - (camera.width_px - width_px) * camera.mm_per_px
        first = int(np.searchsorted(belt_mm, enter_mm - 1e-6, side="left"))
        last = int(np.searchsorted(belt_mm, leave_mm + 1e-6, side="right")) - 1
        return (first, last) if first <= last else None

    def entered(self, belt_mm: float) -> tuple[PlacedFruit, ...]:
        """All fruit of which anything can have come into the picture when the belt has run so far."""
        camera = self.scenario.camera
        reach_mm = belt_mm + camera.width_px * camera.mm_per_px + LARGEST_MM
        return self.fruits[: bisect.bisect_right(self.fruits, reach_mm, key=lambda fruit: fruit.position_mm)]

    def encoder(self, *, start_ns: int = 0) -> SimulatedEncoder:
        """The wheel on this belt; `start_ns` is the clock's time when the belt starts."""
        return SimulatedEncoder(self.scenario.encoder, self.motion, self.wheel, seed=self.seed, start_ns=start_ns)


def build_world(scenario: Scenario, *, seed: int, cutouts: Cutouts | None = None) -> World:
    """Lay fruit on the belt so that each crosses the whole picture during the run.

    Fruit touch where the scenario says so and nowhere else. Their count is rate times time; where the belt is too slow
    for that, as many as fit at the least spacing.

    Args:
        scenario: The line.
        seed: The same scenario and seed give the same world.
        cutouts: Photographed fruit to use instead of drawn ones.

    Raises:
        InputError: The run is too short for any fruit to cross the picture, or `mix` names none that there are.
    """
    empty = empty_world(scenario, seed=seed)
    shares, notices = mix_of(scenario.fruit, cutouts)
    if scenario.fruit.per_second == 0:
        return replace(empty, notices=notices)
    rng = np.random.default_rng([seed, 1])
    camera, belt = scenario.camera, scenario.belt
    first_mm = camera.width_px * camera.mm_per_px + LARGEST_MM / 2
    last_mm = float(empty.shutter.belt_mm[-1]) - LARGEST_MM / 2
    if last_mm < first_mm:
        needed_s = (first_mm + LARGEST_MM / 2) / belt.speed_mm_s + 1 / camera.frame_rate_hz
        raise InputError(
            f"In {scenario.seconds:g} s at {belt.speed_mm_s:g} mm/s no fruit crosses the picture.",
            expected=f"at least {math.ceil(10 * needed_s) / 10:g} s at that speed",
            remedy="Make the run longer or the belt faster.",
        )
    way_mm = empty.motion.position_mm(round(scenario.seconds * 1e9))
    count = round(scenario.fruit.per_second * way_mm / belt.speed_mm_s)
    groups = lay_groups(scenario.fruit, first_mm=first_mm, last_mm=last_mm, count=count, reach_mm=LARGEST_MM, rng=rng)
    fruits: list[PlacedFruit] = []
    for group in groups:
        fruits += _place(scenario, group, len(fruits), seed=seed, rng=rng, shares=shares, cutouts=cutouts)
    in_order = sorted(fruits, key=lambda fruit: fruit.position_mm)
    numbered = tuple(replace(fruit, fruit_id=number) for number, fruit in enumerate(in_order))
    return replace(empty, fruits=numbered, notices=notices)


def empty_world(scenario: Scenario, *, seed: int) -> World:
    """The belt of a scenario with nothing on it."""
    motion = belt_motion(scenario.belt, seconds=scenario.seconds + _TAIL_S, rng=np.random.default_rng([seed, 0xBE17]))
    wheel = Wheel(scenario.encoder.slip)
    return World(scenario, seed, (), motion, wheel, Shutter(scenario, motion, wheel, seed=seed))


def mix_of(section: FruitSection, cutouts: Cutouts | None) -> tuple[dict[str, float], tuple[str, ...]]:
    """How often each label rides, summing to 1, and what there is to say about photographs.

    Without a `mix` drawn fruit have the usual one, and photographed ones show every label equally often. With one,
    labels that it does not name stay at home.

    Raises:
        InputError: It names a label that fruit are not drawn for, or none of those that were photographed.
    """
    known = LABELS if cutouts is None else cutouts.labels
    usual = _USUAL_MIX if cutouts is None else dict.fromkeys(known, 1.0)
    wanted = usual if section.mix is None else section.mix
    strangers = ", ".join(label for label in wanted if label not in known)
    shares = {label: wanted[label] for label in known if wanted.get(label, 0.0) > 0}
    if not shares or (strangers and cutouts is None):
        raise InputError(
            f"fruit.mix names {strangers or 'no label that rides'}.", expected=f"shares of {', '.join(known)}"
        )
    notices: list[str] = []
    if cutouts is not None:
        notices += cutouts.notices
        if strangers:
            notices.append(f"fruit.mix names {strangers}, of which {cutouts.folder} has no picture.")
        if left_out := ", ".join(label for label in known if label not in shares):
            notices.append(f"Pictures of {left_out} do not ride: fruit.mix gives them no share.")
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()}, tuple(notices)


def _place(
    scenario: Scenario,
    group: Group,
    number: int,
    *,
    seed: int,
    rng: np.random.Generator,
    shares: dict[str, float],
    cutouts: Cutouts | None,
) -> list[PlacedFruit]:
    """The fruit of one group, the first where the group is, each further one upstream, touching the one before."""
    camera, section = scenario.camera, scenario.fruit
    lane_mm = camera.height_px * camera.mm_per_px / section.lanes
    play_mm = max(0.0, lane_mm - LARGEST_MM)
    placed: list[PlacedFruit] = []
    position_mm, outline = group.position_mm, None
    for further in range(group.size):
        across_mm = (group.lane + 0.5) * lane_mm + float(rng.uniform(-play_mm / 2, play_mm / 2))
        if placed:
            # Not beside it: then both would pass the picture's edge at once and the chain would not go on upstream.
            beside_mm = 0.6 * min(placed[-1].diameter_mm, section.diameter_mm[0])
            previous_mm = placed[-1].across_mm
            across_mm = min(max(across_mm, previous_mm - beside_mm), previous_mm + beside_mm)
        fruit = _fruit(scenario, number + further, seed=seed, shares=shares, cutouts=cutouts)
        if group.size > 1:
            own_outline = _outline(fruit.look, camera.mm_per_px)
            if outline is not None:
                away_mm = across_mm - placed[-1].across_mm
                position_mm += touching_mm(outline, own_outline, away_mm, px_per_mm=_OUTLINE_PX_PER_MM)
            outline = own_outline
        elif section.rolling_share > 0 and rng.random() < section.rolling_share:
            fruit = _rolling(fruit)
        placed.append(replace(fruit, position_mm=position_mm, across_mm=across_mm, lane=group.lane))
    return placed


def _fruit(
    scenario: Scenario, number: int, *, seed: int, shares: dict[str, float], cutouts: Cutouts | None
) -> PlacedFruit:
    """A fruit that lies nowhere yet."""
    own = np.random.default_rng([seed, 2, number])
    labels = sorted(shares)
    label = labels[int(own.choice(len(labels), p=[shares[label] for label in labels]))]
    if cutouts is not None:
        diameter_mm = float(own.uniform(*scenario.fruit.diameter_mm))
        look = cutouts.draw(label, own, diameter_px=diameter_mm / scenario.camera.mm_per_px)
        return PlacedFruit(number, label, None, diameter_mm, 0.0, 0.0, 0, look)
    fruit = sample_fruit(own, label, diameter_mm=scenario.fruit.diameter_mm)
    return PlacedFruit(number, fruit.label, fruit.ripeness, fruit.shape.diameter_mm, 0.0, 0.0, 0, fruit)


def _rolling(fruit: PlacedFruit) -> PlacedFruit:
    """The same fruit, turning; of photographed ones, those that were taken from more than one side."""
    if isinstance(fruit.look, Photographed):
        return replace(fruit, rolls=len(fruit.look.views) > 1)
    across = Pose(yaw_rad=math.pi / 2, tilt_rad=0.0, roll_rad=fruit.look.pose.roll_rad)
    return replace(fruit, look=fruit.look.posed(across), rolls=True)


def _outline(look: Fruit | Photographed, mm_per_px: float) -> Outline:
    """What a fruit covers of the belt, at the scale at which it is pushed against its neighbour."""
    if isinstance(look, Fruit):
        return draw_outline(look, px_per_mm=_OUTLINE_PX_PER_MM)
    sprite, scale = look.sprite(0.0), mm_per_px * _OUTLINE_PX_PER_MM
    width, height = (max(1, round(side_px * scale)) for side_px in sprite.size_px)
    alpha = cv2.resize(sprite.image[..., 3], (width, height), interpolation=cv2.INTER_LINEAR)
    x_px, y_px = sprite.anchor_px
    return Outline(np.asarray(alpha > 127, np.bool_), (x_px * scale, y_px * scale))
