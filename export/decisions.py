"""What a change of model does to the line: verdicts under the bundle's cost table, not only labels. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.deciding.decide import Policy, softmax
from edge_runtime.records import Verdict
from evaluation.calibration import expected_calibration_error
from evaluation.intervals import Groups, paired_interval

Logits = npt.NDArray[np.float32]


class Decisions(BaseModel):
    """Candidate against reference, each picture taken as a fruit of one view and each under its own temperature.

    `flips` is the share of pictures with another verdict. Of these, `good_to_diverted` were good and not diverted
    before, `bad_to_accepted` bad and not accepted before (by their true label). `abstention` is the change of the share
    UNDECIDED, `calibration` that of the expected calibration error, `cost` that of the mean cost in the policy's unit.
    """

    model_config = ConfigDict(frozen=True)

    flips: float
    good_to_diverted: int
    bad_to_accepted: int
    abstention: float
    calibration: float
    cost: float
    cost_ci95: tuple[float, float]


def compare_decisions(
    policy: Policy,
    labels: Sequence[str],
    truth: npt.NDArray[np.int64],
    reference: Logits,
    candidate: Logits,
    *,
    temperatures: tuple[float, float] = (1.0, 1.0),
    groups: Groups | None = None,
) -> Decisions | None:
    """Compare verdicts on pictures whose label is `truth` `[n]`; logits `[n, labels]`, n of 1 or more.

    Args:
        policy: With costs for exactly these labels.
        labels: In the order of the logits' columns.
        truth: Label indices.
        reference: Logits before.
        candidate: Logits now.
        temperatures: Of reference and candidate.
        groups: `[n]` names; pictures of one group are not independent.

    Returns:
        None when some output is no finite number: there is no verdict to compare then.
    """
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return None
    table, kinds = policy.table(labels), list(Verdict)
    shares = [softmax(logits, t) for logits, t in zip((reference, candidate), temperatures, strict=True)]
    before, now = (
        np.array([kinds.index(policy.verdict(dict(zip(labels, row, strict=True)))) for row in one.tolist()])
        for one in shares
    )
    good = np.isin(truth, [labels.index(label) for label in policy.accepted()])
    divert, accept = kinds.index(Verdict.DIVERT), kinds.index(Verdict.ACCEPT)
    undecided = kinds.index(Verdict.UNDECIDED)
    cost = table[truth, now] - table[truth, before]
    low, high = paired_interval(cost, groups, largest=float(np.ptp(table, axis=1).max()) or 1.0)
    calibration = [expected_calibration_error(one, truth) for one in shares]
    return Decisions(
        flips=float(np.mean(before != now)),
        good_to_diverted=int(np.sum(good & (before != divert) & (now == divert))),
        bad_to_accepted=int(np.sum(~good & (before != accept) & (now == accept))),
        abstention=float(np.mean(now == undecided) - np.mean(before == undecided)),
        calibration=calibration[1] - calibration[0],
        cost=float(cost.mean()),
        cost_ci95=(low, high),
    )
