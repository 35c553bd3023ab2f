"""What is gained when a classifier may keep silent (Geifman and El-Yaniv 2017, arXiv:1705.08500)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

STATED_RISKS = (0.01, 0.02, 0.05)


class Selective(BaseModel):
    """Figures of the risk-coverage curve.

    `aurc` is the area under it: the mean error over all coverages, 0 at best (Geifman et al. 2019, arXiv:1805.08206).
    `coverage_at_risk` holds the largest share of pictures, the surest first, that can be answered with an error of at
    most 1, 2 and 5 %; it is read off the same pictures, so it is a description and no promise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    aurc: float
    coverage_at_risk: dict[float, float]


def risk_coverage(
    confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Error among the surest answers against their share.

    Answers of equal confidence come and go together, so that their order in the file decides nothing.

    Args:
        confidence: `[N]`, N of 1 or more.
        right: `[N]`.

    Returns:
        Coverage and risk, `[k]` each, of the k different confidences from the highest down; coverage ends at 1.
    """
    order = np.argsort(-confidence, kind="stable")
    last_of_equals = np.append(np.flatnonzero(np.diff(confidence[order])), len(order) - 1)
    answered = last_of_equals + 1
    wrong = np.cumsum(~right[order])[last_of_equals]
    return answered / len(order), wrong / answered


def selective_figures(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Selective:
    """The figures of `risk_coverage`, same arguments."""
    coverage, risk = risk_coverage(confidence, right)
    steps = np.diff(coverage, prepend=0.0)
    return Selective(
        aurc=float((risk * steps).sum()),
        coverage_at_risk={
            stated: float(coverage[risk <= stated].max()) if (risk <= stated).any() else 0.0 for stated in STATED_RISKS
        },
    )
