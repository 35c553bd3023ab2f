"""Other views of a training picture, as a camera above a line would take them.

Colour carries the label, so nothing here moves a hue: light changes by one factor for all channels. Every part was
measured on sources held out of the training (`docs/recipe.md`); those that earned nothing are not here.

OpenCV and NumPy rather than Keras's preprocessing layers: each picture must be drawn from its own seed whichever
thread gets to it, and the layers have neither belts, motion blur, sensor noise nor JPEG.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image

BELT_SHARE = 0.3
BELT_COLOURS = (
    (10, 10, 10),
    (42, 43, 45),
    (120, 120, 120),
    (180, 175, 160),
    (215, 215, 210),
    (40, 90, 160),
    (20, 60, 110),
    (40, 120, 70),
)
"""RGB of usual belts: black, greys, beige, white, blues, green."""
BELT_SHADE = 0.3
BELT_NOISE = 8.0
FRUIT_WIDTH = (0.76, 0.96)
FRUIT_LENGTH = (0.80, 1.00)
"""Axes of the ellipse that is taken for the fruit, as shares of the picture."""
LARGEST_SCALE_CHANGE = 0.1
LARGEST_SHIFT = 0.05
LARGEST_GAIN_CHANGE = 0.15
LARGEST_GRADIENT = 0.3
DEFOCUS_SHARE, LARGEST_DEFOCUS = 0.4, 2 / 160
MOTION_SHARE, LONGEST_MOTION = 0.2, 7 / 160
"""Sigma of the blur, and length of the smear, as shares of the picture's side."""
NOISE_SHARE, STRONGEST_NOISE = 0.4, 8.0
JPEG_SHARE, JPEG_QUALITY = 0.3, (30, 95)


def augmented_view(inputs: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One view of each picture, in the order in which the world changes it: belt, pose, light, lens, sensor, file.

    Sometimes a plain belt instead of what surrounds the fruit; turned by any angle, perhaps mirrored, slightly scaled
    and shifted; brighter or darker, on one side more than on the other; sometimes out of focus, smeared by motion,
    noisy, or compressed.

    Args:
        inputs: `[N, size, size, 3]` uint8 RGB.
        rng: Decides everything.

    Returns:
        A new array of the same shape.
    """
    views = np.empty_like(inputs)
    for picture, view in zip(inputs, views, strict=True):
        if rng.random() < BELT_SHARE:
            changed = _posed(_on_a_belt(picture, rng), cv2.BORDER_REPLICATE, rng)
        else:
            changed = _posed(picture, cv2.BORDER_REFLECT_101, rng)
        changed = _lit(changed, rng)
        if rng.random() < DEFOCUS_SHARE:
            changed = _out_of_focus(changed, rng)
        if rng.random() < MOTION_SHARE:
            changed = _smeared(changed, rng)
        if rng.random() < NOISE_SHARE:
            changed = _noisy(changed, rng.uniform(0, STRONGEST_NOISE), rng)
        if rng.random() < JPEG_SHARE:
            changed = _compressed(changed, int(rng.integers(*JPEG_QUALITY)))
        view[:] = changed
    return views


def _on_a_belt(picture: Image, rng: np.random.Generator) -> Image:
    """A plain belt outside an ellipse.

    Where the fruit is follows from how crops are made, around its box; a mask found by colour would be wrong
    just where colours are unusual.
    """
    size = picture.shape[0]
    axes = [rng.uniform(*FRUIT_WIDTH), rng.uniform(*FRUIT_LENGTH)]
    if rng.random() < 0.5:
        axes.reverse()
    fruit = np.zeros((size, size), np.float32)
    half = [round(size * axis / 2) for axis in axes]
    cv2.ellipse(fruit, (size // 2, size // 2), half, 0, 0, 360, (1.0,), cv2.FILLED)
    fruit = cv2.GaussianBlur(fruit, (0, 0), size / 80)  # type: ignore[assignment]
    shade = math.exp(rng.uniform(-BELT_SHADE, BELT_SHADE))
    colour = np.clip(np.array(BELT_COLOURS[rng.integers(len(BELT_COLOURS))]) * shade, 0, 255)
    belt = _noisy(np.full_like(picture, colour), rng.uniform(0, BELT_NOISE), rng)
    return cv2.blendLinear(picture, belt, fruit, 1 - fruit)  # type: ignore[return-value]


def _posed(picture: Image, border: int, rng: np.random.Generator) -> Image:
    """Turned, mirrored, scaled, shifted; `border` is OpenCV's rule for what comes in from outside."""
    size = picture.shape[0]
    scale = math.exp(rng.uniform(-LARGEST_SCALE_CHANGE, LARGEST_SCALE_CHANGE))
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), rng.uniform(0, 360), scale)
    shift = rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2) * size
    turn = turn + np.column_stack([np.zeros((2, 2)), shift])
    seen = np.ascontiguousarray(picture[:, ::-1]) if rng.random() < 0.5 else picture
    return cv2.warpAffine(seen, turn, (size, size), borderMode=border)  # type: ignore[return-value]


def _lit(picture: Image, rng: np.random.Generator) -> Image:
    """One gain for the whole picture times a slope across it, the same for all channels."""
    gain = math.exp(rng.uniform(-LARGEST_GAIN_CHANGE, LARGEST_GAIN_CHANGE))
    slope, direction = rng.uniform(0, LARGEST_GRADIENT), rng.uniform(0, 2 * math.pi)
    along = np.linspace(-0.5, 0.5, picture.shape[0], dtype=np.float32)
    light = gain * (1 + slope * (math.cos(direction) * along + math.sin(direction) * along[:, None]))
    return cv2.multiply(picture, cv2.merge([light, light, light]), dtype=cv2.CV_8U)  # type: ignore[return-value]


def _out_of_focus(picture: Image, rng: np.random.Generator) -> Image:
    sigma = rng.uniform(0.15, 1) * LARGEST_DEFOCUS * picture.shape[0]
    return cv2.GaussianBlur(picture, (0, 0), sigma)  # type: ignore[return-value]


def _smeared(picture: Image, rng: np.random.Generator) -> Image:
    """Smeared along a line: the belt moves while the shutter is open."""
    length = int(rng.integers(3, max(round(LONGEST_MOTION * picture.shape[0]), 3) + 1))
    middle, direction = (length - 1) / 2, rng.uniform(0, math.pi)
    reach = np.array([math.cos(direction), math.sin(direction)]) * middle
    start, end = (np.rint(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    path = np.zeros((length, length), np.float32)
    cv2.line(path, start, end, (1.0,))
    return cv2.filter2D(picture, -1, path / path.sum())  # type: ignore[return-value]


def _noisy(picture: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Normal noise, each value from one random byte through the inverse of the distribution: ten times as fast."""
    bytes_ = np.frombuffer(rng.bytes(picture.size), np.uint8).reshape(picture.shape)
    noise = cv2.LUT(bytes_, np.float32(sigma) * _NORMAL_QUANTILES)
    return cv2.add(picture, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]


_NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


def _compressed(picture: Image, quality: int) -> Image:
    blue_first = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, file = cv2.imencode(".jpg", blue_first, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
