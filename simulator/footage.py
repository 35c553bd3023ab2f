"""A real belt to ride on: a photograph of it, or a film in which it runs past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.cameras import open_camera
from edge_runtime.errors import InputError
from edge_runtime.records import BeltDirection, Frame, Image
from edge_runtime.tracking.belt_texture import BeltTexture
from evaluation.picture import PICTURE_SUFFIXES, read_image
from simulator.belt_film import BeltStrip, levelled, ring

_MOST_BYTES = 32_000_000
"""Of a belt's texture; at 1280 x 720 this is eleven widths of the picture."""

_PATIENCE = 1800
"""Pictures in which a belt must be seen to run: a minute of most films."""

_OVERLAP = 8
"""The part of a picture's width in which the ends of a belt go over into one another."""

_DIRECTIONS = (BeltDirection.RIGHT, BeltDirection.LEFT)


def belt_from_picture(path: Path, *, height_px: int, min_period_px: int) -> Image:
    """A texture whose ends meet, scaled to the belt's width.

    A photograph is followed by its mirror image. A film gives as much of the belt as runs past in it, put together,
    or as fits into some memory.

    Args:
        path: A picture file, or a film. The belt should be empty in it and run sideways, either way.
        height_px: Width of the belt as the simulated camera sees it.
        min_period_px: The texture is repeated up to at least this length.

    Raises:
        InputError: No such file, no picture in it, or no belt that is seen to run.
        CameraError: The film cannot be opened.
    """
    if not path.is_file():
        raise InputError(f"belt.picture: {path}: no such file", expected="a photograph or film of an empty belt")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        sized = _sized(read_image(path), height_px)
        period = np.concatenate([sized, sized[:, ::-1]], axis=1)
    else:
        period = _belt_of_film(path, path.stat().st_mtime_ns, height_px)
    return np.tile(period, (1, -(-min_period_px // period.shape[1]), 1))


@lru_cache(maxsize=1)
def _belt_of_film(path: Path, _changed_ns: int, height_px: int) -> Image:
    """One period of the belt; read once, as a camera that is opened again shows the same."""
    most_px = _MOST_BYTES // (3 * height_px)
    direction, ways_px, width_px = _followed(path, height_px, most_px)
    strip = BeltStrip(direction, most_px=most_px)
    for frame, way_px in zip(_frames(path), ways_px, strict=False):
        if strip.wants(way_px):
            strip.add(_sized(frame.image, height_px), way_px)
    if strip.length_px < width_px:
        raise InputError(
            f"belt.picture: {path}: the belt runs {strip.length_px / width_px:.0%} of the picture's width in it.",
            expected="a film in which at least one width runs past",
            remedy="take a longer film, or name a photograph of the belt instead",
        )
    even = levelled(strip.picture(), within_px=width_px)
    return ring(even, least_px=even.shape[1] // 2, overlap_px=width_px // _OVERLAP)


def _followed(path: Path, height_px: int, most_px: int) -> tuple[BeltDirection, list[float], int]:
    """Which way the belt runs, its way at each picture, and how wide a picture is, all in pixels of the texture."""
    followers = {direction: BeltTexture(direction) for direction in _DIRECTIONS}
    ways_px: dict[BeltDirection, list[float]] = {direction: [] for direction in _DIRECTIONS}
    sure = Counter[BeltDirection]()
    width_px = 0
    for frame in _frames(path):
        scale = height_px / frame.image.shape[0]
        width_px = round(frame.image.shape[1] * scale)
        for direction, follower in followers.items():
            step = follower.see(frame.image, frame.captured_ns)
            ways_px[direction].append(step.way_px * scale)
            sure[direction] += step.sure
        farthest_px = max(ways_px[direction][-1] for direction in followers)
        if len(followers) > 1 and farthest_px > width_px:
            # A weave looks alike a pitch further back, now and then: the way that is seen more often is the belt's.
            followers.pop(min(followers, key=lambda direction: sure[direction]))
        if farthest_px > most_px or (frame.index >= _PATIENCE and not sure.total()):
            break
    if not sure.total():
        raise InputError(
            f"belt.picture: no belt is seen to run in {path}.",
            expected="a film of an empty belt that runs along the picture's width and fills most of its height",
            remedy="cut the film to the belt, turn it if the belt runs up or down, or name a photograph instead",
        )
    direction = max(followers, key=lambda one: sure[one])
    return direction, ways_px[direction], width_px


def _frames(path: Path) -> Iterator[Frame]:
    camera = open_camera(str(path))
    try:
        yield from camera.frames()
    finally:
        camera.close()


def _sized(picture: Image, height_px: int) -> Image:
    width_px = max(2, round(picture.shape[1] * height_px / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
