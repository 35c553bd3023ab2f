"""Whether unlabelled pictures from the line look like those of training, measured on the frozen backbone's features.

Two tests with different eyes: a classifier that tries to tell the two sets apart (C2ST: Lopez-Paz and Oquab 2017,
arXiv:1610.06545), and the maximum mean discrepancy (Gretton et al. 2012, JMLR 13). Both get their p-value from
shuffling which picture belongs to which set, which holds for any number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.errors import InputError
from evaluation.intervals import wilson

LEAST_PICTURES = 20
MOST_PICTURES = 500
"""Of each set for the tests: enough to see what matters, and the shuffling stays a matter of seconds."""

SHOWN_FARTHEST = 12
SHUFFLES = 999
FOLDS = 5
COMPONENTS = 32
NEIGHBOURS = 5
USUAL_SHARE = 0.95
CHANCE_P = 0.05
_TINY = float(np.finfo(np.float64).tiny)
SLIGHT_AUC, STRONG_AUC = 0.7, 0.9

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Level = Literal["none", "slight", "clear", "strong"]


class FarPicture(BaseModel):
    """A target picture; `distance` to its nearest training pictures, in the usual distance between those."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    distance: float


class Shift(BaseModel):
    """What the two tests found, and which target pictures lie farthest from all of training.

    `auc` is the chance that the classifier tells a training picture from a target picture when shown one of each, on
    pictures it was not fitted to: 0.5 is guessing. `outside` is the share of target pictures farther from the training
    pictures than 95 % of those are from each other; without a shift it is about 0.05.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_pictures: int
    target_pictures: int
    auc: float
    auc_ci95: tuple[float, float]
    auc_p: float
    mmd2: float
    mmd_p: float
    outside: float
    farthest: tuple[FarPicture, ...]

    @property
    def level(self) -> Level:
        """How far apart the two are, by the classifier; `none` when neither test can tell them apart."""
        if min(self.auc_p, self.mmd_p) * 2 > CHANCE_P:  # Bonferroni, for two tests
            return "none"
        return "slight" if self.auc < SLIGHT_AUC else "clear" if self.auc < STRONG_AUC else "strong"


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """`features` `[N, channels]` with the group of each picture; those of one group are not independent."""

    features: Features
    groups: Sequence[str]


def refuse_few(groups: Sequence[str], of: str) -> None:
    """Raise InputError where fewer than 20 pictures are unrelated: no test could say anything."""
    if len(set(groups)) < LEAST_PICTURES:
        raise InputError(
            f"Only {len(set(groups))} unrelated pictures in {of}: too few to tell whether they differ from others.",
            expected=f"at least {LEAST_PICTURES}, better 200",
            remedy="Add pictures of different fruit, or leave --target out.",
        )


def measure_shift(training: FeatureSet, target: FeatureSet, target_files: Sequence[str], *, seed: int) -> Shift:
    """Compare the two sets. Takes seconds, whatever their size.

    For the tests each group is one picture, because related pictures would make any two sets look different.

    Args:
        training: Of pictures that the model learns from.
        target: Of the line's.
        target_files: Names of the target pictures.
        seed: Of the draw and the shuffling.

    Raises:
        InputError: Fewer than 20 unrelated pictures in one of the sets.
    """
    refuse_few(training.groups, "the training pictures")
    refuse_few(target.groups, "the target pictures")
    rng = np.random.default_rng(seed)
    chosen = [_one_of_each_group(one.groups, rng) for one in (training, target)]
    sides = [one.features[at].astype(np.float64) for one, at in zip((training, target), chosen, strict=True)]
    pooled = np.concatenate(sides)
    is_target = np.repeat([False, True], [len(side) for side in sides])
    auc, auc_p = classifier_two_sample_test(pooled, is_target, rng)
    mmd2, mmd_p = mmd_two_sample_test(pooled, is_target, rng)
    distance, usual = distances(sides[0], target.features)
    farthest = np.argsort(-distance, kind="stable")[:SHOWN_FARTHEST]
    # The variance of an AUC is at most that of a share of min(m, n) trials (van Dantzig 1951).
    low, high = wilson(auc * min(map(len, sides)), min(map(len, sides)))
    return Shift(
        training_pictures=len(sides[0]),
        target_pictures=len(sides[1]),
        auc=auc,
        auc_ci95=(low, high),
        auc_p=auc_p,
        mmd2=mmd2,
        mmd_p=mmd_p,
        outside=float((distance > usual).mean()),
        farthest=tuple(FarPicture(file=target_files[i], distance=float(distance[i] / usual)) for i in farthest),
    )


def classifier_two_sample_test(
    features: npt.NDArray[np.float64], is_target: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """Cross-validated AUC of a linear classifier that tells the sets apart, and its p-value by shuffling.

    The classifier is least squares on the two sets (Fisher's discriminant) with a little ridge, because one fit answers
    for all shufflings at once. They shuffle inside folds, so that each fold keeps its shares of both sets.

    Args:
        features: `[N, channels]` of both sets.
        is_target: `[N]`.
        rng: Of folds and shuffling.
    """
    from scipy.stats import rankdata
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import StratifiedKFold

    components = _principal(features)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31))).split(components, is_target)
    sets = np.repeat(is_target[:, None], 1 + SHUFFLES, axis=1)  # the first column is the truth
    held_out = [rows for _, rows in folds]
    for rows in held_out:
        sets[rows, 1:] = rng.permuted(sets[rows, 1:], axis=0)
    scores = np.empty(sets.shape)
    for rows in held_out:
        others = np.setdiff1d(np.arange(len(sets)), rows)
        scores[rows] = (
            Ridge(alpha=1.0).fit(components[others], sets[others].astype(np.float64)).predict(components[rows])
        )
    targets = int(is_target.sum())
    rank_sums = np.where(sets, rankdata(scores, axis=0), 0.0).sum(axis=0)
    auc = (rank_sums - targets * (targets + 1) / 2) / (targets * (len(sets) - targets))  # Mann and Whitney 1947
    return float(auc[0]), _p_value(auc)


def mmd_two_sample_test(
    features: npt.NDArray[np.float64], is_target: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """Unbiased squared MMD under a Gaussian kernel as wide as the median distance, and its p-value by shuffling.

    Args:
        features: `[N, channels]` of both sets.
        is_target: `[N]`.
        rng: Of the shuffling.
    """
    squared = _squared_distances(features, features)
    median = float(np.median(squared[np.triu_indices(len(squared), 1)]))
    kernel = np.exp(-squared / max(median, _TINY))
    np.fill_diagonal(kernel, 0.0)
    shuffled = np.stack([is_target, *(rng.permutation(is_target) for _ in range(SHUFFLES))], axis=1).astype(np.float64)
    n, m = float((~is_target).sum()), float(is_target.sum())
    to_target = kernel @ shuffled  # [N, 1 + shuffles]
    within_target = (shuffled * to_target).sum(axis=0)
    across = to_target.sum(axis=0) - within_target
    within_training = kernel.sum() - within_target - 2 * across
    mmd2 = within_training / (n * (n - 1)) + within_target / (m * (m - 1)) - 2 * across / (n * m)
    return float(mmd2[0]), _p_value(mmd2)


def distances(training: npt.NDArray[np.float64], target: Features) -> tuple[npt.NDArray[np.float64], float]:
    """How far each target picture is from its nearest training pictures (deep nearest neighbours, Sun et al. 2022).

    Features are scaled to unit length first, so that the distance is one of content, not of contrast.

    Args:
        training: `[N, channels]` of unrelated pictures.
        target: `[M, channels]`.

    Returns:
        `[M]` distances to the fifth nearest, and the distance that 95 % of the training pictures keep to each other.
    """
    own, others = _unit(training), _unit(target.astype(np.float64))
    among = np.sqrt(np.partition(_squared_distances(own, own), NEIGHBOURS, axis=1)[:, NEIGHBOURS])  # itself is the 0th
    usual = max(float(np.quantile(among, USUAL_SHARE)), _TINY)
    nearest = [
        np.sqrt(np.partition(_squared_distances(part, own), NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1])
        for part in np.array_split(others, 1 + len(others) // 1000)
    ]
    return np.concatenate(nearest), usual


def _p_value(statistics: npt.NDArray[np.float64]) -> float:
    """Share of shufflings, the truth among them, whose statistic is at least that of the truth, which stands first.

    A hair of slack keeps rounding from deciding between equal statistics.
    """
    slack = 1e-12 * float(np.abs(statistics).max())
    return float((statistics >= statistics[0] - slack).mean())


def _one_of_each_group(groups: Sequence[str], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    shuffled = rng.permutation(len(groups))
    _, first = np.unique(np.asarray(groups)[shuffled], return_index=True)
    return rng.permutation(shuffled[first])[:MOST_PICTURES]


def _principal(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The leading principal components of both sets together, which know nothing of the sets, each of unit spread."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features)
    components = min(COMPONENTS, features.shape[1], len(features) // 4)
    pca = PCA(components, whiten=True, svd_solver="randomized", random_state=0)
    reduced: npt.NDArray[np.float64] = pca.fit_transform(scaled)
    return reduced


def _unit(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, _TINY))


def _squared_distances(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.asarray(np.maximum(squares, 0.0))
