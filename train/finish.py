"""The last step where nothing is unfrozen: the head fitted to its end, on all pictures that are not for testing.

Once held-out sources have decided how to train, the validation pictures have nothing left to decide and can be learned
from; and a linear head on frozen features has one optimum, to which it may go. Both pay at places not seen
(`docs/recipe.md`). How sure the head may be is read from the held-out sources, answered by heads that saw nothing of
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.temperature import fit_temperature
from train.cache import Examples
from train.folds import Folds
from train.head import Heads
from train.loss import cross_entropy
from train.refit import Head, Shown, refit

MOST_PICTURES = 8192
"""With more, the validation pictures add little, and fitting all of them at once would cost memory."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The final head, the temperature that makes it honest at a place not seen, and what that did to the loss there.

    `loss` and `loss_before` are means over held-out sources, each at the temperature that suits it.
    """

    head: Head
    temperature: float
    loss: float
    loss_before: float


def finish_head(heads: Heads, train: Examples, validation: Examples, folds: Folds, *, decay: float) -> Finished | None:
    """Fit every fold's head to its end on train and validation.

    Args:
        heads: Of phase one.
        train: Pooled features of K views.
        validation: Of K views.
        folds: Sources held out in turn.
        decay: L2 penalty on the head: that of phase one.

    Returns:
        None where there are no held-out sources to say whether that is good, too many pictures, or a loss at held-out
        sources that rises by more than its standard error.
    """
    if not folds.sources or train.views.pictures + validation.views.pictures > MOST_PICTURES:
        return None
    known, added = _shown(train), _shown(validation)

    def fitted(fold: int, left_out: npt.NDArray[np.int64]) -> Head:
        stays = np.ones(len(added.truth), bool)
        stays[left_out] = False
        old, new = known.of(folds.learns[fold]), added.of(stays)
        start = Head(heads.kernels[fold], heads.biases[fold])
        return refit(start, old, new, len(new.truth) / (len(old.truth) + len(new.truth)), decay=decay)

    before, after, truth = [], [], []
    for judge in folds.judges:
        features = np.concatenate([known.features[judge.train_rows, 0], added.features[judge.validation_rows, 0]])
        truth.append(np.concatenate([known.truth[judge.train_rows], added.truth[judge.validation_rows]]))
        before.append(Head(heads.kernels[judge.fold], heads.biases[judge.fold]).logits(features))
        after.append(fitted(judge.fold, judge.validation_rows).logits(features))
    _, losses_before = _tempered_losses(before, truth)
    temperature, losses = _tempered_losses(after, truth)
    worse = losses - losses_before
    if worse.mean() > worse.std(ddof=1) / math.sqrt(len(worse)):
        return None
    whole = fitted(0, np.arange(0))
    return Finished(whole, temperature, float(losses.mean()), float(losses_before.mean()))


def _tempered_losses(
    logits: list[npt.NDArray[np.float32]], truth: list[npt.NDArray[np.int64]]
) -> tuple[float, npt.NDArray[np.float64]]:
    """The temperature that suits all judges' pictures together, and each judge's mean loss at it."""
    temperature = fit_temperature(np.concatenate(logits), np.concatenate(truth))
    scaled = [one / np.float32(temperature) for one in logits]
    return temperature, np.array([cross_entropy(one, at).mean() for one, at in zip(scaled, truth, strict=True)])


def _shown(examples: Examples) -> Shown:
    rows = np.arange(examples.views.pictures)
    views = [examples.views.gather(np.full_like(rows, view), rows) for view in range(examples.views.views)]
    return Shown(np.stack(views, axis=1), examples.truth)
