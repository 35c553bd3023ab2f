"""One number that makes a classifier's confidence honest (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge_runtime.decide import softmax

LOWEST, HIGHEST = 0.25, 8.0
"""Temperatures outside come from too few or perfectly separated pictures, and are not believed."""

_LEAST = 1e-30
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: npt.NDArray[np.float32] | npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    """The temperature T, within 0.25..8, at which softmax(logits / T) has the least negative log-likelihood.

    Golden-section search over log T, where the likelihood has one optimum.

    Args:
        logits: `[N, labels]`, N of 1 or more.
        truth: `[N]` label indices.
    """
    exact = logits.astype(np.float64)
    low, high = math.log(LOWEST), math.log(HIGHEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = _loss(exact, truth, left), _loss(exact, truth, right)
    while high - low > 1e-5:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = _loss(exact, truth, left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = _loss(exact, truth, right)
    return math.exp((low + high) / 2)


def tempered(
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64], temperature: float
) -> npt.NDArray[np.float64]:
    """`softmax(logits / temperature)`, `[N, labels]`, from the probabilities `softmax(logits)`."""
    return softmax(np.log(np.maximum(probabilities.astype(np.float64), _LEAST)), temperature)


def _loss(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], log_temperature: float) -> float:
    scaled = logits / math.exp(log_temperature)
    top = scaled.max(axis=1)
    normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(truth)), truth]).mean())
