"""A head refitted to a handful of pictures of a new line, and how much to listen to them, found by cross-validation.

What a handful can support is one linear layer on frozen features. The old pictures stay in the loss, so that what they
taught is not forgotten; the rest is phase one's own loss and penalty. A pull towards the old weights instead of the
penalty, and the new pictures alone with such a pull, were no better at any number of pictures, and worse at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from evaluation.temperature import fit_temperature
from train.loss import cross_entropy

WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Shares of the loss that the new pictures may have; 0 leaves the head as it is."""
FOLDS = 5
_MOST_STEPS = 120

Features = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Head:
    """`kernel` `[channels, labels]` and `bias` `[labels]`, float32."""

    kernel: Features
    bias: Features

    def logits(self, features: Features) -> Features:
        """`[n, channels]` to `[n, labels]`."""
        return features @ self.kernel + self.bias


@dataclass(frozen=True, slots=True)
class Shown:
    """`features` `[n, views, channels]` float32, view 0 the picture as it is, and `truth` `[n]` label indices."""

    features: Features
    truth: Indices

    def of(self, rows: npt.NDArray[np.bool_]) -> Shown:
        """Some of the pictures."""
        return Shown(self.features[rows], self.truth[rows])

    def flat(self) -> tuple[Features, Indices]:
        """Every view a picture of its own."""
        n, views, channels = self.features.shape
        return self.features.reshape(n * views, channels), np.repeat(self.truth, views)


@dataclass(frozen=True, slots=True)
class Tried:
    """One weight of the new pictures and what cross-validation says of it.

    Attributes:
        weight: Share of the loss.
        logits: For each new picture `[n, labels]`, of a head that saw no picture of its group.
        losses: Their cross-entropy, `[n]`, each candidate at the temperature that suits it: being less sure of
            everything is no merit.
        better_by: How much lower its mean is than with the old head.
        noise: Standard error of that over groups.
    """

    weight: float
    logits: Features
    losses: npt.NDArray[np.float64]
    better_by: float
    noise: float


def refit(head: Head, old: Shown, new: Shown, weight: float, *, decay: float) -> Head:
    """The head that loses least on `(1 - weight) * old + weight * new`.

    A label that `new` lacks is left out of what `new` asks for: nothing there speaks against it.

    Args:
        head: The old one.
        old: Pictures that it learned from.
        new: Pictures from the new line; at least one.
        weight: Of the new pictures, 0 to below 1.
        decay: L2 penalty on the kernel, on features of unit spread: that of phase one (`TrainConfig.head_decay`).
    """
    if weight == 0:
        return head
    centre = old.features.mean(axis=(0, 1))
    spread = float(old.features.std(axis=(0, 1)).mean())
    parts = [
        _Part.of(*one.flat(), share, centre, spread, labels)
        for one, share, labels in (
            (old, 1 - weight, np.arange(len(head.bias))),
            (new, weight, np.unique(new.truth)),
        )
    ]
    before = np.vstack([head.kernel * spread, head.bias + centre @ head.kernel]).astype(np.float64)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = flat.reshape(before.shape)
        total, gradient = decay * float((weights[:-1] ** 2).sum()), np.zeros_like(before)
        gradient[:-1] = 2 * decay * weights[:-1]
        for part in parts:
            value, slope = part.loss(weights)
            total, gradient = total + value, gradient + slope
        return total, gradient.ravel()

    found = minimize(loss, before.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}).x
    weights = found.reshape(before.shape)
    kernel = (weights[:-1] / spread).astype(np.float32)
    return Head(kernel, (weights[-1] - centre @ kernel).astype(np.float32))


