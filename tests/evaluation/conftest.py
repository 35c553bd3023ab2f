from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

COLOURS = {"green": (60, 170, 60), "pink": (220, 150, 130), "red": (200, 30, 40)}
Write = Callable[[str, np.ndarray], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an RGB (or grey, or RGBA) array below `tmp_path`."""

    def write(file: str, pixels: np.ndarray) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        to_bgr = {(3, 3): cv2.COLOR_RGB2BGR, (3, 4): cv2.COLOR_RGBA2BGRA}.get((pixels.ndim, pixels.shape[-1]))
        assert cv2.imwrite(str(path), pixels if to_bgr is None else cv2.cvtColor(pixels, to_bgr))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Path:
    """Three pictures of each of green, pink and red."""
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        for i in range(3):
            noisy = np.clip(np.array(colour) + rng.normal(0, 10, (40, 48, 3)), 0, 255).astype(np.uint8)
            write(f"{label}/{i}.jpg", noisy)
    return tmp_path
