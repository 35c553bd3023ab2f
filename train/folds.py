"""Who learns from which pictures and is judged by which: the validation split, or sources held out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from evaluation.temperature import fit_temperature
from train.loss import cross_entropy

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

    def every(self, step: int) -> Judge:
        """The same with one picture in `step`."""
        return replace(self, train_rows=self.train_rows[::step], validation_rows=self.validation_rows[::step])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge's n pictures were answered, `logits` `[n, labels]`, and what they are, `truth` `[n]`."""

    logits: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]

    @property
    def losses(self) -> npt.NDArray[np.float64]:
        """Cross-entropy of each picture, `[n]`."""
        return cross_entropy(self.logits, self.truth)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each answer is right, `[n]`."""
        return np.asarray(self.logits.argmax(axis=-1) == self.truth)


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


@dataclass(frozen=True, slots=True)
class Tempered:
    """The temperature that suits all judges' pictures together, and each judge's mean loss at it, `[judges]`."""

    temperature: float
    losses: npt.NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Every judge counts the same."""
        return float(self.losses.mean())


def tempered(verdicts: Sequence[Verdict]) -> Tempered:
    """How good answers are once their temperature is right, as it will be in what ships."""
    temperature = fit_temperature(
        np.concatenate([one.logits for one in verdicts]), np.concatenate([one.truth for one in verdicts])
    )
    scaled = [cross_entropy(one.logits / np.float32(temperature), one.truth) for one in verdicts]
    return Tempered(temperature, np.array([one.mean() for one in scaled]))


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