def cross_validate(
    head: Head,
    old: Shown,
    new: Shown,
    groups: Sequence[str],
    *,
    seed: int,
    decay: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Tried, ...]:
    """Try each of `WEIGHTS`, judging every new picture by a head that saw none of its group.

    Args:
        head: The old one.
        old: Pictures that it learned from.
        new: Pictures from the new line.
        groups: Of each new picture.
        seed: Of the folds.
        decay: As for `refit`.
        progress: Told how many heads of how many have been fitted.
    """
    fold = assign_folds(new.truth, groups, seed)
    used = np.unique(fold)
    tried: list[Tried] = []
    done, total = 0, len(used) * (len(WEIGHTS) - 1)
    for weight in WEIGHTS:
        logits = head.logits(new.features[:, 0]).copy()
        for number in used if weight else ():
            left_out = fold == number
            if not left_out.all():
                fitted = refit(head, old, new.of(~left_out), weight, decay=decay)
                logits[left_out] = fitted.logits(new.features[left_out, 0])
            done += 1
            progress(done, total)
        losses = cross_entropy(logits / np.float32(fit_temperature(logits, new.truth)), new.truth)
        before = tried[0].losses if tried else losses
        tried.append(Tried(weight, logits, losses, *mean_and_error(before - losses, groups)))
    return tuple(tried)


def choose(tried: Sequence[Tried], groups: Sequence[str]) -> Tried:
    """The smallest weight that is within one standard error of the best (Breiman et al. 1984), if any helps at all.

    A small weight cannot do much harm: left-out sources that needed no adapting lost 0.3 points at most with 0.1, and
    2 with 0.75. Where no weight lowers the loss, the old head stays.
    """
    best = min(tried, key=lambda one: float(one.losses.mean()))
    if best.weight == 0:
        return best
    for one in tried[1:]:
        behind, noise = mean_and_error(one.losses - best.losses, groups)
        if one is best or (one.better_by > 0 and behind <= noise):
            return one
    return best


def assign_folds(truth: Indices, groups: Sequence[str], seed: int) -> Indices:
    """A fold for each picture, `[n]`: those of one group together, the groups of each label dealt out in turn."""
    rng = np.random.default_rng(seed)
    names = np.asarray(groups)
    fold_of: dict[str, int] = {}
    for label in np.unique(truth):
        for group in rng.permutation(np.unique(names[truth == label])):
            fold_of.setdefault(str(group), len(fold_of) % FOLDS)
    return np.array([fold_of[str(group)] for group in names], np.int64)


def mean_and_error(values: npt.NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """Mean of one value a picture, and its standard error with groups as units."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    mean = float(values.mean())
    if len(names) < 2:
        return mean, float("inf")
    residuals = np.bincount(place, values - mean)
    variance = (residuals**2).sum() * len(names) / (len(names) - 1)
    return mean, float(np.sqrt(variance) / len(values))


@dataclass(frozen=True, slots=True)
class _Part:
    """Standardised features with a column of ones, `[n, channels + 1]`, and what of them counts."""

    features: Features
    truth: Indices
    share: float
    labels: Indices

    @classmethod
    def of(
        cls, features: Features, truth: Indices, share: float, centre: Features, spread: float, labels: Indices
    ) -> _Part:
        standard = np.empty((len(features), features.shape[1] + 1), np.float32)
        standard[:, :-1] = (features - centre) / spread
        standard[:, -1] = 1
        return cls(standard, np.searchsorted(labels, truth), share, labels)

    def loss(self, weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Share times mean cross-entropy among `labels`, and its gradient `[channels + 1, all labels]`."""
        logits = (self.features @ weights[:, self.labels].astype(np.float32)).astype(np.float64)
        value = self.share * float(cross_entropy(logits.astype(np.float32), self.truth).mean())
        wrong = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong /= wrong.sum(axis=1, keepdims=True)
        wrong[np.arange(len(wrong)), self.truth] -= 1
        gradient = np.zeros_like(weights)
        scaled = (self.share / len(wrong) * wrong).astype(np.float32)
        gradient[:, self.labels] = self.features.T @ scaled
        return value, gradient
