"""Whether one way to train is better than another, or only luckier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from train.folds import Verdict

CHANCE = 0.05
"""How often a search may take something that changes nothing."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower losses are than before, on average, and its standard error over `units` judges or groups."""

    mean: float
    noise: float
    units: int

    def needed(self, tried: int) -> float:
        """What the mean must exceed to be no luck.

        Student's t with `units` - 1 degrees of freedom, because the error is itself estimated, from as few as three
        sources; at `CHANCE` / `tried`, one-sided, because the best of several is taken (Bonferroni). With four sources
        and three boundaries that is 3.7 standard errors, with three sources 5.3.

        Args:
            tried: How many candidates there are to choose from.
        """
        return self.noise * float(stdtrit(self.units - 1, 1 - CHANCE / tried)) if self.units > 1 else math.inf


def in_words(mean: float) -> str:
    """Of a gain."""
    return f"{'better' if mean > 0 else 'worse'} by {abs(mean):.4f}"


def paired_gain(after: Sequence[Verdict], before: Sequence[Verdict], groups: Sequence[str] | None = None) -> Gain:
    """Over judges, or over the groups of pictures of one judge.

    Args:
        after: What each judge says now.
        before: What it said of the same pictures before.
        groups: Of each picture of the only judge: pictures of one fruit are no news of another. None takes each picture
            for a group of its own.
    """
    gains = [old.losses - new.losses for old, new in zip(before, after, strict=True)]
    paired = gains[0] if len(gains) == 1 else np.array([one.mean() for one in gains])
    units = groups if len(gains) == 1 and groups is not None else [str(i) for i in range(len(paired))]
    return Gain(*mean_and_error(paired, units), len(set(units)))


def mean_and_error(
    values: npt.NDArray[np.float64], groups: Sequence[str] | npt.NDArray[np.str_]
) -> tuple[float, float]:
    """Mean of one value a picture, and its standard error with groups as units."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    mean = float(values.mean())
    if len(names) < 2:
        return mean, float("inf")
    residuals = np.bincount(place, values - mean)
    variance = (residuals**2).sum() * len(names) / (len(names) - 1)
    return mean, float(np.sqrt(variance) / len(values))
