"""Confidence intervals for shares of right answers, for pictures that come in groups, and for paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Groups = Sequence[object] | npt.NDArray[np.str_]

BOOTSTRAP_DRAWS = 2000
_BOOTSTRAP_CELLS = 500_000
_DOUBT = 10.0
"""Groups' worth of belief that pictures of a group vary together, until the pictures say otherwise."""


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


def tango_lower_bound(only_first: float, only_second: float, n: float, level: float = 0.95) -> float:
    """One-sided lower bound for the first proportion minus the second, by the same score test (Tango 1998)."""
    return _tango(only_first, only_second, n, NormalDist().inv_cdf(level)).low


def paired_interval(
    change: npt.ArrayLike, groups: Groups | None = None, level: float = 0.95, largest: float = 1.0
) -> Interval:
    """Interval for the mean change of a value over the same pictures, for pictures that come in groups.

    Tango's interval at the effective sample size of the changes and, where a group has several pictures, the bootstrap
    over groups: the wider at each end. Neither end is nearer to the mean than where nothing has changed and each group
    counts once: that no whole group has changed so far excludes little where groups are few, however many single
    pictures there are, so that a further loss never raises the lower end. Changes of less than `largest` count as a
    part of a pair; they vary less than whole ones of the same mean, so that the interval holds.

    Args:
        change: `[N]` new minus old, within -largest..largest; for right and wrong answers -1, 0 or 1. N of 1 or more.
        groups: `[N]` names; None where every picture is independent.
        level: Two-sided coverage; 0.90 for an end that is a one-sided 95 % bound.
        largest: The largest change that is possible, above 0.
    """
    changes = np.asarray(change, np.float64) / largest
    n, z = float(len(changes)), _two_sided_z(level)
    worth = 1.0 if groups is None else min(1.0, effective_sample_size(changes, groups) / n)
    gained, lost = (float(np.maximum(sign * changes, 0).sum()) for sign in (1, -1))
    low, high = _tango(gained * worth, lost * worth, n * worth, z)
    if groups is not None and len({str(group) for group in groups}) < n:
        resampled = cluster_bootstrap(changes, groups, level)
        unseen = _tango(0, 0, independent_groups(groups), z).high
        low = min(low, resampled.low, float(changes.mean()) - unseen)
        high = max(high, resampled.high, float(changes.mean()) + unseen)
    return Interval(max(low, -1.0) * largest, min(high, 1.0) * largest)


