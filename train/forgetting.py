"""How much of the pretrained features fine-tuning gave up: linear CKA (Kornblith et al. 2019, arXiv:1905.00414)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]

WARN_BELOW = 0.9
LEAST_PICTURES = 4


class Forgetting(BaseModel):
    """Likeness (`linear_cka`) of the backbone's pooled features before and after phase two, on so many pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int
    cka: float

    @property
    def forgets(self) -> bool:
        """Whether that deserves a warning."""
        return self.cka < WARN_BELOW


def measure_forgetting(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> Forgetting | None:
    """Compare the features of the same pictures; None for fewer than `LEAST_PICTURES` or features that say nothing.

    Args:
        before: `[N, channels]` pooled features of the backbone as it was.
        after: The same of the backbone as it is now.
    """
    if len(before) < LEAST_PICTURES:
        return None
    cka = linear_cka(before, after)
    return None if np.isnan(cka) else Forgetting(pictures=len(before), cka=cka)


def linear_cka(first: Features, second: Features) -> float:
    """Linear centred kernel alignment of two representations of the same N pictures, at most 1.

    By the unbiased estimate of HSIC (Song et al. 2012, JMLR 13; for CKA Nguyen et al. 2021, arXiv:2010.15327). The
    plain one calls any two representations alike that have more channels than there are pictures: 0.86 for noise at
    200 pictures of 1280 channels, where this one gives 0.

    Turning a representation (an orthogonal transform), scaling and shifting it change nothing.

    Args:
        first: `[N, p]`, N of 4 or more.
        second: `[N, q]`.

    Returns:
        About 0 for unrelated representations; nan where one of them is the same for every picture.
    """
    grams = [_gram(np.asarray(one, np.float64)) for one in (first, second)]
    cross, own_first, own_second = (
        _unbiased_hsic(grams[0], grams[1]), _unbiased_hsic(grams[0], grams[0]), _unbiased_hsic(grams[1], grams[1]),
    )  # fmt: skip
    if own_first <= 0 or own_second <= 0:
        return float("nan")
    return min(cross / float(np.sqrt(own_first * own_second)), 1.0)


def _gram(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inner products of centred features of unit mean square, with a zero diagonal: `[N, N]`."""
    centred = features - features.mean(axis=0)
    size = float(np.sqrt((centred**2).sum() / len(centred)))
    rounding = 1e-9 * float(np.abs(features).max())
    centred = centred / size if size > rounding else np.zeros_like(centred)
    gram: npt.NDArray[np.float64] = centred @ centred.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _unbiased_hsic(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """HSIC_1 of Song et al. 2012, of two Gram matrices with a zero diagonal, up to the factor 1 / (n (n - 3))."""
    n = len(first)
    return float(
        (first * second).sum()
        + first.sum() * second.sum() / ((n - 1) * (n - 2))
        - 2 * (first.sum(axis=0) @ second.sum(axis=0)) / (n - 2)
    )
