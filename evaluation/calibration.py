"""Whether a classifier is as often right as it says (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CALIBRATION_BINS = 15

Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class ReliabilityBin(NamedTuple):
    """The answers whose confidence lies in one bin; `confidence` and `accuracy` are their means."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(
    probabilities: Probabilities, truth: npt.NDArray[np.int64], bins: int = CALIBRATION_BINS
) -> list[ReliabilityBin]:
    """Confidence against accuracy over equally wide bins of confidence; empty bins are left out.

    Args:
        probabilities: `[N, labels]`; the largest is the confidence.
        truth: `[N]` label indices.
        bins: Between 0 and 1.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    n = np.bincount(which, minlength=bins)
    confidences, rights = (np.bincount(which, weights=values, minlength=bins) for values in (confidence, right))
    return [
        ReliabilityBin(i / bins, (i + 1) / bins, int(n[i]), float(confidences[i] / n[i]), float(rights[i] / n[i]))
        for i in np.flatnonzero(n)
    ]


def expected_calibration_error(
    probabilities: Probabilities, truth: npt.NDArray[np.int64], bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance between confidence and accuracy over equally wide bins of confidence, 0..1."""
    found = reliability(probabilities, truth, bins)
    return float(sum(one.n * abs(one.accuracy - one.confidence) for one in found) / len(truth))
