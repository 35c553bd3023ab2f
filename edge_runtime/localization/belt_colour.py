"""The empty belt by its colours, for pictures in which little of it shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.localization.background import BeltGuess
from edge_runtime.records import Image

Colour = tuple[int, int, int]

# Luma changes with the light, the colour differences hardly do.
LUMA_SHARE = (0.5, 1.6)
CHROMA_LEVELS = 10.0
WINDOW_SHARE = 0.25
LEAST_COVER = 0.02
LEAST_SPREAD = 2.0
MOST_COLOURS = 3
SAME_LEVELS = 14.0


@dataclass(frozen=True, slots=True)
class KnownBelt:
    """The belt in one picture: `scene` `[h, w, 3]` is the picture with belt in place of what is none."""

    guess: BeltGuess
    scene: Image


def is_belt(picture: Image, colours: Sequence[Colour]) -> npt.NDArray[np.bool_]:
    """`[h, w]`: which pixels have a colour of the belt, brighter or darker.

    Args:
        picture: `[h, w, 3]` uint8 YCrCb.
        colours: RGB, 0 to 255.
    """
    wanted = cv2.cvtColor(np.array([colours], np.uint8), cv2.COLOR_RGB2YCrCb)[0].astype(np.float32)
    luma, red, blue = (plane.astype(np.float32) for plane in cv2.split(picture))
    found = np.zeros(luma.shape, np.bool_)
    for own_luma, own_red, own_blue in wanted:
        ratio = luma / max(float(own_luma), 1.0)
        # Colour differences grow with the light that falls on them.
        shift = np.maximum(np.abs(red - 128 - (own_red - 128) * ratio), np.abs(blue - 128 - (own_blue - 128) * ratio))
        found |= (ratio > LUMA_SHARE[0]) & (ratio < LUMA_SHARE[1]) & (shift <= CHROMA_LEVELS)
    return found


def other_than_most(colours: Sequence[Colour]) -> tuple[Colour, ...]:
    """Those that are no brighter or darker kind of the first, the commonest: a stripe, or no belt at all."""
    if not colours:
        return ()
    alike = is_belt(np.asarray(cv2.cvtColor(np.array([colours], np.uint8), cv2.COLOR_RGB2YCrCb)), colours[:1])[0]
    return tuple(colour for colour, same in zip(colours, alike, strict=True) if not same)


def known_belt(picture: Image, colours: Sequence[Colour]) -> KnownBelt | None:
    """What the belt looks like everywhere, from where it shows (normalised convolution, Knutsson and Westin 1993).

    Args:
        picture: `[h, w, 3]` uint8 YCrCb.
        colours: Of the belt, RGB.

    Returns:
        None where hardly anything in the picture has such a colour: then the colours are not this belt's.
    """
    shows = is_belt(picture, colours)
    if np.count_nonzero(shows) < LEAST_COVER * shows.size:
        return None
    # Not up to its border, where a fruit's soft edge mixes in.
    inner = cv2.erode(shows.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    weight = inner if np.count_nonzero(inner) >= LEAST_COVER * inner.size else shows.astype(np.float32)
    side = 2 * round(WINDOW_SHARE * min(shows.shape) / 2) + 1
    cover = cv2.blur(weight, (side, side))[..., None]
    whole = np.average(picture.reshape(-1, 3), axis=0, weights=weight.ravel())
    few = LEAST_COVER * np.ones(3)

    def spread_out(values: npt.NDArray[np.float32], usual: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        blurred = cv2.blur(values * weight[..., None], (side, side))
        return np.asarray((blurred + few * usual) / (cover + few), np.float32)

    expected = spread_out(picture.astype(np.float32), whole)
    spread = spread_out(np.abs(picture - expected), np.full(3, LEAST_SPREAD))
    rounded = np.clip(np.rint(expected), 0, 255).astype(np.uint8)
    scene = np.where(weight[..., None] > 0, picture, rounded)
    return KnownBelt(BeltGuess(rounded, spread), np.ascontiguousarray(scene))


def belt_colours(samples: Image) -> tuple[Colour, ...]:
    """The few colours that pixels of a belt have, the commonest first.

    Args:
        samples: `[n, m, 3]` uint8 RGB, belt alone.
    """
    pixels = samples.reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    count = min(MOST_COLOURS, len(np.unique(pixels, axis=0)))
    _, labels, centres = cv2.kmeans(pixels, count, None, stop, 3, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    shares = np.bincount(labels.ravel(), minlength=count)
    kept: list[npt.NDArray[np.float32]] = []
    for number in np.argsort(-shares):
        if all(np.abs(centres[number] - other).max() > SAME_LEVELS for other in kept):
            kept.append(centres[number])
    return tuple((round(float(red)), round(float(green)), round(float(blue))) for red, green, blue in kept)
