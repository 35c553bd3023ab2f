"""Drawn fruit: labels that hold and show, one body in every pose."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from simulator.body import basis, look_at, radius_mm
from simulator.fruit import LABELS, RIPE_FROM, TURNING_FROM, Defect, Fruit, Pose, sample_fruit, turned
from simulator.light import Light
from simulator.optics import make_layer
from simulator.paint import paint
from simulator.sprite import Sprite, draw_outline, draw_sprite
from simulator.world import LARGEST_MM


def _fruits(label: str, count: int, seed: int = 0) -> list[Fruit]:
    return [sample_fruit(np.random.default_rng([seed, number]), label) for number in range(count)]


def _body_colour(fruit: Fruit) -> npt.NDArray[np.float64]:
    """Mean RGB of the middle of the fruit, where neither calyx nor outline reaches."""
    image = draw_sprite(fruit, px_per_mm=1.5).image
    height, width = image.shape[:2]
    middle = image[height // 3 : -height // 3, width // 3 : -width // 3]
    return np.asarray(middle[middle[..., 3] == 255][:, :3].mean(axis=0), np.float64)


@pytest.mark.parametrize("label", LABELS)
def test_a_sampled_fruit_has_the_label_it_was_asked_for(label: str) -> None:
    assert {fruit.label for fruit in _fruits(label, 300)} == {label}


def test_borderline_fruit_exist_on_both_sides_of_each_threshold() -> None:
    ripeness = {label: [fruit.ripeness for fruit in _fruits(label, 300)] for label in ("unripe", "turning", "ripe")}
    assert max(ripeness["unripe"]) > TURNING_FROM - 0.03
    assert min(ripeness["turning"]) < TURNING_FROM + 0.03
    assert max(ripeness["turning"]) > RIPE_FROM - 0.03
    assert min(ripeness["ripe"]) < RIPE_FROM + 0.03


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="mouldy"):
        sample_fruit(np.random.default_rng(0), "mouldy")


def test_a_bruise_alone_does_not_spoil_what_rot_of_its_size_does() -> None:
    sound = _fruits("ripe", 1)[0]
    bruised, rotten = (
        replace(sound, defects=(Defect(kind, axial=0.2, around_rad=0.0, radius_rad=0.4),)) for kind in ("bruise", "rot")
    )
    assert (bruised.label, rotten.label) == ("ripe", "spoiled")


def test_ripe_fruit_are_red_and_unripe_green_in_rgb() -> None:
    for ripe, unripe in zip(_fruits("ripe", 6), _fruits("unripe", 6), strict=True):
        red, green, blue = _body_colour(ripe)
        assert red > 1.6 * green
        assert red > 1.6 * blue
        red, green, blue = _body_colour(unripe)
        assert green > 1.2 * blue
        assert green > 0.85 * red


def test_defects_of_spoiled_fruit_face_the_camera() -> None:
    for fruit in _fruits("spoiled", 40):
        main = fruit.defects[0]
        assert math.sin(main.around_rad + fruit.pose.roll_rad) > 0.7


def test_another_look_is_the_same_fruit_in_another_pose() -> None:
    fruit = _fruits("turning", 1)[0]
    again = turned(fruit, np.random.default_rng(1))
    assert again.pose != fruit.pose
    assert again.posed(fruit.pose) == fruit


@pytest.mark.parametrize("label", LABELS)
def test_a_turn_in_the_picture_leaves_the_paint_as_it_was(label: str) -> None:
    for fruit in _fruits(label, 8):
        skins = []
        for yaw_rad in (fruit.pose.yaw_rad, fruit.pose.yaw_rad + 1.0):
            posed = fruit.posed(replace(fruit.pose, yaw_rad=yaw_rad))
            skins.append(paint(posed, look_at(posed.shape, posed.pose, px_per_mm=3, margin_mm=1))[0])
        before, after = skins
        assert np.abs(before.colour.mean(axis=0) - after.colour.mean(axis=0)).max() < 2
        assert before.fuzz.mean() == pytest.approx(after.fuzz.mean(), abs=0.02)


def test_a_fruit_is_drawn_the_same_every_time() -> None:
    fruit = _fruits("spoiled", 1)[0]
    assert np.array_equal(draw_sprite(fruit, px_per_mm=2).image, draw_sprite(fruit, px_per_mm=2).image)


def test_a_sprite_is_cut_to_what_shows() -> None:
    alpha = draw_sprite(_fruits("ripe", 1)[0], px_per_mm=2).image[..., 3] > 127
    assert all(edge.any() for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]))


@pytest.mark.parametrize("label", LABELS)
def test_an_outline_is_that_of_the_drawn_fruit(label: str) -> None:
    for fruit in _fruits(label, 12):
        for px_per_mm in (1.0, 2.5):
            drawn, outline = (draw(fruit, px_per_mm=px_per_mm) for draw in (draw_sprite, draw_outline))
            assert np.array_equal(outline.mask, drawn.outline.mask)
            assert outline.extent == drawn.outline.extent


def test_no_fruit_is_larger_than_the_room_that_the_world_gives_it() -> None:
    for sprite in (draw_sprite(fruit, px_per_mm=1) for label in LABELS for fruit in _fruits(label, 40)):
        far = [*sprite.anchor_px, *np.subtract(sprite.size_px, sprite.anchor_px)]
        assert max(far) <= LARGEST_MM / 2


@pytest.mark.parametrize("pose", [Pose(), Pose(yaw_rad=1.1, tilt_rad=0.4, roll_rad=2.0)])
def test_every_visible_point_lies_on_the_body_and_faces_the_camera(pose: Pose) -> None:
    shape = _fruits("ripe", 1)[0].shape
    view = look_at(shape, pose, px_per_mm=2, margin_mm=3)
    off_axis = np.hypot(view.points[:, 1], view.points[:, 2])
    cosine, sine = view.points[:, 1] / off_axis, view.points[:, 2] / off_axis
    expected = radius_mm(shape, view.points[:, 0] / (shape.length_mm / 2), cosine, sine)
    side_on = np.abs(view.points[:, 0]) < 0.45 * shape.length_mm
    assert np.abs(off_axis - expected)[side_on].max() < 0.3
    assert np.mean(view.normals[:, 2] > -0.05) > 0.99
    # Seen from above, a point projects onto the pixel that shows it.
    rows, columns = np.nonzero(view.pixels)
    where = view.to_px(view.points @ basis(pose).T)
    assert np.abs(where - np.stack([columns, rows], axis=1) - 0.5).max() < 1e-2


def test_width_and_length_in_the_picture_are_those_of_the_body() -> None:
    shape = _fruits("ripe", 1)[0].shape
    round_shape = replace(shape, oval=0.0, tri=0.0)
    pixels = look_at(round_shape, Pose(), px_per_mm=4, margin_mm=3).pixels
    assert pixels.any(axis=0).sum() / 4 == pytest.approx(shape.length_mm, abs=0.6)
    assert pixels.any(axis=1).sum() / 4 == pytest.approx(shape.diameter_mm, abs=0.6)


def test_the_shadow_falls_away_from_the_lamp() -> None:
    disc = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(disc, (30, 30), 28, (200, 40, 40, 255), -1)
    for direction in ((-0.4, -0.5, 0.77), (0.6, 0.2, 0.77)):
        layer = make_layer(Sprite(disc, (30.0, 30.0)), px_per_mm=2.0, light=Light(direction=direction))
        y, x = np.indices(layer.cover.shape[:2])
        beside = layer.cover[..., 0] * (layer.colour.max(axis=2) == 0)
        middle = np.array([(beside * x).sum(), (beside * y).sum()]) / beside.sum() + 0.5 - layer.centre_px
        away = -np.array(direction[:2]) / np.hypot(*direction[:2])
        assert middle @ away > 2
        assert abs(middle[0] * away[1] - middle[1] * away[0]) < 0.5


def test_the_side_towards_the_lamp_is_the_lighter_one() -> None:
    fruit = _fruits("unripe", 1)[0]
    from_left, from_right = (
        draw_sprite(fruit, px_per_mm=2, light=Light(direction=(side, 0.0, 0.8))).image for side in (-0.6, 0.6)
    )
    lighter = from_left[..., :3].astype(int).sum(axis=2) - from_right[..., :3].astype(int).sum(axis=2)
    half = lighter.shape[1] // 2
    assert lighter[:, :half].mean() > 20
    assert lighter[:, half:].mean() < -20
