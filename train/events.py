"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from train.run_record import EpochRow, RecipeEvent


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: a stage, and how far it has come of how much."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence about the data that a person should read before the training is paid for."""

    text: str


OnEvent = Callable[[Progress | Notice | EpochRow | RecipeEvent], None]
