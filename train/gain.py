"""Whether one way to train is better than another, or only luckier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from train.folds import Verdict

CHANCE = 0.05
"""How often a search may take something that changes nothing."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower losses are than before, on average over `units` judges or pictures, and the standard error."""

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


def paired_gain(after: Sequence[Verdict], before: Sequence[Verdict]) -> Gain:
    """Over judges, or over the pictures of one judge.

    Args:
        after: What each judge says now.
        before: What it said of the same pictures before.
    """
    gains = [old.losses - new.losses for old, new in zip(before, after, strict=True)]
    paired = gains[0] if len(gains) == 1 else np.array([one.mean() for one in gains])
    units = len(paired)
    noise = float(paired.std(ddof=1) / math.sqrt(units)) if units > 1 else math.inf
    return Gain(float(paired.mean()), noise, units)
