"""A linear head fitted to its one optimum on frozen features: to a run's own pictures and to those of a new line.

The old pictures stay in the loss, so that what they taught is not forgotten; the rest is phase one's own loss and
penalty. How much the new ones count is `train.new_line`'s to find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.optimize import minimize

MOST_STEPS = 120

Features = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]
"""A head in the coordinates of a `Frame`, `[r + 1, labels]`: kernel, then bias."""


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

    def of(self, rows: Rows) -> Shown:
        """Some of the pictures."""
        return Shown(self.features[rows], self.truth[rows])


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates in which a head is fitted: from `centre`, in units of one common `spread`, along `directions`.

    Attributes:
        centre: `[channels]`.
        spread: Mean standard deviation of the channels.
        directions: `[channels, r]`, orthonormal, so that a penalty on the kernel means the same in any frame; None for
            the channels themselves.
    """

    centre: Features
    spread: float
    directions: Features | None = None

    @classmethod
    def of(cls, features: Features) -> Frame:
        """That of `[n, views, channels]`."""
        return cls(features.mean(axis=(0, 1)), float(features.std(axis=(0, 1)).mean()))

    def along(self, head: Head, pictures: Sequence[Features], most: int) -> Frame:
        """The `most` directions in which pictures, each `[n, views, channels]`, differ most.

        Those of the head come first, so that it loses nothing: what it asks for elsewhere stays as it is.
        """
        if most >= len(self.centre):
            return self
        flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in pictures])
        standard = (flat - self.centre) / np.float32(self.spread)
        last = len(self.centre) - 1
        leading = eigh(standard.T @ standard, subset_by_index=(last + 1 - most, last))[1][:, ::-1]
        orthonormal, _ = np.linalg.qr(np.hstack([head.kernel, leading]))
        return Frame(self.centre, self.spread, orthonormal.astype(np.float32))

    def rows(self, features: Features) -> Features:
        """Pictures in this frame with a column of ones for the bias: `[..., channels]` to `[..., r + 1]`."""
        inside = (features - self.centre) / np.float32(self.spread)
        if self.directions is not None:
            inside = inside @ self.directions
        return np.concatenate([inside, np.ones((*inside.shape[:-1], 1), np.float32)], axis=-1)

    def weights(self, head: Head) -> Weights:
        """A head in this frame."""
        kernel = head.kernel * np.float32(self.spread)
        if self.directions is not None:
            kernel = self.directions.T @ kernel
        return np.vstack([kernel, head.bias + self.centre @ head.kernel]).astype(np.float64)

    def head(self, weights: Weights) -> Head:
        """The other way round."""
        kernel = weights[:-1].astype(np.float32)
        if self.directions is not None:
            kernel = self.directions @ kernel
        kernel /= np.float32(self.spread)
        return Head(kernel, (weights[-1] - self.centre @ kernel).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Part:
    """A set of pictures in a frame and what it adds to the loss.

    Attributes:
        rows: `[n, r + 1]`.
        truth: `[n]`, places in `labels`.
        labels: Between which the pictures tell. One that they lack is left out of what they ask for: nothing there
            speaks against it.
        importance: `[n]` float32, how much each row counts, 1 together.
    """

    rows: Features
    truth: Indices
    labels: Indices
    importance: Features

    @classmethod
    def of(cls, rows: Features, truth: Indices, shares: npt.NDArray[np.float64] | None = None) -> Part:
        """Every view a row of its own.

        Args:
            rows: `[n, views, r + 1]`.
            truth: `[n]` label indices.
            shares: Of each label, `[labels]`, how much its pictures are to count together; None for every picture the
                same.
        """
        n, views, width = rows.shape
        labels = np.unique(truth)
        places = np.repeat(np.searchsorted(labels, truth), views)
        counts = np.bincount(places)
        wanted = counts if shares is None else shares[labels]
        importance = (wanted / wanted.sum() / counts)[places].astype(np.float32)
        return cls(rows.reshape(n * views, width), places, labels, importance)

    def loss(self, weights: Weights) -> tuple[float, Weights]:
        """Mean cross-entropy, and its gradient `[r + 1, all labels]`."""
        logits = self.rows @ weights[:, self.labels].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        at_truth = logits[np.arange(len(logits)), self.truth]
        wrong = np.exp(logits)
        total = wrong.sum(axis=1, keepdims=True)
        value = float((np.log(total[:, 0]) - at_truth) @ self.importance)
        wrong /= total
        wrong[np.arange(len(wrong)), self.truth] -= 1
        gradient = np.zeros_like(weights)
        gradient[:, self.labels] = self.rows.T @ (wrong * self.importance[:, None])
        return value, gradient


def fit(start: Weights, parts: Sequence[tuple[float, Part]], *, decay: float, tolerance: float = 2e-9) -> Weights:
    """The weights that lose least on the sum of `share * part`, by L-BFGS.

    Args:
        start: Where to begin; the nearer, the fewer steps.
        parts: With their shares of the loss.
        decay: L2 penalty on the kernel.
        tolerance: Where to end: when a step lowers the loss by less than this share.
    """

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = flat.reshape(start.shape)
        total, gradient = decay * float((weights[:-1] ** 2).sum()), np.zeros_like(start)
        gradient[:-1] = 2 * decay * weights[:-1]
        for share, part in parts:
            value, slope = part.loss(weights)
            total, gradient = total + share * value, gradient + share * slope
        return total, gradient.ravel()

    options = {"maxiter": MOST_STEPS, "ftol": tolerance}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    weights: Weights = found.reshape(start.shape)
    return weights


def refit(head: Head, old: Shown, new: Shown, weight: float, *, decay: float) -> Head:
    """The head that loses least on `(1 - weight) * old + weight * new`.

    Args:
        head: Where to begin.
        old: Pictures that show every label.
        new: Others; none of them are needed for a weight of 0.
        weight: Of the new pictures, 0 to 1.
        decay: L2 penalty on the kernel, on features of unit spread: that of phase one (`TrainConfig.head_decay`).
    """
    frame = Frame.of(old.features)
    parts = [
        (share, Part.of(frame.rows(one.features), one.truth))
        for share, one in ((1 - weight, old), (weight, new))
        if share
    ]
    return frame.head(fit(frame.weights(head), parts, decay=decay))
