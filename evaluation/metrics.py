"""What a classifier got right, in numbers. All take whole arrays: truth and predictions are label indices, `[N]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.deciding.decide import Policy
from evaluation.calibration import Probabilities, expected_calibration_error
from evaluation.intervals import Groups, accuracy_interval, balanced_accuracy_interval
from evaluation.policy_cost import PolicyCost, policy_cost
from evaluation.selective import Selective, selective_figures
from evaluation.temperature import tempered

Indices = npt.NDArray[np.int64]

NO_SOURCE = "(no source)"


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Figures):
    """`count` of `n` pictures, with the 95 % interval of the share (`accuracy_interval`)."""

    count: int
    n: int
    share: float
    ci95: tuple[float, float]


class TwoStepErrors(_Figures):
    """Answers two or more steps off on the ripeness order, of all pictures: the mistakes that a customer sees.

    `too_ripe` are answers riper than the truth, such as unripe taken for ripe where the order is unripe, turning, ripe;
    `too_unripe` are those back.
    """

    too_ripe: Share
    too_unripe: Share
    both: Share


class Calibration(_Figures):
    """Confidence after temperature scaling; `temperature` was fitted on other pictures than these."""

    temperature: float
    expected_calibration_error: float
    negative_log_likelihood: float


class SourceScores(_Figures):
    """A model's figures on the pictures of one source; `recall` is None for a label without pictures there."""

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    recall: dict[str, float | None]
    two_step_errors: int | None


class Scores(_Figures):
    """A model's figures on labelled pictures.

    `recall` is None for a label without pictures, `confusion[t][p]` counts pictures of label t taken for p, and
    intervals are 95 % (`accuracy_interval`, `balanced_accuracy_interval`). `expected_calibration_error` and
    `negative_log_likelihood` are those of the probabilities as the model gives them; `calibrated` holds both under the
    temperature, as do `selective` and `cost`, since that is how the line uses them. `two_step_errors` needs three
    labels, `cost` a policy, `by_source` a manifest with sources. A file of an earlier version lacks what is None.
    """

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    balanced_accuracy_ci95: tuple[float, float] | None = None
    recall: dict[str, float | None]
    recall_ci95: dict[str, tuple[float, float]]
    confusion: list[list[int]]
    expected_calibration_error: float
    negative_log_likelihood: float
    calibrated: Calibration | None = None
    two_step_errors: TwoStepErrors | None = None
    selective: Selective | None = None
    cost: PolicyCost | None = None
    by_source: dict[str, SourceScores] = {}


def score(
    labels: Sequence[str],
    truth: Indices,
    probabilities: Probabilities,
    groups: Groups,
    *,
    temperature: float = 1.0,
    sources: Sequence[str | None] | None = None,
    policy: Policy | None = None,
) -> Scores:
    """All figures of `Scores`.

    Args:
        labels: In ripeness order, and the order of the columns of `probabilities`.
        truth: `[N]` label indices, N of 1 or more.
        probabilities: `[N, labels]` as the model gives them; the arg-max is the answer.
        groups: `[N]`; pictures of one group are not independent.
        temperature: Fitted on other pictures (`fit_temperature`).
        sources: `[N]` where each picture comes from.
        policy: Whose cost to count.

    Raises:
        InputError: The policy's labels are others.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(truth, predicted, len(labels))
    right = predicted == truth
    names = np.asarray([str(group) for group in groups])
    confident = tempered(probabilities, temperature)
    return Scores(
        n=len(truth),
        accuracy=float(right.mean()),
        accuracy_ci95=tuple(accuracy_interval(right, names)),
        balanced_accuracy=balanced_accuracy(matrix),
        balanced_accuracy_ci95=tuple(balanced_accuracy_interval(right, truth, names)),
        recall=_recall_by_label(labels, matrix),
        recall_ci95={
            label: tuple(accuracy_interval(right[truth == i], names[truth == i])) for i, label in enumerate(labels)
        },
        confusion=matrix.tolist(),
        expected_calibration_error=expected_calibration_error(probabilities, truth),
        negative_log_likelihood=negative_log_likelihood(probabilities, truth),
        calibrated=Calibration(
            temperature=temperature,
            expected_calibration_error=expected_calibration_error(confident, truth),
            negative_log_likelihood=negative_log_likelihood(confident, truth),
        ),
        two_step_errors=_two_step_errors(truth, predicted, names) if len(labels) > 2 else None,
        selective=selective_figures(confident.max(axis=1), right),
        cost=policy_cost(policy, labels, truth, confident, names) if policy is not None else None,
        by_source=_by_source(labels, truth, predicted, names, sources) if sources is not None and any(sources) else {},
    )


def _two_step_errors(truth: Indices, predicted: Indices, groups: npt.NDArray[np.str_]) -> TwoStepErrors:
    def share(which: npt.NDArray[np.bool_]) -> Share:
        return Share(
            count=int(which.sum()), n=len(which), share=float(which.mean()), ci95=accuracy_interval(which, groups)
        )

    steps = predicted - truth
    return TwoStepErrors(too_ripe=share(steps >= 2), too_unripe=share(steps <= -2), both=share(np.abs(steps) >= 2))


def _by_source(
    labels: Sequence[str],
    truth: Indices,
    predicted: Indices,
    groups: npt.NDArray[np.str_],
    sources: Sequence[str | None],
) -> dict[str, SourceScores]:
    """Largest source first."""
    names = np.asarray([source or NO_SOURCE for source in sources])
    found, counts = np.unique(names, return_counts=True)
    result = {}
    for source in found[np.argsort(-counts, kind="stable")]:
        at = names == source
        matrix = confusion(truth[at], predicted[at], len(labels))
        right = truth[at] == predicted[at]
        result[str(source)] = SourceScores(
            n=int(at.sum()),
            accuracy=float(right.mean()),
            accuracy_ci95=accuracy_interval(right, groups[at]),
            balanced_accuracy=balanced_accuracy(matrix),
            recall=_recall_by_label(labels, matrix),
            two_step_errors=int((np.abs(truth[at] - predicted[at]) >= 2).sum()) if len(labels) > 2 else None,
        )
    return result


def _recall_by_label(labels: Sequence[str], matrix: npt.NDArray[np.int64]) -> dict[str, float | None]:
    return {
        label: None if np.isnan(recall) else float(recall)
        for label, recall in zip(labels, recalls(matrix), strict=True)
    }


def confusion(truth: Indices, predicted: Indices, labels: int) -> npt.NDArray[np.int64]:
    """Counts, `[labels, labels]`: rows are the truth, columns the answer."""
    return np.bincount(truth * labels + predicted, minlength=labels * labels).reshape(labels, labels)


def accuracy(matrix: npt.NDArray[np.int64]) -> float:
    """Share of right answers in a confusion matrix."""
    return float(np.trace(matrix) / matrix.sum())


def recalls(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of each label's pictures that were recognised, `[labels]`; nan for a label without pictures."""
    totals = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def balanced_accuracy(matrix: npt.NDArray[np.int64]) -> float:
    """Mean recall over the labels that have pictures."""
    return float(np.nanmean(recalls(matrix)))


def negative_log_likelihood(probabilities: Probabilities, truth: Indices) -> float:
    """Mean of -log of the probability given to the truth, natural log; probabilities below 1e-12 count as that."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())
