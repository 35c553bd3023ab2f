"""A real belt to ride on: a photograph of it, or the first picture of a film."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.cameras import open_camera
from edge_runtime.errors import InputError
from edge_runtime.records import Image
from evaluation.picture import PICTURE_SUFFIXES, read_image


def belt_from_picture(path: Path, *, height_px: int, min_period_px: int) -> Image:
    """A texture whose ends meet: the picture, scaled to the belt's width, followed by its mirror image.

    Args:
        path: A picture file, or a film whose first frame is taken. The belt should be empty in it and run sideways.
        height_px: Width of the belt as the simulated camera sees it.
        min_period_px: The texture repeats its two halves up to at least this length.

    Raises:
        InputError: No such file, or no picture in it.
        CameraError: The film cannot be opened.
    """
    picture = read_image(path) if path.suffix.lower() in PICTURE_SUFFIXES else _first_frame(path)
    width_px = max(2, round(picture.shape[1] * height_px / picture.shape[0]))
    sized = np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
    both = np.concatenate([sized, sized[:, ::-1]], axis=1)
    return np.tile(both, (1, -(-min_period_px // both.shape[1]), 1))


def _first_frame(path: Path) -> Image:
    if not path.is_file():
        raise InputError(f"{path}: no such file", expected="a photograph or film of an empty belt")
    camera = open_camera(str(path))
    try:
        return next(frame.image for frame in camera.frames())
    finally:
        camera.close()
