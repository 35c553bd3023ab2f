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
from simulator.rolling import RollingFruit
from simulator.sprite import Sprite, draw_sprite


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


def test_a_look_depends_on_the_angle_alone() -> None:
    rolling, again = (RollingFruit(_across("spoiled"), px_per_mm=2.0, light=Light()) for _ in range(2))
    looks = {angle: rolling.sprite(angle).image for angle in (0.3, 0.9)}
    for angle in (0.9, 0.3):
        assert np.array_equal(again.sprite(angle).image, looks[angle])
