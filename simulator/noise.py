"""Smooth random fields: solid ones that stick to a body as it turns, and flat ones for belts."""

from __future__ import annotations

import cv2
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
    return np.asarray(np.sin(points @ vectors.T + phases).sum(axis=1) * np.sqrt(2 / waves), np.float32)


def flat_noise(height: int, width: int, *, blot_px: float, rng: np.random.Generator) -> Array:
    """A smooth picture, `[height, width]` float32 with standard deviation about 1, periodic in x."""
    rows, columns = max(2, round(height / blot_px) + 1), max(2, round(width / blot_px))
    coarse = rng.normal(size=(rows, columns)).astype(np.float32)
    wrapped = np.concatenate([coarse[:, -2:], coarse, coarse[:, :2]], axis=1)
    x = (np.arange(width, dtype=np.float32) * (columns / width) + 2)[None, :].repeat(height, axis=0)
    y = (np.arange(height, dtype=np.float32) * ((rows - 1) / max(1, height - 1)))[:, None].repeat(width, axis=1)
    field = np.asarray(cv2.remap(wrapped, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)
