"""How far pictures of one fruit err together: rho, by which the runtime discounts further views of a fruit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from evaluation.intervals import bootstrap, correlation_sums, intraclass_correlation

DEFAULT_RHO = 0.7
"""Where it cannot be measured: three views then count for 1.25."""

LEAST_FRUITS = 20
"""With fewer fruits of several pictures the estimate scatters too widely to replace the default."""

LOWEST_RHO = 0.05
"""No two pictures of one fruit are believed to err wholly independently."""

_CERTAIN = 1e-12


class ViewCorrelation(BaseModel):
    """`rho` as the runtime uses it; `estimate` with its interval where it was measured, over `fruits`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rho: float = Field(default=DEFAULT_RHO, gt=0, le=1)
    origin: Literal["measured", "default"] = "default"
    fruits: int = 0
    pictures: int = 0
    estimate: float | None = None
    ci95: tuple[float, float] | None = None


def measure_view_correlation(
    truth: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    fruits: Sequence[str | None],
) -> ViewCorrelation:
    """Intraclass correlation of the evidence for the truth, between pictures of one fruit.

    The evidence of a picture is the log-odds of the true label against its strongest rival. The runtime adds such
    evidence over the views of a fruit and divides by 1 + (k - 1) * rho, which is right when rho is the correlation of
    what two views of one fruit add: the ICC(1) of a one-way random-effects model (Shrout and Fleiss 1979; for unequal
    sizes Donner 1986). Each label's mean is taken out first, else easy and hard labels would pass for correlation. A
    temperature changes nothing. The interval is the bootstrap over fruits.

    Args:
        truth: `[N]` label indices.
        probabilities: `[N, labels]`, of pictures not trained on.
        fruits: `[N]` names of physical fruits, None where unknown.

    Returns:
        The default where fewer than `LEAST_FRUITS` fruits have several pictures.
    """
    names, counts = np.unique([name for name in fruits if name is not None], return_counts=True)
    several = set(names[counts > 1].tolist())
    at = np.array([i for i, name in enumerate(fruits) if name in several], np.int64)
    if len(several) < LEAST_FRUITS:
        return ViewCorrelation(fruits=len(several), pictures=len(at))
    evidence = _evidence(truth[at], probabilities[at])
    for label in np.unique(truth[at]):
        evidence[truth[at] == label] -= evidence[truth[at] == label].mean()
    sums = correlation_sums(evidence, [fruits[i] for i in at])
    estimate = float(intraclass_correlation(sums.sum(axis=0)[None])[0])
    if np.isnan(estimate):
        return ViewCorrelation(fruits=len(several), pictures=len(at))
    low, high = np.nanquantile(bootstrap(sums, intraclass_correlation), [0.025, 0.975])
    return ViewCorrelation(
        rho=min(max(estimate, LOWEST_RHO), 1.0),
        origin="measured",
        fruits=len(several),
        pictures=len(at),
        estimate=estimate,
        ci95=(float(low), float(high)),
    )


def _evidence(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    logs = np.log(np.maximum(probabilities.astype(np.float64), _CERTAIN))
    rows = np.arange(len(truth))
    mine = logs[rows, truth]
    logs[rows, truth] = -np.inf
    return np.asarray(mine - logs.max(axis=1))
