"""What a person can set about a training run."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_SIZE_PX = 160
LAST_FIFTH = 125
"""First layer of MobileNetV2's block 14: 29 of 154 layers follow, and a single tensor enters it."""


class TrainConfig(BaseModel):
    """Settings of the recipe; the defaults are what to use for a first result.

    Attributes:
        data: Folder of labelled pictures (`evaluation.dataset.read_dataset`).
        labels: Ripeness order; None takes `labels.txt` or the alphabet.
        weights: `imagenet` (downloads), `starter` (comes with Ripeline, alpha 0.35), `none` (random) or a file.
        alpha: Width of MobileNetV2.
        size_px: Side of the square that the model sees.
        epochs: Ceiling of phase one, which ends by itself on a plateau.
        fine_tune_epochs: Ceiling of phase two; 0 leaves the backbone as it is.
        fine_tune_at: First backbone layer that phase two may change.
        seed: Of the split, the views and the training.
        views: Pictures kept of each training picture: itself and `views - 1` augmented ones.
        head_decay: L2 penalty on the head in phase one, on features of unit spread.
        patience: Epochs without an improvement of validation loss by more than `min_delta` that end a phase.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    labels: tuple[str, ...] | None = None
    weights: str = "imagenet"
    alpha: float = 0.35
    size_px: int = Field(default=DEFAULT_SIZE_PX, ge=32, le=1024)
    epochs: int = Field(default=100, ge=1)
    fine_tune_epochs: int = Field(default=10, ge=0)
    fine_tune_at: int = Field(default=LAST_FIFTH, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)
    views: int = Field(default=4, ge=1)
    batch_size: int = Field(default=32, ge=1)
    head_rate: float = Field(default=3e-4, gt=0)
    head_decay: float = Field(default=3e-3, ge=0)
    fine_tune_rate: float = Field(default=1e-5, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    patience: int = Field(default=8, ge=1)
    min_delta: float = Field(default=1e-3, ge=0)
