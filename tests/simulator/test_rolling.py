"""A fruit that rolls: painted once, it looks as if it were drawn anew at each angle."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from simulator.body import look_at
from simulator.fruit import LABELS, Defect, Fruit, Pose, sample_fruit
from simulator.light import Light
from simulator.paint import paint_around
from simulator.renderer import Renderer
from simulator.rolling import RollingFruit
from simulator.scenario import parse_scenario
from simulator.sprite import Sprite, draw_sprite
from simulator.world import build_world


def _across(label: str) -> Fruit:
    fruit = sample_fruit(np.random.default_rng([3, LABELS.index(label)]), label)
    return fruit.posed(Pose(math.pi / 2, 0.0, fruit.pose.roll_rad))


@pytest.mark.parametrize("label", LABELS)
def test_it_looks_as_if_drawn_anew(label: str) -> None:
    fruit = _across(label)
    rolling = RollingFruit(fruit, px_per_mm=2.5, light=Light())
    for turn_rad in (0.0, 1.3, 4.0):
        roll_rad = fruit.pose.roll_rad + turn_rad
        looked_up = rolling.sprite(roll_rad).image
        drawn = draw_sprite(fruit.posed(replace(fruit.pose, roll_rad=roll_rad)), px_per_mm=2.5).image
        # The outline may fall on either side of half a pixel; beyond that, the same skin in the same light.
        assert np.abs(np.subtract(looked_up.shape, drawn.shape)).max() <= 1
        size = (drawn.shape[1], drawn.shape[0])
        blurred = [cv2.GaussianBlur(cv2.resize(image, size), (0, 0), 2.0).astype(int) for image in (looked_up, drawn)]
        assert np.abs(blurred[0] - blurred[1]).mean() < 4


@pytest.mark.parametrize("label", ["unripe", "turning", "ripe"])
def test_the_skin_has_no_seam(label: str) -> None:
    unrolled = paint_around(_across(label), px_per_mm=5.0)
    skin = unrolled.table.reshape(-1, unrolled.columns, 8)
    unlike_beside = np.abs(skin - (np.roll(skin, 1, axis=1) + np.roll(skin, -1, axis=1)) / 2).mean(axis=0)
    for values in (unlike_beside[:, :3].mean(axis=1), unlike_beside[:, 6:].mean(axis=1)):
        assert values[[-1, 0, 1]].max() < 1.25 * np.percentile(values, 99)


@pytest.mark.parametrize("turn_rad", [0.0, 1.1, 4.0])
def test_its_relief_is_lit_as_if_drawn_anew(turn_rad: float) -> None:
    fruit = _across("unripe")
    deep, flat = (replace(fruit, achenes=replace(fruit.achenes, dimple_depth=depth)) for depth in (1.2, 0.0))
    roll_rad = fruit.pose.roll_rad + turn_rad
    anew = [draw_sprite(one.posed(replace(one.pose, roll_rad=roll_rad)), px_per_mm=5.0) for one in (deep, flat)]
    turned = [RollingFruit(one, px_per_mm=5.0, light=Light()).sprite(roll_rad) for one in (deep, flat)]
    # What the dimples alone change, in the middle of the body.
    shades = [np.subtract(*(_middle(one) for one in pair)).ravel() for pair in (anew, turned)]
    assert np.corrcoef(*shades)[0, 1] > 0.97


def _middle(sprite: Sprite) -> npt.NDArray[np.float64]:
    x, y = (math.floor(at) for at in sprite.anchor_px)
    return sprite.image[y - 40 : y + 40, x - 30 : x + 30, :3].mean(axis=2)


def test_a_spot_goes_where_the_turn_takes_it() -> None:
    spot = Defect("rot", axial=0.0, around_rad=math.pi / 2, radius_rad=0.3)
    fruit = replace(_across("unripe"), defects=(spot,), pose=Pose(math.pi / 2, 0.0, 0.0))
    clean = RollingFruit(replace(fruit, defects=()), px_per_mm=2.5, light=Light())
    rolling = RollingFruit(fruit, px_per_mm=2.5, light=Light())
    radius_px = look_at(fruit.shape, fruit.pose, px_per_mm=2.5, margin_mm=0).pixels.any(axis=0).sum() / 2
    for turn_rad in (-0.7, 0.0, 0.7):
        with_it, without = (body.sprite(turn_rad).image.astype(int) for body in (rolling, clean))
        darker = np.clip(without - with_it, 0, None)[..., 0].sum(axis=0)
        x_px = darker @ np.arange(len(darker)) / darker.sum() - len(darker) / 2
        assert x_px == pytest.approx(radius_px * math.sin(turn_rad), abs=0.15 * radius_px)
    assert np.array_equal(rolling.sprite(math.pi).image, clean.sprite(math.pi).image)


def test_on_the_belt_its_top_runs_ahead() -> None:
    """By as much as `turns_per_m` says: a spot goes from the upstream side over the top to the downstream side."""
    text = (
        'base = "calm"\nseconds = 5.0\n[fruit]\nturns_per_m = 2.0\n[camera]\nnoise_levels = 0.0\nuneven_light = 0.0\n'
    )
    scenario = parse_scenario(text, "rolling")
    placed = build_world(scenario, seed=1).fruits[0]
    spot = Defect("rot", axial=0.0, around_rad=math.pi / 2, radius_rad=0.3)
    # Two fifths of a turn before it leaves the picture the spot is on top.
    spotted = replace(_across("unripe"), defects=(spot,), pose=Pose(math.pi / 2, 0.0, 0.8 * math.pi))
    pictures = []
    for look in (spotted, replace(spotted, defects=())):
        world = replace(build_world(scenario, seed=1), fruits=(replace(placed, look=look, rolls=True),))
        renderer, belt_mm = Renderer(world), world.shutter.belt_mm
        at = [int(np.abs(belt_mm - (placed.position_mm - 200 + way_mm)).argmin()) for way_mm in (-50, 0, 50)]
        pictures.append([renderer.render(index)[..., 0].astype(int) for index in at])
    radius_px = look_at(spotted.shape, spotted.pose, px_per_mm=2.5, margin_mm=0).pixels.any(axis=0).sum() / 2
    for index, turn, with_it, without in zip(at, (-0.1, 0.0, 0.1), *pictures, strict=True):
        darker = np.clip(without - with_it, 0, None).sum(axis=0)
        x_px = darker @ (np.arange(len(darker)) + 0.5) / darker.sum() - world.centre_px(placed, belt_mm[index])[0]
        assert x_px == pytest.approx(radius_px * math.sin(2 * math.pi * turn), abs=0.25 * radius_px)


def test_a_look_depends_on_the_angle_alone() -> None:
    rolling, again = (RollingFruit(_across("spoiled"), px_per_mm=2.0, light=Light()) for _ in range(2))
    looks = {angle: rolling.sprite(angle).image for angle in (0.3, 0.9)}
    for angle in (0.9, 0.3):
        assert np.array_equal(again.sprite(angle).image, looks[angle])