def cluster_bootstrap(
    values: npt.ArrayLike, groups: Groups, level: float = 0.95, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
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
    means = bootstrap(np.column_stack([sums, sizes]), lambda drawn: drawn[:, 0] / drawn[:, 1], draws, seed)
    return _percentile(means, level)


def bootstrap(
    totals: npt.NDArray[np.float64],
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """A statistic of sums over groups, when whole groups are drawn anew with replacement (Efron 1979).

    Args:
        totals: `[groups, k]`, what each group adds to k sums.
        statistic: From the sums of d draws, `[d, k]`, to `[d]`.
        draws: Bootstrap samples.
        seed: Of the draws.

    Returns:
        `[draws]`. Memory stays at a few megabytes however many groups there are.
    """
    rng, groups = np.random.default_rng(seed), len(totals)
    at_once = max(1, _BOOTSTRAP_CELLS // groups)
    drawn = [
        totals[rng.integers(groups, size=(min(at_once, draws - at), groups))].sum(axis=1)
        for at in range(0, draws, at_once)
    ]
    return statistic(np.concatenate(drawn))


def effective_sample_size(values: npt.ArrayLike, groups: Groups) -> float:
    """How many independent pictures the grouped ones are worth: `n / (1 + (m - 1) * rho)`.

    `m` is the mean group size as a picture sees it and `rho` the correlation inside groups by analysis of variance
    (Donner 1986), kept within 0..1. A few events tell little about `rho`: that values vary in k groups weighs as k
    against 10 groups in which they vary together (`rho` = 1), and where all are equal each group counts once.
    """
    array = np.asarray(values, np.float64)
    n, alone = float(array.size), independent_groups(groups)
    rho = float(intraclass_correlation(correlation_sums(array, groups).sum(axis=0)[None])[0])
    unusual, _ = _group_totals(array != np.median(array), groups)
    varying = float(np.sum(unusual > 0))
    rho = 1.0 if math.isnan(rho) else (varying * min(max(rho, 0.0), 1.0) + _DOUBT) / (varying + _DOUBT)
    return n / (1 + (n / alone - 1) * rho)


def independent_groups(groups: Groups) -> float:
    """How many pictures the grouped ones are worth if those of a group are all alike; large groups count for less."""
    _, sizes = np.unique([str(group) for group in groups], return_counts=True)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def correlation_sums(values: npt.ArrayLike, groups: Groups) -> npt.NDArray[np.float64]:
    """`[groups, 6]`: what each group adds to the sums that `intraclass_correlation` needs, fit for `bootstrap`."""
    sums, sizes = _group_totals(values, groups)
    squares, _ = _group_totals(np.asarray(values, np.float64) ** 2, groups)
    return np.column_stack([np.ones_like(sizes), sizes, sizes**2, sums, squares, sums**2 / sizes])


def intraclass_correlation(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Correlation of two values of one group: one-way analysis of variance for groups of unequal size (Donner 1986).

    Args:
        sums: `[d, 6]`, each the sum of rows of `correlation_sums`.

    Returns:
        `[d]`, at most 1 and below 0 where values of one group differ more than those of different groups; nan where
        there are fewer than two groups or all values are equal, 0 where no group has two values.
    """
    groups, n, squared_sizes, total, squares, by_group = sums.T
    between, within = by_group - total**2 / n, squares - by_group
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_between = between / (groups - 1)
        mean_within = within / (n - groups)
        typical = (n - squared_sizes / n) / (groups - 1)
        rho = (mean_between - mean_within) / (mean_between + (typical - 1) * mean_within)
        rho = np.where(n - groups < 1, 0.0, rho)
    return np.where((between + within <= 1e-12) | (groups < 2), np.nan, rho)


def accuracy_interval(correct: npt.ArrayLike, groups: Groups, level: float = 0.95) -> Interval:
    """Interval of a share of right answers, or a mean of other values within 0..1, over pictures in groups.

    The wider, at each end, of the bootstrap over groups and Wilson's interval at the effective sample size: the
    bootstrap alone says that 20 right answers of 20 are 100 % plus or minus nothing. Values between 0 and 1 vary less
    than right and wrong of the same mean, so that Wilson's interval holds for them as well.

    Args:
        correct: `[N]` true or false, or shares; N of 0 gives (0, 1).
        groups: `[N]` group names.
        level: Two-sided coverage.
    """
    right = np.asarray(correct, np.float64)
    if right.size == 0:
        return Interval(0.0, 1.0)
    resampled = cluster_bootstrap(right, groups, level)
    n = effective_sample_size(right, groups)
    score = wilson(float(right.mean()) * n, n, level)
    return Interval(min(resampled.low, score.low), max(resampled.high, score.high))


def balanced_accuracy_interval(
    correct: npt.ArrayLike, truth: npt.ArrayLike, groups: Groups, level: float = 0.95
) -> Interval:
    """Interval of the mean of the labels' recalls.

    The wider, at each end, of the bootstrap over groups and the labels' own intervals (`accuracy_interval`), put
    together by recovering variances (MOVER: Zou and Donner, Statistics in Medicine 27, 2008). The latter leave room
    where every answer was right.

    Args:
        correct: `[N]` true or false, N of 1 or more.
        truth: `[N]` label indices; labels without pictures do not count.
        groups: `[N]` group names.
        level: Two-sided coverage.
    """
    right, label_of = np.asarray(correct, np.float64), np.asarray(truth)
    names = np.asarray([str(group) for group in groups])
    present = np.unique(label_of)
    known = [label_of == label for label in present]
    recalls = np.array([right[one].mean() for one in known])
    ends = np.array([accuracy_interval(right[one], names[one], level) for one in known])
    below, above = (float(np.sqrt(((recalls - ends[:, end]) ** 2).sum())) / len(present) for end in (0, 1))

    totals = np.column_stack([_group_totals(np.where(one, right, 0.0), groups)[0] for one in known]
                             + [_group_totals(one.astype(np.float64), groups)[0] for one in known])  # fmt: skip
    resampled = _percentile(bootstrap(totals, _mean_recall), level)
    mean = float(recalls.mean())
    return Interval(min(resampled.low, mean - below), max(resampled.high, mean + above))


def _mean_recall(drawn: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of `[d, 2 labels]` sums, right answers first and pictures after; a label that was not drawn does not count."""
    right, pictures = np.split(drawn, 2, axis=1)
    recall = np.divide(right, pictures, out=np.zeros_like(right), where=pictures > 0)
    return np.asarray(recall.sum(axis=1) / (pictures > 0).sum(axis=1))


def _percentile(values: npt.NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _two_sided_z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _tango(only_first: float, only_second: float, n: float, z: float) -> Interval:
    if n <= 0 or only_first < 0 or only_second < 0 or only_first + only_second > n * (1 + 1e-9):
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


def _group_totals(values: npt.ArrayLike, groups: Groups) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum and number of values of each group, `[groups]` each."""
    _, index = np.unique([str(group) for group in groups], return_inverse=True)
    array = np.asarray(values, np.float64)
    if array.shape != index.shape or array.size == 0:
        raise ValueError("as many values as groups, at least one")
    return np.bincount(index, weights=array).astype(np.float64), np.bincount(index).astype(np.float64)
