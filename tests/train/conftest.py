from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from train import Run, TrainConfig, train_run

LABELS = ("green", "pink", "red")
COLOURS = {"green": (60, 170, 60), "pink": (220, 150, 130), "red": (200, 30, 40)}
SIZE_PX = 96


def draw_folder(folder: Path, per_label: int) -> Path:
    """Noisy discs of three colours on brown, as JPEG."""
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for i in range(per_label):
            image = np.full((SIZE_PX, SIZE_PX, 3), (90, 70, 50), np.float32)
            centre = tuple(int(c) for c in rng.integers(38, 58, 2))
            cv2.circle(image, centre, int(rng.integers(22, 34)), colour, -1)
            noisy = np.clip(image + rng.normal(0, 15, image.shape), 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / label / f"{label}_{i:03}.jpg"), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    (folder / "labels.txt").write_text("\n".join(LABELS))
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 drawn pictures of each of three labels."""
    return draw_folder(tmp_path_factory.mktemp("drawn") / "data", 24)


@pytest.fixture(scope="session")
def small(drawn: Path) -> Callable[..., TrainConfig]:
    """A config that trains on the drawn pictures in seconds."""

    def config(**changes: object) -> TrainConfig:
        quick: dict[str, object] = {
            "data": drawn, "weights": "none", "size_px": SIZE_PX, "epochs": 30, "fine_tune_epochs": 2, "views": 2,
            "head_rate": 0.01, "fine_tune_at": 125, "select_by": "validation",
        }  # fmt: skip
        return TrainConfig.model_validate(quick | changes)

    return config


@pytest.fixture(scope="session")
def run(small: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One finished run on the drawn pictures; do not change its folder."""
    return train_run(small(), tmp_path_factory.mktemp("run") / "RUN")
