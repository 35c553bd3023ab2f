"""Does an artefact decide as its reference does? A paired question, answered with an interval. Pure numpy.

The reference is the Keras model, or on a device the bundle's own float32 artefact, or an earlier bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.bundles.manifest import Result
from edge_runtime.deciding.decide import softmax
from evaluation.intervals import (
    Groups,
    effective_sample_size,
    independent_groups,
    paired_interval,
    tango_lower_bound,
)

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

    def tightened(self, other: Margins, labels: Sequence[str]) -> Margins:
        """The stricter of both, one by one."""

        def recall(margins: Margins, label: str) -> float:
            return margins.critical.get(label, margins.recall)

        return replace(
            self,
            accuracy=min(self.accuracy, other.accuracy),
            critical={label: min(recall(self, label), recall(other, label)) for label in labels},
        )


PARITY_MARGINS = Margins()
FLOAT_MARGINS = Margins(probability=1e-4)
"""For float32 artefacts. The bound is on softmax(logits), without a temperature: each pair has its own, fitted on its
own outputs, and the bound is on what the graph computes."""


class Comparison(BaseModel):
    """Candidate minus reference for one share, with one-sided 95 % bounds.

    Tango's score interval (1998); where pictures come in groups, `evaluation.intervals.paired_interval`.
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
    settle an INCONCLUSIVE result if the rates seen so far held; None where a loss lies on the margin itself. `units`
    are groups of images.
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


@dataclass(frozen=True, slots=True)
class Compared:
    """Accuracy and the recall of each label over the same images, together."""

    accuracy: Comparison
    recall: dict[str, Comparison]

    @property
    def result(self) -> Result:
        """The worst of them."""
        return Result.worst([one.result for one in self._named().values()])

    @property
    def reasons(self) -> tuple[str, ...]:
        """What failed; or, where nothing did, why it is open."""
        if self.result is Result.FAIL:
            return tuple(
                f"{name} {one.difference:+.2%}, beyond the margin of {one.margin:.1%}"
                for name, one in self._named().items()
                if one.result is Result.FAIL
            )
        if self.images_needed is not None:
            few = f"{self.accuracy.n} images are too few to exclude a loss beyond the margin"
            return (f"{few}; about {self.images_needed} would do",)
        return tuple(
            f"{name} {one.difference:+.2%} lies on the margin of {one.margin:.1%} itself, where no number of images "
            "would settle it"
            for name, one in self._named().items()
            if one.result is Result.INCONCLUSIVE and one.images_needed is None
        )

    @property
    def images_needed(self) -> int | None:
        """Images in all, at the present mix of labels, that would settle an INCONCLUSIVE result, if any number does."""
        open_ones = [one for one in self._named().values() if one.result is Result.INCONCLUSIVE]
        needs = [-(-one.images_needed * self.accuracy.n // one.n) for one in open_ones if one.images_needed is not None]
        return max(needs) if self.result is Result.INCONCLUSIVE and len(needs) == len(open_ones) else None

    def _named(self) -> dict[str, Comparison]:
        return {"accuracy": self.accuracy} | {f"recall of {label}": one for label, one in self.recall.items()}


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
    agreement = float(np.mean(expected == found))
    compared = compare_answers(labels, truth, expected == truth, found == truth, margins, units)
    dead = death(reference, candidate)
    apart = np.ones(len(truth)) if dead == NOT_FINITE else np.abs(softmax(reference) - softmax(candidate)).max(axis=-1)
    largest = float(apart.max())
    reasons = [dead] if dead else []
    if margins.probability is not None and not largest <= margins.probability:
        reasons.append(f"probabilities differ by up to {largest:.1e}, not {margins.probability:.0e}")
    if agreement < margins.agreement:
        reasons.append(_disagreement(int(np.sum(expected != found)), len(truth), margins.agreement))
    result = Result.FAIL if reasons else compared.result
    reasons += compared.reasons if result is compared.result else ()
    return Parity(
        result=result,
        reasons=tuple(reasons),
        n=len(truth),
        units=len(set(units.tolist())),
        agreement=agreement,
        max_abs_diff=largest,
        p99_abs_diff=float(np.quantile(apart, 0.99)),
        max_logit_diff=float(np.finfo(np.float32).max if dead == NOT_FINITE else np.abs(reference - candidate).max()),
        accuracy=compared.accuracy,
        recall=compared.recall,
        images_needed=compared.images_needed if result is Result.INCONCLUSIVE else None,
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


def compare_answers(
    labels: Sequence[str],
    truth: Indices,
    before: npt.NDArray[np.bool_],
    now: npt.NDArray[np.bool_],
    margins: Margins,
    groups: npt.NDArray[np.str_],
) -> Compared:
    """Accuracy, and the recall of each label that is there, from what was right `[n]` on the same images."""
    recall = {}
    for index, label in enumerate(labels):
        if np.any(mine := truth == index):
            margin = margins.critical.get(label, margins.recall)
            recall[label] = compare_shares(before[mine], now[mine], margin, groups[mine])
    return Compared(compare_shares(before, now, margins.accuracy, groups), recall)


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
        worth = alike = 1.0
        if groups is not None:
            worth, alike = effective_sample_size(change, groups) / n, independent_groups(groups) / n
        needed = pairs_to_conclude(int(np.sum(change > 0)), int(np.sum(change < 0)), n, margin, worth, alike)
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


def pairs_to_conclude(
    gained: int, lost: int, n: int, margin: float, worth: float = 1.0, alike: float = 1.0
) -> int | None:
    """Pairs at which the lower bound would clear the margin if gains and losses kept their present rates.

    Args:
        gained: Pairs of the `n` where only the candidate is right.
        lost: Where only the reference is.
        n: All pairs, 1 or more.
        margin: The largest loss that counts as none.
        worth: How many independent pairs one pair is worth, above 0 and at most 1.
        alike: The same if those of a group were all alike (`evaluation.intervals.independent_groups`).

    Returns:
        None where the estimate lies on the margin itself, or so near that no number one could take would do.
    """

    def clears(pairs: int) -> bool:
        gains, losses = (worth * round(count * pairs / n) for count in (gained, lost))
        unseen = tango_lower_bound(0, 0, alike * pairs) if alike < 1 else 0.0
        lowest = min(tango_lower_bound(gains, losses, worth * pairs), (gained - lost) / n + unseen)
        return lowest > -margin

    low, high = n, n
    while not clears(high):
        low, high = high, high * 2
        if high > _MOST_PAIRS:
            return None
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high
