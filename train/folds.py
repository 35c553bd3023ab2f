"""Who learns from which pictures and is judged by which: the validation split, or sources held out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FEWEST_PICTURES = 30
FEWEST_SOURCES = 3
"""With fewer sources, what is left to train on without one is too little like the whole to decide for it."""

SelectBy = Literal["source", "validation"]


@dataclass(frozen=True, slots=True)
class Judge:
    """Pictures, in one view each, that judge what fold `fold` has learned and that it has not learned from."""

    name: str
    fold: int
    train_rows: npt.NDArray[np.int64]
    validation_rows: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a judge's n pictures fared: cross-entropy of each, `[n]`, and whether the answer was right, `[n]`."""

    losses: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Folds:
    """`learns` `[F, N]` says which training pictures each fold learns from. Fold 0 learns from all: it is the model."""

    select_by: SelectBy
    learns: npt.NDArray[np.bool_]
    judges: tuple[Judge, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Those held out in turn."""
        return tuple(judge.name for judge in self.judges) if self.select_by == "source" else ()


def mean_loss(verdicts: Sequence[Verdict]) -> float:
    """Every judge counts the same."""
    return float(np.mean([one.losses.mean() for one in verdicts]))


def held_out_sources(sources: Sequence[str | None], truth: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Sources that can be held out: enough pictures, more than one label, and no label that only they have.

    Args:
        sources: Of each picture of train and validation.
        truth: Its label index, `[N]`.
    """
    chosen = []
    for source in sorted({one for one in sources if one is not None}):
        inside = np.array([one == source for one in sources])
        labels = set(truth[inside])
        if inside.sum() >= FEWEST_PICTURES and len(labels) > 1 and labels <= set(truth[~inside]):
            chosen.append(source)
    return tuple(chosen)


def by_validation(train_pictures: int, validation_pictures: int) -> Folds:
    """One fold, judged by the validation split."""
    judge = Judge("validation", 0, np.arange(0), np.arange(validation_pictures))
    return Folds("validation", np.ones((1, train_pictures), bool), (judge,))


def by_source(train: Sequence[str | None], validation: Sequence[str | None], held_out: Sequence[str]) -> Folds:
    """A fold for each source to hold out, judged by that source's pictures of both splits.

    Args:
        train: Source of each training picture.
        validation: Source of each validation picture.
        held_out: Sources to hold out, from `held_out_sources`.
    """
    learns = np.array([[True] * len(train), *([one != source for one in train] for source in held_out)])
    judges = tuple(
        Judge(source, fold, _rows(train, source), _rows(validation, source))
        for fold, source in enumerate(held_out, start=1)
    )
    return Folds("source", learns, judges)


def _rows(sources: Sequence[str | None], source: str) -> npt.NDArray[np.int64]:
    return np.array([row for row, one in enumerate(sources) if one == source], np.int64)
