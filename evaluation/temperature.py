"""One number that makes a classifier's confidence honest (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.deciding.decide import softmax

LOWEST, HIGHEST = 0.25, 8.0
"""No temperature lies outside."""

SHARPENING = 0.2
"""How far, in log T, a temperature below 1 is believed to lie by itself (the standard deviation of its prior).

Networks that learned by cross-entropy are as a rule too sure of new pictures, seldom too unsure; what makes one look so
is nearly always that the pictures are few and it happens to be right about all of them.
"""

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
    return _least(lambda log_temperature: _loss(exact, truth, log_temperature))


def cautious_temperature(
    logits: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    groups: Sequence[str],
) -> float:
    """The temperature for what ships: one that makes a network surer needs the evidence of many fruit.

    The maximum a posteriori under a half-normal prior of log T: below 1 it costs (log T / `SHARPENING`)² / 2, above 1
    nothing, so that a network which is too sure is taken at its word. Pictures of one group (one fruit) err together
    and count as one piece of evidence. On pictures that are all answered rightly, `fit_temperature` runs to `LOWEST`,
    be they ever so few.

    Args:
        logits: `[N, labels]`, N of 1 or more.
        truth: `[N]` label indices.
        groups: `[N]`, of which fruit each picture is.
    """
    exact, units = logits.astype(np.float64), len(set(groups))
    return _least(
        lambda log_temperature: (
            units * _loss(exact, truth, log_temperature) + (min(log_temperature, 0.0) / SHARPENING) ** 2 / 2
        )
    )


def tempered(
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64], temperature: float
) -> npt.NDArray[np.float64]:
    """`softmax(logits / temperature)`, `[N, labels]`, from the probabilities `softmax(logits)`."""
    return softmax(np.log(np.maximum(probabilities.astype(np.float64), _LEAST)), temperature)


def _least(loss: Callable[[float], float]) -> float:
    """The temperature, within the bounds, at whose logarithm a function with one minimum is least (golden section)."""
    low, high = math.log(LOWEST), math.log(HIGHEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > 1e-5:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return math.exp((low + high) / 2)


def _loss(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], log_temperature: float) -> float:
    scaled = logits / math.exp(log_temperature)
    top = scaled.max(axis=1)
    normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(truth)), truth]).mean())
