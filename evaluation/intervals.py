"""Confidence intervals for shares of right answers, for pictures that come in groups, and for paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BOOTSTRAP_DRAWS = 2000


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927); `n` need not be whole, so an effective sample size will do."""
    if n <= 0:
        return Interval(0.0, 1.0)
    z = _two_sided_z(level)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # The ends meet 0 and 1 exactly there; rounding must not carry them past.
    return Interval(max(0.0, centre - half) if successes > 0 else 0.0, min(1.0, centre + half) if share < 1 else 1.0)


def tango_interval(only_first: int, only_second: int, n: int, level: float = 0.95) -> Interval:
    """Score interval for the difference of two paired proportions (Tango, Statistics in Medicine 17, 1998).

    Args:
        only_first: Pairs where only the first succeeded.
        only_second: Pairs where only the second did.
        n: All pairs, 1 or more.
        level: Two-sided coverage.

    Returns:
        Interval for the first proportion minus the second.
    """
    return _tango(only_first, only_second, n, _two_sided_z(level))


def tango_lower_bound(only_first: int, only_second: int, n: int, level: float = 0.95) -> float:
    """One-sided lower bound for the first proportion minus the second, by the same score test (Tango 1998)."""
    return _tango(only_first, only_second, n, NormalDist().inv_cdf(level)).low


def pairs_needed(discordant_rate: float, margin: float, level: float = 0.95, power: float = 0.95) -> int:
    """Pairs with which two equally good models are told to differ by less than a margin.

    Normal approximation of McNemar's variance: `n = (z_level + z_power)^2 * discordant_rate / margin^2`, with the
    two-sided z of `level`, which errs on the side of more pictures.

    Args:
        discordant_rate: Share of pairs where exactly one of the two is right, 0..1.
        margin: The difference to exclude, above 0, as a share.
        level: Coverage of the interval that has to lie within the margin.
        power: Chance to succeed with that many pairs.
    """
    if margin <= 0:
        raise ValueError("margin must be above zero")
    z = _two_sided_z(level) + NormalDist().inv_cdf(power)
    return math.ceil(z**2 * discordant_rate / margin**2)


def cluster_bootstrap(
    values: npt.ArrayLike, groups: Sequence[object], level: float = 0.95, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> Interval:
    """Percentile interval of a mean when whole groups are drawn anew.

    Args:
        values: `[N]` numbers, such as 1 for a right answer.
        groups: `[N]` names; values of one group depend on each other.
        level: Two-sided coverage.
        draws: Bootstrap samples.
        seed: Of the draws, so that a report can be made twice.
    """
    sums, sizes = _group_totals(values, groups)
    picks = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def effective_sample_size(values: npt.ArrayLike, groups: Sequence[object]) -> float:
    """How many independent pictures the grouped ones are worth: `n / (1 + (m - 1) * rho)`.

    `m` is the mean group size as a picture sees it and `rho` the correlation inside groups by analysis of variance
    (Donner 1986), kept within 0..1. Where all values are equal nothing can be said about `rho`, and each group counts
    once (`rho` = 1).
    """
    sums, sizes = _group_totals(values, groups)
    n, k = float(sizes.sum()), len(sizes)
    seen_size = float((sizes**2).sum() / n)
    return n / (1 + (seen_size - 1) * _inner_correlation(np.asarray(values, np.float64), sums, sizes, n, k))


def accuracy_interval(correct: npt.ArrayLike, groups: Sequence[object], level: float = 0.95) -> Interval:
    """Interval of a share of right answers over pictures in groups.

    The wider, at each end, of the bootstrap over groups and Wilson's interval at the effective sample size: the
    bootstrap alone says that 20 right answers of 20 are 100 % plus or minus nothing.

    Args:
        correct: `[N]` true or false; N of 0 gives (0, 1).
        groups: `[N]` group names.
        level: Two-sided coverage.
    """
    right = np.asarray(correct, np.float64)
    if right.size == 0:
        return Interval(0.0, 1.0)
    bootstrap = cluster_bootstrap(right, groups, level)
    n = effective_sample_size(right, groups)
    score = wilson(float(right.mean()) * n, n, level)
    return Interval(min(bootstrap.low, score.low), max(bootstrap.high, score.high))


def _two_sided_z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _tango(only_first: int, only_second: int, n: int, z: float) -> Interval:
    if n < 1 or only_first < 0 or only_second < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} + {only_second} discordant pairs of {n} are impossible")

    def score(delta: float) -> float:
        """Tango's statistic for the hypothesis that the difference is delta; falls as delta rises."""
        a = 2.0 * n
        b = -only_first - only_second + (2.0 * n - only_first + only_second) * delta
        c = -only_second * delta * (1.0 - delta)
        second = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = n * (2 * second + delta * (1 - delta))
        distance = only_first - only_second - n * delta
        return (
            distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
        )

    estimate = (only_first - only_second) / n
    low = _crossing(lambda delta: score(delta) - z, -1.0, estimate)
    high = _crossing(lambda delta: score(delta) + z, estimate, 1.0)
    return Interval(low, high)


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function passes zero, by bisection; an end where it does not pass."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _group_totals(
    values: npt.ArrayLike, groups: Sequence[object]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum and number of values of each group, `[groups]` each."""
    _, index = np.unique([str(group) for group in groups], return_inverse=True)
    array = np.asarray(values, np.float64)
    if array.shape != index.shape or array.size == 0:
        raise ValueError("as many values as groups, at least one")
    return np.bincount(index, weights=array).astype(np.float64), np.bincount(index).astype(np.float64)


def _inner_correlation(
    values: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    n: float,
    k: int,
) -> float:
    means = sums / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum())
    within = float((values**2).sum() - (sizes * means**2).sum())
    if between + within <= 1e-12 or k < 2:
        return 1.0
    if n - k < 1:
        return 0.0  # every group is one picture
    mean_between, mean_within = between / (k - 1), within / (n - k)
    typical = (n - float((sizes**2).sum()) / n) / (k - 1)
    rho = (mean_between - mean_within) / (mean_between + (typical - 1) * mean_within)
    return min(max(rho, 0.0), 1.0)
