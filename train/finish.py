"""The last step where nothing is unfrozen: the head fitted to its end, on all pictures that are not for testing.

Once held-out sources have decided how to train, the validation pictures have nothing left to decide and can be learned
from; and a linear head on frozen features has one optimum, to which it may go. Both pay at places not seen
(`docs/recipe.md`). How sure the head may be is read from the held-out sources, answered by heads that saw nothing of
them. Where phase one stood when it ended, and by what rate and dropout it came there, no longer shows in the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.cache import Budget, Examples
from train.folds import Folds, Verdict, tempered
from train.head import Heads
from train.refit import Head, Shown, refit

MOST_PICTURES = 8192
"""With more, the validation pictures add little, and the fits would take minutes."""
COPIES = 4
"""Of the features that fitting holds at once, at most."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The final head, and what was answered at held-out sources by heads fitted in the same way without them."""

    head: Head
    judged: tuple[Verdict, ...]


def finish_head(
    heads: Heads, train: Examples, validation: Examples, folds: Folds, *, decay: float, budget: Budget
) -> Finished | None:
    """Fit every fold's head to its end on train and validation.

    Args:
        heads: Of phase one.
        train: Pooled features of K views.
        validation: Of K views.
        folds: Sources held out in turn.
        decay: L2 penalty on the head: that of phase one.
        budget: What the caches have left of it bounds how many of the K views are learned from.

    Returns:
        None where there are no held-out sources to say whether that is good, too many pictures or too little memory,
        or a loss at held-out sources that rises by more than its standard error.
    """
    pictures = train.views.pictures + validation.views.pictures
    views = min(train.views.views, budget.left // (COPIES * pictures * train.views.shape[0] * np.float32().itemsize))
    if not folds.sources or pictures > MOST_PICTURES or not views:
        return None
    known, added = _shown(train, views), _shown(validation, views)

    def fitted(fold: int, left_out: npt.NDArray[np.int64]) -> Head:
        stays = np.ones(len(added.truth), bool)
        stays[left_out] = False
        old, new = known.of(folds.learns[fold]), added.of(stays)
        start = Head(heads.kernels[fold], heads.biases[fold])
        return refit(start, old, new, len(new.truth) / (len(old.truth) + len(new.truth)), decay=decay)

    judged = []
    for judge, before in zip(folds.judges, heads.judged, strict=True):
        features = np.concatenate([known.features[judge.train_rows, 0], added.features[judge.validation_rows, 0]])
        judged.append(Verdict(fitted(judge.fold, judge.validation_rows).logits(features), before.truth))
    worse = tempered(judged).losses - tempered(heads.judged).losses
    if worse.mean() > worse.std(ddof=1) / math.sqrt(len(worse)):
        return None
    return Finished(fitted(0, np.arange(0)), tuple(judged))


def _shown(examples: Examples, views: int) -> Shown:
    rows = np.arange(examples.views.pictures)
    features = np.empty((len(rows), views, *examples.views.shape), np.float32)
    for view in range(views):
        features[:, view] = examples.views.gather(np.full_like(rows, view), rows)
    return Shown(features, examples.truth)
