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
MOST_FOLDS = 8
"""Each costs a head, and a share of every trial of a boundary; more of them decide no better."""

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
    """Who learns from what, and who judges.

    Attributes:
        select_by: Whether held-out sources judge, or the validation split.
        learns: `[F, N]`, which training pictures each fold learns from. Fold 0 learns from all: it is the model.
        judges: One a fold from 1 on, or the validation split, of fold 0.
        groups: Of each validation picture, where that split judges and somebody knows.
    """

    select_by: SelectBy
    learns: npt.NDArray[np.bool_]
    judges: tuple[Judge, ...]
    groups: Sequence[str] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Those held out in turn; of several that are held out together, their names in one."""
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


def obstacles(sources: Sequence[str | None], truth: npt.NDArray[np.int64]) -> dict[str, str | None]:
    """Of each source, in alphabetical order, what keeps it from being held out; None where nothing does.

    It needs enough pictures, more than one label, and no label that only it has.

    Args:
        sources: Of each picture of train and validation.
        truth: Its label index, `[N]`.
    """
    found: dict[str, str | None] = {}
    for source in sorted({one for one in sources if one is not None}):
        inside = np.array([one == source for one in sources])
        if inside.sum() < FEWEST_PICTURES:
            found[source] = f"{inside.sum()} pictures in train and validation, {FEWEST_PICTURES} are needed"
        elif len(set(truth[inside])) < 2:
            found[source] = "only one label"
        else:
            found[source] = None if set(truth[inside]) <= set(truth[~inside]) else "a label that no other source has"
    return found


def deal_sources(
    sources: Sequence[str | None], truth: npt.NDArray[np.int64], held_out: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """Which sources are held out together: each alone, or where there are many, `MOST_FOLDS` lots of about one size.

    The largest source comes first and goes to the smallest lot without which every label of that lot can still be
    learned. One that fits nowhere is not held out.

    Args:
        sources: Of each picture of train and validation.
        truth: Its label index, `[N]`.
        held_out: Those without `obstacles`.
    """
    if len(held_out) <= MOST_FOLDS:
        return tuple((source,) for source in held_out)
    pictures = {one: np.array([source == one for source in sources]) for one in held_out}
    lots: list[tuple[list[str], npt.NDArray[np.bool_]]] = [([], np.zeros(len(truth), bool)) for _ in range(MOST_FOLDS)]
    for source in sorted(held_out, key=lambda one: (-pictures[one].sum(), one)):
        for place in sorted(range(MOST_FOLDS), key=lambda i: lots[i][1].sum()):
            names, rows = lots[place]
            inside = rows | pictures[source]
            if set(truth[inside]) <= set(truth[~inside]):
                lots[place] = ([*names, source], inside)
                break
    return tuple(tuple(sorted(names)) for names, _ in lots)


def by_validation(train_pictures: int, validation_pictures: int, groups: Sequence[str] | None = None) -> Folds:
    """One fold, judged by the validation split, whose pictures are of these `groups`."""
    judge = Judge("validation", 0, np.arange(0), np.arange(validation_pictures))
    return Folds("validation", np.ones((1, train_pictures), bool), (judge,), groups)


def by_source(
    train: Sequence[str | None], validation: Sequence[str | None], held_out: Sequence[tuple[str, ...]]
) -> Folds:
    """A fold for each lot of sources to hold out, judged by that lot's pictures of both splits.

    Args:
        train: Source of each training picture.
        validation: Source of each validation picture.
        held_out: What to hold out, from `deal_sources`.
    """
    learns = np.array([[True] * len(train), *([one not in lot for one in train] for lot in held_out)])
    judges = tuple(
        Judge(", ".join(lot), fold, _rows(train, lot), _rows(validation, lot))
        for fold, lot in enumerate(held_out, start=1)
    )
    return Folds("source", learns, judges)


def _rows(sources: Sequence[str | None], lot: tuple[str, ...]) -> npt.NDArray[np.int64]:
    return np.array([row for row, one in enumerate(sources) if one in lot], np.int64)
