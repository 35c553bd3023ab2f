"""Does an artefact decide as its reference does? A paired question, answered with an interval. Pure numpy.

The reference is the Keras model, or on a device the bundle's own float32 artefact, or an earlier bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.decide import softmax
from edge_runtime.manifest import Result
from evaluation.intervals import tango_lower_bound

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_MOST_PAIRS = 10_000_000


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse is still the same: in accuracy, in the recall of each label, and the least agreement."""

    accuracy: float = 0.01
    recall: float = 0.05
    agreement: float = 0.98


PARITY_MARGINS = Margins()
REGRESSION_MARGINS = Margins(agreement=0.0)
"""Two trainings may disagree on many pictures and be equally good."""


class Comparison(BaseModel):
    """Candidate minus reference for one share, with Tango's one-sided 95 % lower bound (1998)."""

    model_config = ConfigDict(frozen=True)

    n: int
    reference: float
    candidate: float
    difference: float
    lower_bound: float
    margin: float
    result: Result
    images_needed: int | None


class Parity(BaseModel):
    """One artefact on one engine against its reference, on labelled images.

    `max_abs_diff` is the largest difference of a probability, `max_logit_diff` of a logit. `images_needed` is the
    number that would settle an INCONCLUSIVE result if the rates seen so far held.
    """

    model_config = ConfigDict(frozen=True)

    result: Result
    reasons: tuple[str, ...]
    n: int
    agreement: float
    max_abs_diff: float
    max_logit_diff: float
    accuracy: Comparison
    recall: dict[str, Comparison]
    images_needed: int | None


def judge(
    labels: Sequence[str], truth: Indices, reference: Logits, candidate: Logits, margins: Margins = PARITY_MARGINS
) -> Parity:
    """Judge a candidate's logits against the reference's, both `[n, labels]`, on images whose label is `truth` `[n]`.

    FAIL: the candidate's outputs are not finite, agree with the reference on too few images, or an estimate itself lies
    beyond its margin. PASS: every lower bound lies above its margin. INCONCLUSIVE: neither, the images are too few.

    Raises:
        ValueError: No images, or shapes that do not belong together.
    """
    if len(truth) == 0 or reference.shape != candidate.shape or len(reference) != len(truth):
        raise ValueError(f"{len(truth)} images with outputs {reference.shape} and {candidate.shape}")
    expected, found = reference.argmax(axis=-1), candidate.argmax(axis=-1)
    right_before, right_now = expected == truth, found == truth
    finite = bool(np.isfinite(candidate).all())
    agreement = float(np.mean(expected == found))
    accuracy = compare_shares(right_before, right_now, margins.accuracy)
    recall = {
        label: compare_shares(right_before[truth == index], right_now[truth == index], margins.recall)
        for index, label in enumerate(labels)
        if np.any(truth == index)
    }
    reasons = []
    if not finite:
        reasons.append("some outputs are not finite numbers")
    if agreement < margins.agreement:
        reasons.append(
            f"agrees with the reference on {agreement:.2%} of {len(truth)} images, not {margins.agreement:.0%}"
        )
    if accuracy.result is Result.FAIL:
        reasons.append(f"accuracy {accuracy.difference:+.2%}, beyond the margin of {margins.accuracy:.1%}")
    for label, one in recall.items():
        if one.result is Result.FAIL:
            reasons.append(f"recall of {label} {one.difference:+.2%}, beyond the margin of {margins.recall:.1%}")
    result = Result.FAIL if reasons else Result.worst([accuracy.result, *(one.result for one in recall.values())])
    needed = _images_needed(accuracy, recall, len(truth)) if result is Result.INCONCLUSIVE else None
    if result is Result.INCONCLUSIVE:
        reasons.append(f"{len(truth)} images are too few to exclude a loss beyond the margin; about {needed} would do")
    return Parity(
        result=result,
        reasons=tuple(reasons),
        n=len(truth),
        agreement=agreement,
        max_abs_diff=_largest(softmax(reference) - softmax(candidate)) if finite else 1.0,
        max_logit_diff=_largest(reference - candidate) if finite else float(np.finfo(np.float32).max),
        accuracy=accuracy,
        recall=recall,
        images_needed=needed,
    )


def compare_shares(before: npt.NDArray[np.bool_], now: npt.NDArray[np.bool_], margin: float) -> Comparison:
    """Compare two shares of right answers over the same images, `[n]` booleans, n >= 1."""
    gained, lost, n = int(np.sum(now & ~before)), int(np.sum(before & ~now)), len(before)
    difference, bound = (gained - lost) / n, tango_lower_bound(gained, lost, n)
    result = Result.FAIL if difference < -margin else Result.PASS if bound > -margin else Result.INCONCLUSIVE
    return Comparison(
        n=n,
        reference=float(before.mean()),
        candidate=float(now.mean()),
        difference=difference,
        lower_bound=bound,
        margin=margin,
        result=result,
        images_needed=pairs_to_conclude(gained, lost, n, margin) if result is Result.INCONCLUSIVE else None,
    )


def pairs_to_conclude(gained: int, lost: int, n: int, margin: float) -> int:
    """Pairs at which the lower bound would clear the margin if gains and losses kept their present rates."""

    def clears(pairs: int) -> bool:
        return tango_lower_bound(round(gained * pairs / n), round(lost * pairs / n), pairs) > -margin

    low, high = n, n
    while not clears(high):
        low, high = high, high * 2
        if high > _MOST_PAIRS:  # the estimate sits on the margin itself
            return _MOST_PAIRS
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high


def _images_needed(accuracy: Comparison, recall: dict[str, Comparison], n: int) -> int:
    """Images in all, at the present mix of labels, that settle the overall figure and each label's."""
    needs = [accuracy.images_needed or 0]
    needs += [-(-(one.images_needed or 0) * n // one.n) for one in recall.values()]
    return max(needs)


def _largest(difference: npt.NDArray[Any]) -> float:
    return float(np.abs(difference).max())
