"""What a classifier got right, in numbers. All take whole arrays: truth and predictions are label indices, `[N]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from evaluation.intervals import accuracy_interval

Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]

CALIBRATION_BINS = 15


class Scores(BaseModel):
    """A model's figures on labelled pictures.

    `recall` is None for a label without pictures, `confusion[t][p]` counts pictures of label t taken for p, and
    intervals are 95 % (`accuracy_interval`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    recall: dict[str, float | None]
    recall_ci95: dict[str, tuple[float, float]]
    confusion: list[list[int]]
    expected_calibration_error: float
    negative_log_likelihood: float


def score(labels: Sequence[str], truth: Indices, probabilities: Probabilities, groups: Sequence[object]) -> Scores:
    """All figures of `Scores`.

    Args:
        labels: In the order of the columns of `probabilities`.
        truth: `[N]` label indices, N of 1 or more.
        probabilities: `[N, labels]`; the arg-max is the answer.
        groups: `[N]`; pictures of one group are not independent.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(truth, predicted, len(labels))
    right = predicted == truth
    by_label = recalls(matrix)
    group_array = np.asarray([str(group) for group in groups])
    return Scores(
        n=len(truth),
        accuracy=float(right.mean()),
        accuracy_ci95=tuple(accuracy_interval(right, groups)),
        balanced_accuracy=balanced_accuracy(matrix),
        recall={label: None if np.isnan(r) else float(r) for label, r in zip(labels, by_label, strict=True)},
        recall_ci95={
            label: tuple(accuracy_interval(right[truth == i], group_array[truth == i]))
            for i, label in enumerate(labels)
        },
        confusion=matrix.tolist(),
        expected_calibration_error=expected_calibration_error(probabilities, truth),
        negative_log_likelihood=negative_log_likelihood(probabilities, truth),
    )


def confusion(truth: Indices, predicted: Indices, labels: int) -> npt.NDArray[np.int64]:
    """Counts, `[labels, labels]`: rows are the truth, columns the answer."""
    return np.bincount(truth * labels + predicted, minlength=labels * labels).reshape(labels, labels)


def accuracy(matrix: npt.NDArray[np.int64]) -> float:
    """Share of right answers in a confusion matrix."""
    return float(np.trace(matrix) / matrix.sum())


def recalls(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of each label's pictures that were recognised, `[labels]`; nan for a label without pictures."""
    totals = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def balanced_accuracy(matrix: npt.NDArray[np.int64]) -> float:
    """Mean recall over the labels that have pictures."""
    return float(np.nanmean(recalls(matrix)))


def negative_log_likelihood(probabilities: Probabilities, truth: Indices) -> float:
    """Mean of -log of the probability given to the truth, natural log; probabilities below 1e-12 count as that."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def expected_calibration_error(probabilities: Probabilities, truth: Indices, bins: int = CALIBRATION_BINS) -> float:
    """Mean distance between confidence and accuracy over equally wide bins of confidence (Guo et al. 2017), 0..1."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))
