from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from simulator.dataset import write_dataset

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 simulated pictures of each of four labels, with groups; never change it, copy it."""
    folder = tmp_path_factory.mktemp("simulated") / "data"
    write_dataset(folder, per_class=20, image_size_px=96, seed=3)
    return folder


@pytest.fixture
def data(simulated: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(simulated, tmp_path / "data"))


@pytest.fixture
def change() -> Callable[[Path, Path, Callable[[Pixels], Pixels]], None]:
    """Write what a function makes of a picture, as JPEG of quality 80."""

    def write(source: Path, target: Path, make: Callable[[Pixels], Pixels]) -> None:
        changed = np.ascontiguousarray(make(cv2.imread(str(source))))
        assert cv2.imwrite(str(target), changed, [cv2.IMWRITE_JPEG_QUALITY, 80])

    return write
