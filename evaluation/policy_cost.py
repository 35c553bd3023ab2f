"""What a policy's verdicts cost on labelled pictures, each taken as a fruit of one view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.deciding.decide import Policy
from edge_runtime.records import Verdict
from evaluation.intervals import Groups, accuracy_interval


class PolicyCost(BaseModel):
    """Cost in the policy's own unit, a fruit.

    `verdicts[label][verdict]` counts pictures. `constant` is the verdict that would cost least if it were always given,
    at `constant_mean`: a model is worth what it saves against that. Escapes are bad fruit accepted, false rejects good
    fruit diverted, as shares of all bad and all good fruit; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Policy
    mean: float
    mean_ci95: tuple[float, float]
    constant: Verdict
    constant_mean: float
    verdicts: dict[str, dict[Verdict, int]]
    undecided: float
    escapes: float | None
    escapes_ci95: tuple[float, float]
    false_rejects: float | None
    false_rejects_ci95: tuple[float, float]


def policy_cost(
    policy: Policy,
    labels: Sequence[str],
    truth: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    groups: Groups,
) -> PolicyCost:
    """Let a policy judge every picture by itself.

    Args:
        policy: With costs for exactly these labels.
        labels: In the order of the columns of `probabilities`.
        truth: `[N]` label indices, N of 1 or more.
        probabilities: `[N, labels]`, temperature-scaled.
        groups: `[N]`; pictures of one group are not independent.

    Raises:
        InputError: The policy's labels are others.
    """
    table = policy.table(labels)
    kinds = list(Verdict)
    verdicts = np.array(
        [kinds.index(policy.verdict(dict(zip(labels, row, strict=True)))) for row in probabilities.tolist()]
    )
    cost = table[truth, verdicts]
    dearest = float(table.max()) or 1.0
    constant = int(table[truth].mean(axis=0).argmin())
    names = np.asarray([str(group) for group in groups])
    good = np.isin(truth, [labels.index(label) for label in policy.accepted()])
    escaped, rejected = verdicts == kinds.index(Verdict.ACCEPT), verdicts == kinds.index(Verdict.DIVERT)

    def share(which: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> tuple[float | None, tuple[float, float]]:
        found = which[among]
        return float(found.mean()) if len(found) else None, accuracy_interval(found, names[among])

    escapes, escapes_ci95 = share(escaped, ~good)
    false_rejects, false_rejects_ci95 = share(rejected, good)
    low, high = accuracy_interval(cost / dearest, names)
    return PolicyCost(
        policy=policy,
        mean=float(cost.mean()),
        mean_ci95=(low * dearest, high * dearest),
        constant=kinds[constant],
        constant_mean=float(table[truth, constant].mean()),
        verdicts={
            label: {kind: int(((truth == i) & (verdicts == k)).sum()) for k, kind in enumerate(kinds)}
            for i, label in enumerate(labels)
        },
        undecided=float((verdicts == kinds.index(Verdict.UNDECIDED)).mean()),
        escapes=escapes,
        escapes_ci95=escapes_ci95,
        false_rejects=false_rejects,
        false_rejects_ci95=false_rejects_ci95,
    )
