"""Does an artefact decide as its reference does? A paired question, answered with an interval. Pure numpy.

The reference is the Keras model, or on a device the bundle's own float32 artefact, or an earlier bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.decide import softmax
from edge_runtime.manifest import Result
from evaluation.intervals import Groups, paired_interval, tango_lower_bound

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

ONE_SIDED = 0.90
"""Level of a two-sided interval whose ends are one-sided 95 % bounds."""

_MOST_PAIRS = 10_000_000
_CONSTANT = 1e-6


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse is still the same: in accuracy, in the recall of each label, and the least agreement.

    `critical` are labels with a recall margin of their own. `probability` bounds every difference of a probability.
    """

    accuracy: float = 0.01
    recall: float = 0.05
    agreement: float = 0.98
    critical: Mapping[str, float] = field(default_factory=dict)
    probability: float | None = None


PARITY_MARGINS = Margins()
FLOAT_MARGINS = Margins(probability=1e-4)
"""For float32 artefacts. The bound is on softmax(logits), without a temperature: each pair has its own, fitted on its
own outputs, and the bound is on what the graph computes."""


class Comparison(BaseModel):
    """Candidate minus reference for one share, with one-sided 95 % bounds.

    Tango's score interval (1998), at the effective sample size where pictures come in groups, or the bootstrap over
    groups where that is wider.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    reference: float
    candidate: float
    difference: float
    lower_bound: float
    upper_bound: float
    margin: float
    result: Result
    images_needed: int | None


class Parity(BaseModel):
    """One artefact on one engine against its reference, on labelled images.

    `max_abs_diff` is the largest difference of a probability (temperature 1), `p99_abs_diff` the 99th percentile over
    images of each one's largest, `max_logit_diff` the largest of a logit. `images_needed` is the number that would
    settle an INCONCLUSIVE result if the rates seen so far held. `units` are groups of images that count once.
    """

    model_config = ConfigDict(frozen=True)

    result: Result
    reasons: tuple[str, ...]
    n: int
    units: int
    agreement: float
    max_abs_diff: float
    p99_abs_diff: float
    max_logit_diff: float
    accuracy: Comparison
    recall: dict[str, Comparison]
    images_needed: int | None


def judge(
    labels: Sequence[str],
    truth: Indices,
    reference: Logits,
    candidate: Logits,
    margins: Margins = PARITY_MARGINS,
    groups: Groups | None = None,
) -> Parity:
    """Judge a candidate's logits against the reference's, both `[n, labels]`, on images whose label is `truth` `[n]`.

    FAIL: the candidate's outputs are not finite or always the same, agree with the reference on too few images, differ
    by more than the bound, or an estimate itself lies beyond its margin. PASS: every lower bound lies above its margin.
    INCONCLUSIVE: neither, the images are too few. `groups` `[n]` names images that depend on each other.

    Raises:
        ValueError: No images, or shapes that do not belong together.
    """
    if len(truth) == 0 or reference.shape != candidate.shape or len(reference) != len(truth):
        raise ValueError(f"{len(truth)} images with outputs {reference.shape} and {candidate.shape}")
    units = np.arange(len(truth)).astype(str) if groups is None else np.array([str(group) for group in groups])
    expected, found = reference.argmax(axis=-1), candidate.argmax(axis=-1)
    right_before, right_now = expected == truth, found == truth
    agreement = float(np.mean(expected == found))
    accuracy = compare_shares(right_before, right_now, margins.accuracy, units)
    recall = {}
    for index, label in enumerate(labels):
        if np.any(mine := truth == index):
            margin = margins.critical.get(label, margins.recall)
            recall[label] = compare_shares(right_before[mine], right_now[mine], margin, units[mine])
    dead = death(reference, candidate)
    apart = np.ones(len(truth)) if dead == NOT_FINITE else np.abs(softmax(reference) - softmax(candidate)).max(axis=-1)
    largest = float(apart.max())
    reasons = [dead] if dead else []
    if margins.probability is not None and not largest <= margins.probability:
        reasons.append(f"probabilities differ by up to {largest:.1e}, not {margins.probability:.0e}")
    if agreement < margins.agreement:
        reasons.append(_disagreement(int(np.sum(expected != found)), len(truth), margins.agreement))
    if accuracy.result is Result.FAIL:
        reasons.append(f"accuracy {accuracy.difference:+.2%}, beyond the margin of {margins.accuracy:.1%}")
    for label, one in recall.items():
        if one.result is Result.FAIL:
            reasons.append(f"recall of {label} {one.difference:+.2%}, beyond the margin of {one.margin:.1%}")
    result = Result.FAIL if reasons else Result.worst([accuracy.result, *(one.result for one in recall.values())])
    needed = _images_needed(accuracy, recall, len(truth)) if result is Result.INCONCLUSIVE else None
    if result is Result.INCONCLUSIVE:
        reasons.append(f"{len(truth)} images are too few to exclude a loss beyond the margin; about {needed} would do")
    return Parity(
        result=result,
        reasons=tuple(reasons),
        n=len(truth),
        units=len(set(units.tolist())),
        agreement=agreement,
        max_abs_diff=largest,
        p99_abs_diff=float(np.quantile(apart, 0.99)),
        max_logit_diff=float(np.finfo(np.float32).max if dead == NOT_FINITE else np.abs(reference - candidate).max()),
        accuracy=accuracy,
        recall=recall,
        images_needed=needed,
    )


NOT_FINITE = "some outputs are not finite numbers: weights did not reach the file, or a number left its range"
CONSTANT = "gives the same output for every image: weights did not reach the file, or its input is ignored"


def death(reference: Logits, candidate: Logits) -> str:
    """Why outputs `[n, labels]` are no answers at all; empty when they may be some."""
    if not np.isfinite(candidate).all():
        return NOT_FINITE
    if len(candidate) > 1 and np.ptp(candidate, axis=0).max() < _CONSTANT < np.ptp(reference, axis=0).max():
        return CONSTANT
    return ""


def _disagreement(flipped: int, n: int, least: float) -> str:
    text = f"agrees with the reference on {1 - flipped / n:.2%} of {n} images, not {least:.0%}"
    if flipped == 1:
        text += f"; of so few, a single other answer is enough (use {math.ceil(1 / (1 - least) - 1e-9)} images or more)"
    return text


def compare_shares(
    before: npt.NDArray[np.bool_], now: npt.NDArray[np.bool_], margin: float, groups: Groups | None = None
) -> Comparison:
    """Compare two shares of right answers over the same images, `[n]` booleans, n >= 1."""
    change = now.astype(np.int64) - before
    difference, n = float(change.mean()), len(change)
    low, high = paired_interval(change, groups, ONE_SIDED)
    result = Result.FAIL if difference < -margin else Result.PASS if low > -margin else Result.INCONCLUSIVE
    needed = None
    if result is Result.INCONCLUSIVE:
        gained, lost = int(np.sum(change > 0)), int(np.sum(change < 0))
        # What grouping costs in pictures is what it costs in the square of the interval's length.
        alone = difference - tango_lower_bound(gained, lost, n)
        worth = min(1.0, (alone / (difference - low)) ** 2) if gained + lost else _units(groups, n) / n
        needed = min(_MOST_PAIRS, math.ceil(pairs_to_conclude(gained, lost, n, margin, worth)))
    return Comparison(
        n=n,
        reference=float(before.mean()),
        candidate=float(now.mean()),
        difference=difference,
        lower_bound=low,
        upper_bound=high,
        margin=margin,
        result=result,
        images_needed=needed,
    )


def _units(groups: Groups | None, n: int) -> int:
    return n if groups is None else len({str(group) for group in groups})


def pairs_to_conclude(gained: int, lost: int, n: int, margin: float, worth: float = 1.0) -> int:
    """Pairs at which the lower bound would clear the margin if gains and losses kept their present rates.

    `worth` is how many independent pairs one pair is worth, above 0 and at most 1.
    """

    def clears(pairs: int) -> bool:
        share = worth * pairs / n
        return tango_lower_bound(round(gained * share), round(lost * share), worth * pairs) > -margin

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
