"""The one way from pixels to model input, shared by training, export, evaluation and the line.

The scaling that the backbone was trained with (x / 127.5 - 1) is not here: it is part of every model graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.records import Box, Image

FINGERPRINT_SIZE_PX = 24
FINGERPRINT_MAX_LEVELS = 4
FINGERPRINT_MEAN_LEVELS = 0.5


class InputSpec(BaseModel):
    """What a model takes and how a box becomes it: part of every bundle.

    `margin` is added on each side, as a share of the box's longer side. `padding` says what stands where the square
    reaches beyond the picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(ge=32, le=1024)
    margin: float = Field(default=0.1, ge=0.0, le=1.0)
    padding: Literal["edge"] = "edge"
    resize: Literal["area-or-linear"] = "area-or-linear"
    layout: Literal["NHWC"] = "NHWC"
    channels: Literal["RGB"] = "RGB"
    dtype: Literal["uint8"] = "uint8"


def to_model_input(image: Image, box: Box | None, spec: InputSpec) -> Image:
    """Cut one fruit out of a picture and bring it to the model's size.

    The square around the box, margin included, is taken from the picture (so that a fruit keeps its proportions and its
    real surroundings) and resized by area averaging when it shrinks, linearly when it grows.

    Args:
        image: `[height, width, 3]` uint8 RGB.
        box: The fruit. None for a picture that is itself a crop with its margin: the square around the whole picture.
        spec: The model's input.

    Returns:
        `[size_px, size_px, 3]` uint8 RGB, contiguous.
    """
    target = np.empty((spec.size_px, spec.size_px, 3), np.uint8)
    _fill(target, image, box, spec)
    return target


def to_model_inputs(crops: Sequence[tuple[Image, Box]], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Several fruit as a batch, `[len(crops), size_px, size_px, 3]` uint8 RGB; each a picture and a box in it."""
    batch = np.empty((len(crops), spec.size_px, spec.size_px, 3), np.uint8)
    for target, (image, box) in zip(batch, crops, strict=True):
        _fill(target, image, box, spec)
    return batch


def fingerprint(spec: InputSpec) -> npt.NDArray[np.uint8]:
    """What this machine's preprocessing makes of fixed pictures: `[cases, 24, 24, 3]` uint8.

    The cases shrink, grow, pad on each side and take the whole picture, with three unequal colour channels, so that a
    different resizer, margin, padding or channel order shows. Compare with `fingerprints_agree`.
    """
    small = spec.model_copy(update={"size_px": FINGERPRINT_SIZE_PX})
    cases = [
        (_pattern(90, 120), Box(30, 20, 50, 40)),
        (_pattern(90, 120), Box(-5, 60, 40, 35)),
        (_pattern(90, 120), Box(95, -8, 30, 50)),
        (_pattern(16, 12), Box(3, 4, 6, 7)),
        (_pattern(61, 37), None),
    ]
    return np.stack([to_model_input(image, box, small) for image, box in cases])


def fingerprints_agree(mine: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8]) -> bool:
    """Whether two fingerprints differ by no more than OpenCV versions may (4 grey levels at most, 0.5 on average)."""
    if mine.shape != theirs.shape:
        return False
    difference = np.abs(mine.astype(np.int16) - theirs.astype(np.int16))
    return bool(difference.max() <= FINGERPRINT_MAX_LEVELS and difference.mean() <= FINGERPRINT_MEAN_LEVELS)


def cut_out(image: Image, box: Box | None, margin: float) -> Image:
    """The square around a fruit as the model will see it, in the picture's own pixels: what is worth keeping.

    `to_model_input` gives the same for it, with None as its box, as for the picture that it came from.

    Args:
        image: `[height, width, 3]` uint8 RGB.
        box: The fruit; None for the whole picture.
        margin: On each side, as a share of the box's longer side.

    Returns:
        `[side, side, 3]` uint8 RGB, a view into `image` where the square lies wholly in it.
    """
    x0, y0, side = _square(image.shape, box, margin)
    height, width = image.shape[:2]
    x1, y1 = x0 + side, y0 + side
    crop: Any = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        crop = cv2.copyMakeBorder(
            crop, max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0), cv2.BORDER_REPLICATE
        )
    return crop  # type: ignore[no-any-return]


def _fill(target: Image, image: Image, box: Box | None, spec: InputSpec) -> None:
    crop = cut_out(image, box, spec.margin)
    interpolation = cv2.INTER_AREA if crop.shape[0] > spec.size_px else cv2.INTER_LINEAR
    cv2.resize(crop, (spec.size_px, spec.size_px), dst=target, interpolation=interpolation)


def _square(shape: tuple[int, ...], box: Box | None, margin: float) -> tuple[int, int, int]:
    """Upper left corner and side, whole pixels, of the square to cut."""
    if box is None:
        height, width = shape[:2]
        side = max(height, width)
        return (width - side) // 2, (height - side) // 2, side
    side = max(1, round(max(box.width_px, box.height_px) * (1 + 2 * margin)))
    centre_x, centre_y = box.centre_px
    # A square wholly outside the picture has no pixels to show; keep at least its nearest ones.
    x0 = min(max(round(centre_x - side / 2), 1 - side), shape[1] - 1)
    y0 = min(max(round(centre_y - side / 2), 1 - side), shape[0] - 1)
    return x0, y0, side


def _pattern(height: int, width: int) -> Image:
    """A picture with slopes, edges and fine texture that differs between the channels, from integers alone."""
    y, x = np.mgrid[0:height, 0:width]
    red = (x * 5 + y * 2) % 256
    green = (x * y // 3 + 40 * ((x // 7 + y // 5) % 2)) % 256
    blue = (255 - y * 2 + 90 * ((x // 3) % 2)) % 256
    pattern: Image = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    return pattern
