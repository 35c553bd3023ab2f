"""A head for a new line, from a handful of its pictures, and what to expect of it there.

What a handful can support is one linear layer on frozen features. How much it should count cannot be told from a
handful either, so nothing is picked: heads are fitted with the new pictures at several shares of the loss, and
averaged, each the more the better it did in cross-validation (exponential weights: Dalalyan and Tsybakov, Machine
Learning 72, 2008). An average of linear heads is a linear head. `docs/recipe.md` says what else was tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evaluation.temperature import fit_temperature
from train.gain import mean_and_error
from train.loss import cross_entropy
from train.refit import Features, Frame, Head, Indices, Part, Rows, Shown, Weights, fit, refit

WEIGHTS = (0.0, 0.1, 0.3, 0.6, 0.9)
"""Shares of the loss that the new pictures have in turn; 0 is the old head."""
RATE = 0.5
"""How fast a head loses its say with its loss: the part of a group that a group's loss counts for."""
FOLDS = 5
DIRECTIONS = 256
"""In which a head may move. Further ones hold under a tenth of what features differ by, and cost most of the time."""
TOLERANCE = 1e-7
"""As good as the very end, in half the time."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """New pictures, each answered by a head that saw none of its group.

    Attributes:
        logits: `[n, labels]`.
        losses: Their cross-entropy, `[n]`, at the temperature that suits them: being less sure of everything is no
            merit.
        better_by: How much lower its mean is than the old head's.
        noise: Standard error of that, over groups.
    """

    logits: Features
    losses: npt.NDArray[np.float64]
    better_by: float
    noise: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One weight of the new pictures, how it did in cross-validation, and its share in the average."""

    weight: float
    share: float
    answered: Answered


@dataclass(frozen=True, slots=True)
class Fitted:
    """The head for the new line.

    Attributes:
        head: The old one itself where that has most of the say.
        tried: Every one of `WEIGHTS`.
        expected: What the whole procedure, weighing included, makes of pictures that it did not see.
    """

    head: Head
    tried: tuple[Tried, ...]
    expected: Answered

    @property
    def weight(self) -> float:
        """Mean share of the loss of the new pictures; 0 if the head is the old one."""
        return sum(one.share * one.weight for one in self.tried)

    def on_other_old_pictures(self, old: Shown, new: Shown, *, decay: float) -> Head:
        """The same from other old pictures alone: a head that has not seen what they leave out."""
        start = refit(self.head, old, new, 0, decay=decay)
        learner = _Learner.of(start, old, new, decay)
        return learner.average(learner.heads(np.ones(len(new.truth), bool)), [one.share for one in self.tried])


def fit_to_line(
    head: Head,
    old: Shown,
    new: Shown,
    groups: Sequence[str],
    *,
    seed: int,
    decay: float,
    progress: Progress = lambda _done, _total: None,
) -> Fitted:
    """Fit, weigh and average heads, and answer every new picture as if it had not been given.

    The weighing is cross-validated as well (Varma and Simon, BMC Bioinformatics 7, 2006): for the answers of each
    fold, the heads are weighed by what they did on the other folds without it.

    Args:
        head: The old one.
        old: Pictures that it learned from, of every label.
        new: Pictures from the new line; one or more.
        groups: Of each new picture.
        seed: Of the folds.
        decay: As for `train.refit.refit`.
        progress: Told how many sets of heads of how many have been fitted.
    """
    learner = _Learner.of(head, old, new, decay)
    fold = assign_folds(new.truth, groups, seed)
    folds = [int(one) for one in np.unique(fold)]
    unseen = [some for size in range(3) for some in combinations(folds, size)]
    heads: dict[tuple[int, ...], list[Weights]] = {}
    # Many small fits beside each other: threads inside each would wait for one another.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        fitted = pool.map(learner.heads, [~np.isin(fold, some) for some in unseen])
        for done, (some, found) in enumerate(zip(unseen, fitted, strict=True), start=1):
            heads[some] = found
            progress(done, len(unseen))

    names = np.asarray(groups)
    cross_validated = learner.answers(heads, fold, ())
    say = _say(cross_validated, names, new.truth)
    expected = np.empty_like(cross_validated[0])
    for one in folds:
        rows = fold == one
        others = learner.answers(heads, fold, (one,))[:, ~rows]
        shares = _say(others, names[~rows], new.truth[~rows])
        expected[rows] = np.tensordot(shares, cross_validated[:, rows], axes=1)
    before = _losses(cross_validated[0], new.truth)
    judged = [_answered(given, new.truth, before, names) for given in (*cross_validated, expected)]
    tried = tuple(
        Tried(weight, float(share), answered)
        for weight, share, answered in zip(WEIGHTS, say, judged[:-1], strict=True)
    )  # fmt: skip
    if say[0] == 1:
        return Fitted(head, tried, tried[0].answered)
    return Fitted(learner.average(heads[()], say), tried, judged[-1])


