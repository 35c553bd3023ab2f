"""Where the truth says a fruit is, there is the middle of its body, not of its body with stem and sepals."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.records import Image
from simulator.cutout import Photographed
from simulator.fruit import Calyx, Pose, sample_fruit
from simulator.line import truth_of
from simulator.renderer import Renderer
from simulator.scenario import load_scenario, parse_scenario
from simulator.sprite import draw_sprite
from simulator.world import LARGEST_MM, PlacedFruit, World, build_world, empty_world

SHARP = """
[belt]
kind = "blue"
seam_every_mm = 5000.0
[camera]
exposure_ms = 0.0
noise_levels = 0.0
uneven_light = 0.0
focus_px = 0.0
"""
SCALE = 0.4
LONG_STALK = Calyx(sepals=3, length_share=0.15, width_share=0.1, lift=0.0, dryness=0.0, stem_mm=10.0)


def _alone(look: object, *, rolls: bool = False) -> tuple[World, PlacedFruit]:
    """A world with one fruit; its place is no whole pixel."""
    fruit = PlacedFruit(0, "ripe", 1.0, 30.0, 600.13, 104.29, 0, look, rolls)  # type: ignore[arg-type]
    return replace(empty_world(parse_scenario(SHARP, "sharp"), seed=1), fruits=(fruit,)), fruit


def _middle_and_size(mask: npt.NDArray[np.bool_]) -> tuple[tuple[float, float], tuple[int, int]]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (x + width / 2, y + height / 2), (width, height)


def _flesh(picture: Image) -> npt.NDArray[np.bool_]:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return np.asarray((red > green + 40) & (red > blue + 40))


def _not_belt(picture: Image) -> npt.NDArray[np.bool_]:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return np.asarray(np.maximum(red, green) > blue)


@pytest.mark.parametrize("yaw_rad", [0.0, 0.8, 2.0, 3.3, 5.1])
def test_the_flesh_of_a_fruit_with_a_long_stalk_lies_where_the_truth_says(yaw_rad: float) -> None:
    ripe = replace(sample_fruit(np.random.default_rng(4), "ripe"), calyx=LONG_STALK, defects=())
    world, fruit = _alone(ripe.posed(Pose(yaw_rad, 0.1, 0.4)))
    renderer = Renderer(world)
    row = truth_of(world, renderer)[0]
    for index in range(row["first_frame"], row["last_frame"] + 1, 7):
        picture, place = renderer.render(index), world.centre_px(fruit, float(world.shutter.belt_mm[index]))
        flesh, _ = _middle_and_size(_flesh(picture))
        assert math.dist(flesh, place) * SCALE < 1
        # The box of the truth is the one around all of it.
        whole, size = _middle_and_size(_not_belt(picture))
        assert whole == pytest.approx(np.add(place, row["offset_px"]), abs=1.5)
        assert size == pytest.approx(row["size_px"], abs=2)


def test_it_is_in_full_when_its_stalk_is() -> None:
    ripe = replace(sample_fruit(np.random.default_rng(4), "ripe"), calyx=LONG_STALK, defects=())
    for yaw_rad in (0.0, math.pi):
        world, _ = _alone(ripe.posed(Pose(yaw_rad, 0.0, 0.0)))
        renderer = Renderer(world)
        row = truth_of(world, renderer)[0]
        assert abs(row["offset_px"][0]) * SCALE > 3
        sides = [_not_belt(renderer.render(row[at]))[:, [0, -1]].any() for at in ("first_frame", "last_frame")]
        cut = [
            _not_belt(renderer.render(row[at] + by))[:, [0, -1]].any()
            for at, by in (("first_frame", -2), ("last_frame", 2))
        ]
        assert (sides, cut) == ([False, False], [True, True])


def test_the_flesh_of_a_rolling_fruit_stays_where_the_truth_says() -> None:
    ripe = replace(sample_fruit(np.random.default_rng(4), "ripe"), calyx=LONG_STALK, defects=())
    world, fruit = _alone(ripe.posed(Pose(math.pi / 2, 0.0, 0.0)), rolls=True)
    renderer = Renderer(world)
    row = truth_of(world, renderer)[0]
    for index in range(row["first_frame"], row["last_frame"] + 1, 3):
        place = world.centre_px(fruit, float(world.shutter.belt_mm[index]))
        flesh, _ = _middle_and_size(_flesh(renderer.render(index)))
        assert math.dist(flesh, place) * SCALE < 1


@pytest.mark.parametrize("turn_deg", [0.0, 50.0, 200.0])
def test_a_photographed_fruit_is_held_by_its_body_without_its_stalk(turn_deg: float) -> None:
    view = np.zeros((160, 100, 4), np.uint8)
    cv2.line(view, (50, 0), (50, 60), (80, 160, 40, 255), 6)
    cv2.ellipse(view, (50, 104), (48, 54), 0, 0, 360, (200, 30, 40, 255), -1)
    world, fruit = _alone(Photographed((view,), turn_deg, 70.0))
    renderer = Renderer(world)
    row = truth_of(world, renderer)[0]
    index = (row["first_frame"] + row["last_frame"]) // 2
    flesh, _ = _middle_and_size(_flesh(renderer.render(index)))
    assert math.dist(flesh, world.centre_px(fruit, float(world.shutter.belt_mm[index]))) * SCALE < 1
    assert math.hypot(*row["offset_px"]) * SCALE > 3


def test_neighbours_that_touch_do_so_in_the_picture() -> None:
    fruits = build_world(load_scenario("crowded").model_copy(update={"seconds": 12.0}), seed=5).fruits
    pairs = [pair for lane in range(4) for pair in pairwise(fruit for fruit in fruits if fruit.lane == lane)]
    gaps = [_gap_mm(a, b) for a, b in pairs if b.position_mm - a.position_mm < LARGEST_MM]
    assert len(gaps) > 5
    # Along the belt; beside one another they are nearer. They overlap where the outline of one was a pixel short.
    assert max(gaps) <= 0.5
    assert min(gaps) >= -1


def _gap_mm(below: PlacedFruit, above: PlacedFruit) -> float:
    """Way along the belt between the outlines of two fruit; negative where they overlap by so much."""
    px_per_mm, canvases = 4.0, []
    for fruit in (below, above):
        sprite = draw_sprite(fruit.look, px_per_mm=px_per_mm)  # type: ignore[arg-type]
        canvas = np.zeros((800, 800), np.bool_)
        # The belt runs to the right: what leaves later lies further left.
        place = ((below.position_mm - fruit.position_mm) * px_per_mm, (fruit.across_mm - below.across_mm) * px_per_mm)
        left, top = (round(at - anchor) + 400 for at, anchor in zip(place, sprite.anchor_px, strict=True))
        width, height = sprite.size_px
        canvas[top : top + height, left : left + width] = sprite.image[..., 3] > 127
        canvases.append(canvas)
    lower, upper = canvases
    for by in range(-40, 41):
        if (np.roll(upper, by, axis=1) & lower).any():
            return by / px_per_mm
    return math.inf
