"""Smooth random fields: solid ones that stick to a body as it turns, and flat ones for belts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def solid_noise(points: Array, *, wavelength: float, rng: np.random.Generator, waves: int = 14) -> Array:
    """A smooth field over space with standard deviation about 1: a sum of plane waves in random directions.

    Args:
        points: `[n, 3]` positions.
        wavelength: Typical size of a blot, in the unit of `points`.
        rng: Draws directions, frequencies and phases; the same state gives the same field anywhere.
        waves: How many waves are summed.

    Returns:
        `[n]` float32.
    """
    directions = rng.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    frequencies = 2 * np.pi / (wavelength * rng.uniform(0.7, 1.6, size=(waves, 1)))
    vectors = (directions * frequencies).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, size=waves).astype(np.float32)
    field, wave, part = (np.zeros(len(points), np.float32) for _ in range(3))
    # Wave by wave in the same memory: all at once would run out of the processor's cache.
    for vector, phase in zip(vectors, phases, strict=True):
        wave[:] = phase
        for axis in range(3):
            wave += np.multiply(points[:, axis], vector[axis], out=part)
        field += np.sin(wave, out=wave)
    return np.asarray(field * np.float32(np.sqrt(2 / waves)), np.float32)


def flat_noise(height: int, width: int, *, blot_px: float, rng: np.random.Generator) -> Array:
    """A smooth picture, `[height, width]` float32 with standard deviation about 1, periodic in x."""
    rows, columns = max(2, round(height / blot_px) + 1), max(2, round(width / blot_px))
    coarse = rng.normal(size=(rows, columns)).astype(np.float32)
    along = _cubic(np.arange(width) * (columns / width), columns, periodic=True)
    across = _cubic(np.arange(height) * ((rows - 1) / max(1, height - 1)), rows, periodic=False)
    field = across @ coarse @ along.T
    # Rounded, so that the last bits of a sum, which differ from machine to machine, decide nothing.
    return np.asarray(np.round(field / max(float(field.std()), 1e-6), 3), np.float32)


def _cubic(places: npt.NDArray[np.float64], count: int, *, periodic: bool) -> Array:
    """Weights `[places, count]` of cubic convolution (Keys 1981) over samples at 0, 1, … count - 1.

    OpenCV's own remapping rounds places differently from version to version.
    """
    weights = np.zeros((len(places), count))
    whole = np.floor(places).astype(int)
    for tap in range(-1, 3):
        away = np.abs(places - whole - tap)
        near = 1.25 * away**3 - 2.25 * away**2 + 1
        far = -0.75 * (away**3 - 5 * away**2 + 8 * away - 4)
        sample = (whole + tap) % count if periodic else np.clip(whole + tap, 0, count - 1)
        np.add.at(weights, (np.arange(len(places)), sample), np.where(away <= 1, near, far))
    return weights.astype(np.float32)
