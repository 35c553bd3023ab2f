"""Frozen, black, torn and swapped pictures, and those that only look so."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.monitoring.picture_watch import PictureWatch, same_colours, thumbnail
from edge_runtime.records import Image

RNG = np.random.default_rng(5)


def belt(number: int, *, noise: float = 2.0) -> Image:
    """A textured belt that moves by 9 pixels a picture, with a red fruit on it."""
    texture = np.random.default_rng(1).integers(60, 110, (180, 2000, 3), np.uint8)
    texture[70:110, 700:740] = (200, 40, 30)
    picture = texture[:, 600 - 9 * number : 920 - 9 * number].astype(np.float32)
    return np.clip(picture + RNG.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def test_a_moving_belt_is_whole_lit_new_and_moves() -> None:
    watch = PictureWatch(8.0)
    looks = [watch.look(belt(number)) for number in range(30)]
    assert all(look.lit and look.changed and not look.torn for look in looks)
    assert all(look.moving for look in looks[1:])


def test_noise_is_a_change_and_no_movement() -> None:
    watch = PictureWatch(8.0)
    looks = [watch.look(belt(4)) for _ in range(10)]
    assert all(look.changed and not look.moving for look in looks[1:])


def test_the_same_picture_again_is_not_new() -> None:
    watch = PictureWatch(8.0)
    picture = belt(1)
    watch.look(picture)
    assert not watch.look(picture.copy()).changed


def test_black_is_not_lit() -> None:
    watch = PictureWatch(8.0)
    assert not watch.look(belt(1) // 64).lit


@pytest.mark.parametrize("rows", [slice(90, None), slice(0, 90), slice(135, None)])
def test_a_picture_with_a_part_of_the_one_before_is_torn(rows: slice) -> None:
    watch = PictureWatch(8.0)
    for number in range(60):
        before = belt(number % 50)
        watch.look(before)
    torn = belt(20)
    torn[rows] = before[rows]
    assert watch.look(torn).torn
    assert not watch.look(belt(21)).torn


def test_a_frame_of_the_machine_that_a_compressed_stream_repeats_to_the_bit_is_not_torn() -> None:
    watch = PictureWatch(8.0)
    still = RNG.integers(0, 255, (60, 320, 3), np.uint8)
    for number in range(80):
        picture = belt(number % 50)
        picture[:60] = still
        assert not watch.look(picture).torn


def test_red_and_blue_exchanged_are_noticed_in_a_coloured_scene_only() -> None:
    scene = belt(2)
    assert same_colours(thumbnail(scene), thumbnail(scene[..., ::-1])) is None, "one small fruit proves nothing"
    scene[:, 200:] = (180, 60, 40)
    darker = cv2.convertScaleAbs(scene, alpha=0.8)
    assert same_colours(thumbnail(scene), thumbnail(darker)) is True
    assert same_colours(thumbnail(scene), thumbnail(np.ascontiguousarray(darker[..., ::-1]))) is False


def overlay(picture: Image, number: int) -> Image:
    """A clock that an IP camera writes into its picture."""
    drawn = picture.copy()
    drawn[4:14, 4:60] = number * 7 % 250
    return drawn


@pytest.mark.parametrize(("belt_moves", "believed"), [(False, 0), (None, 8), (True, 100)])
def test_a_belt_that_stands_in_a_compressed_stream_is_not_taken_for_torn_pictures(
    belt_moves: bool | None, believed: int
) -> None:
    watch = PictureWatch(8.0)
    for number in range(60):
        watch.look(overlay(belt(number % 50), number))
    still = belt(7)
    watch.look(overlay(still, 0))
    torn = [watch.look(overlay(still, number), belt_moves=belt_moves).torn for number in range(1, 101)]
    assert sum(torn) == believed
