"""What a person can set about a training run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge_runtime.deciding.decide import Policy
from edge_runtime.settings.decision_settings import PolicySettings
from train.folds import SelectBy
from train.schedule import Schedule

DEFAULT_SIZE_PX = 160


def _number_if_it_is_one(value: object) -> object:
    """`"100"` is a layer's number and `"0.2"` a share, also when they come as text."""
    for number in (int, float):
        if isinstance(value, str):
            with suppress(ValueError):
                value = number(value)
    return value


Boundary = Annotated[int | float | str, BeforeValidator(_number_if_it_is_one)]


class TrainConfig(BaseModel):
    """Settings of the recipe; the defaults are what to use for a first result.

    Attributes:
        data: Folder of labelled pictures (`evaluation.dataset.read_dataset`).
        labels: Ripeness order; None takes `labels.txt` or the alphabet.
        weights: `imagenet` (downloads), `starter` (comes with Ripeline, alpha 0.35), `none` (random) or a file.
        alpha: Width of MobileNetV2.
        size_px: Side of the square that the model sees.
        epochs: Ceiling of phase one, which ends by itself on a plateau.
        fine_tune_epochs: Ceiling of phase two, its length where the rate falls; 0 leaves the backbone as it is.
        fine_tune_at: From where on phase two may change the backbone: a layer's number or name, the share of layers to
            unfreeze counted from the end (0.2), or `auto`, which tries a few and may unfreeze nothing.
        select_by: Whose loss ends phase one and chooses what to unfreeze: sources held out in turn, or the validation
            split; None takes sources where there are enough.
        fine_tune_rate: Learning rate of phase two; the highest where it falls.
        fine_tune_schedule: Whether that rate stays, and the phase ends on a plateau, or rises for an epoch, falls along
            a cosine to 0 and ends there (`train.schedule`): for most of the backbone and many pictures.
        domain: Column of `manifest.csv` that says where a picture comes from.
        seed: Of the split, the views and the training.
        head_rate: Learning rate of phase one, whose heads decide when it ends and what to unfreeze, and where phase two
            begins. Where sources judge and nothing is unfrozen, the final head is fitted to its end from there
            (`train.finish`) and depends on `head_decay` alone.
        dropout: Share of the features hidden from the head at each step of phases one and two; as for `head_rate`.
        views: Pictures kept of each training picture: itself and `views - 1` augmented ones.
        head_decay: L2 penalty on the head, on features of unit spread, whenever one is fitted: here or by `adapt`.
        cache_budget_mb: Memory for what the frozen part returned; beyond it the run's folder on disk is used.
        policy: Whose cost is counted on the test split, and an export's default; None accepts the last label.
        retention: Pictures whose features fine-tuning should keep: forgetting is measured on them as well.
        target: Unlabelled pictures from the line, to compare with those of training.
        patience: Epochs without an improvement of the judging loss by more than `min_delta` that end a phase.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    labels: tuple[str, ...] | None = None
    weights: str = "imagenet"
    alpha: float = 0.35
    size_px: int = Field(default=DEFAULT_SIZE_PX, ge=32, le=1024)
    epochs: int = Field(default=200, ge=1)
    fine_tune_epochs: int = Field(default=10, ge=0)
    fine_tune_at: Boundary = "auto"
    select_by: SelectBy | None = None
    domain: str = "source"
    seed: int = Field(default=0, ge=0, lt=2**32)
    views: int = Field(default=8, ge=1)
    batch_size: int = Field(default=32, ge=1)
    head_rate: float = Field(default=3e-4, gt=0)
    head_decay: float = Field(default=1e-2, ge=0)
    fine_tune_rate: float = Field(default=1e-5, gt=0)
    fine_tune_schedule: Schedule = "constant"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    cache_budget_mb: float = Field(default=2048, ge=0)
    policy: PolicySettings | None = None
    retention: Path | None = None
    target: Path | None = None
    patience: int = Field(default=20, ge=1)
    min_delta: float = Field(default=1e-3, ge=0)

    def policy_for(self, labels: Sequence[str]) -> Policy:
        """The policy for a model of these labels; raises InputError when it names others."""
        return (self.policy or PolicySettings(accept=tuple(labels[-1:]))).policy(labels, "bundle")