def _losses(logits: Features, truth: Indices) -> npt.NDArray[np.float64]:
    """Of `[n, labels]`, `[n]`, at the temperature that suits them."""
    suited: Features = logits / np.float32(fit_temperature(logits, truth))
    return cross_entropy(suited, truth)


def _say(logits: Features, groups: npt.NDArray[np.str_], truth: Indices) -> npt.NDArray[np.float64]:
    """Share of each weight in the average, from the answers of its heads, `[weights, n, labels]`.

    All for the old head where it has more than half, and where there is but one label: that says nothing about where
    it ends.
    """
    old_alone: npt.NDArray[np.float64] = np.eye(len(WEIGHTS))[0]
    if len(np.unique(truth)) < 2:
        return old_alone
    worse = RATE * len(np.unique(groups)) * np.array([_losses(one, truth).mean() for one in logits])
    shares: npt.NDArray[np.float64] = np.exp(worse.min() - worse)
    shares /= shares.sum()
    return old_alone if shares[0] > 0.5 else shares


def _answered(
    logits: Features, truth: Indices, before: npt.NDArray[np.float64], groups: npt.NDArray[np.str_]
) -> Answered:
    losses = _losses(logits, truth)
    return Answered(logits, losses, *mean_and_error(before - losses, groups))


@dataclass(frozen=True, slots=True)
class _Learner:
    """Old and new pictures in one frame, where they are brought once, and all that is fitted to them."""

    frame: Frame
    start: Weights
    old: Part
    new: Features
    truth: Indices
    shares: npt.NDArray[np.float64]
    decay: float

    @classmethod
    def of(cls, head: Head, old: Shown, new: Shown, decay: float) -> _Learner:
        frame = Frame.of(old.features).along(head, (old.features[:, :1], new.features), DIRECTIONS)
        return cls(
            frame,
            frame.weights(head),
            Part.of(frame.rows(old.features), old.truth),
            frame.rows(new.features),
            new.truth,
            # How many of each label someone picked says nothing about how many there are on the line.
            np.bincount(old.truth, minlength=len(head.bias)) / len(old.truth),
            decay,
        )

    def heads(self, learns: Rows) -> list[Weights]:
        """One for each of `WEIGHTS`, fitted to some of the new pictures, each from where the one before has ended."""
        found = [self.start]
        if not learns.any():
            return found * len(WEIGHTS)
        new = Part.of(self.new[learns], self.truth[learns], self.shares)
        for weight in WEIGHTS[1:]:
            parts = [(1 - weight, self.old), (weight, new)]
            found.append(fit(found[-1], parts, decay=self.decay, tolerance=TOLERANCE))
        return found

    def answers(
        self, heads: Mapping[tuple[int, ...], Sequence[Weights]], fold: Indices, without: tuple[int, ...]
    ) -> Features:
        """Logits `[weights, n, labels]`: of each picture by heads that saw neither its fold nor those of `without`.

        Args:
            heads: By the folds that they have not seen, in rising order.
            fold: Of each picture.
            without: Pictures of these are not asked: zeros.
        """
        logits = np.zeros((len(WEIGHTS), len(fold), len(self.shares)), np.float32)
        for one in np.unique(fold[~np.isin(fold, without)]):
            rows = fold == one
            fitted = heads[tuple(sorted((*without, int(one))))]
            logits[:, rows] = [self.new[rows, 0] @ weights.astype(np.float32) for weights in fitted]
        return logits

    def average(self, heads: Sequence[Weights], shares: Sequence[float] | npt.NDArray[np.float64]) -> Head:
        return self.frame.head(np.tensordot(np.asarray(shares), np.stack(heads), axes=1))


def assign_folds(truth: Indices, groups: Sequence[str], seed: int) -> Indices:
    """A fold for each picture, `[n]`: those of one group together, the groups of each label dealt out in turn."""
    rng = np.random.default_rng(seed)
    names = np.asarray(groups)
    fold_of: dict[str, int] = {}
    for label in np.unique(truth):
        for group in rng.permutation(np.unique(names[truth == label])):
            fold_of.setdefault(str(group), len(fold_of) % FOLDS)
    return np.array([fold_of[str(group)] for group in names], np.int64)
