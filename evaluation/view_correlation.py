"""How far pictures of one fruit err together: rho, by which the runtime discounts further views of a fruit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from evaluation.intervals import bootstrap, correlation_sums, intraclass_correlation

LINE_RHO = 0.9
"""What is believed where no frames of a line can be measured: ten views then count for 1.1.

Consecutive frames show the same side of a fruit in the same light: on simulated lines they correlate by 0.90 to 0.97,
photographs of a fruit that was turned over in between by 0.6 to 0.7.
"""

LEAST_FRUITS = 20
"""With fewer fruits of several pictures the estimate scatters too widely to replace the default."""

LOWEST_RHO = 0.05
"""No two pictures of one fruit are believed to err wholly independently."""

_CERTAIN = 1e-12


class ViewCorrelation(BaseModel):
    """`rho` as the runtime uses it; `estimate` with its interval where it was measured, over `fruits`.

    `origin`: `measured` on frames of a line; `photographs`: on pictures that are no frames, so that `rho` is no less
    than `LINE_RHO`; `default` where too few fruits have several pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rho: float = Field(default=LINE_RHO, gt=0, le=1)
    origin: Literal["measured", "photographs", "default"] = "default"
    fruits: int = 0
    pictures: int = 0
    estimate: float | None = None
    ci95: tuple[float, float] | None = None


def measure_view_correlation(
    truth: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    fruits: Sequence[str | None],
    from_line: Sequence[bool],
) -> ViewCorrelation:
    """Intraclass correlation of the evidence for the truth, between pictures of one fruit.

    The evidence of a picture is the log-odds of the true label against its strongest rival. The runtime adds such
    evidence over the views of a fruit and divides by 1 + (k - 1) * rho, which is right when rho is the correlation of
    what two views of one fruit add: the ICC(1) of a one-way random-effects model (Shrout and Fleiss 1979; for unequal
    sizes Donner 1986). Each label's mean is taken out first, else easy and hard labels would pass for correlation. A
    temperature changes nothing. The interval is the bootstrap over fruits.

    Frames of a line, as `ripeline collect` keeps them, are measured by themselves where there are enough: they are
    what the runtime fuses. Photographs of a fruit taken in turn are less alike, and promise too much.

    Args:
        truth: `[N]` label indices.
        probabilities: `[N, labels]`, of pictures not trained on.
        fruits: `[N]` names of physical fruits, None where unknown.
        from_line: `[N]` whether a picture was cut out of a frame of a line.

    Returns:
        The default where fewer than `LEAST_FRUITS` fruits have several pictures.
    """
    frames = _of_several([fruit if on_line else None for fruit, on_line in zip(fruits, from_line, strict=True)])
    is_line = _count(fruits, frames) >= LEAST_FRUITS
    at = frames if is_line else _of_several(fruits)
    count = _count(fruits, at)
    if count < LEAST_FRUITS:
        return ViewCorrelation(fruits=count, pictures=len(at))
    evidence = _evidence(truth[at], probabilities[at])
    for label in np.unique(truth[at]):
        evidence[truth[at] == label] -= evidence[truth[at] == label].mean()
    sums = correlation_sums(evidence, [fruits[i] for i in at])
    estimate = float(intraclass_correlation(sums.sum(axis=0)[None])[0])
    if np.isnan(estimate):
        return ViewCorrelation(fruits=count, pictures=len(at))
    low, high = np.nanquantile(bootstrap(sums, intraclass_correlation), [0.025, 0.975])
    return ViewCorrelation(
        rho=min(max(estimate, LOWEST_RHO if is_line else LINE_RHO), 1.0),
        origin="measured" if is_line else "photographs",
        fruits=count,
        pictures=len(at),
        estimate=estimate,
        ci95=(float(low), float(high)),
    )


def _of_several(fruits: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Where the pictures are whose fruit has another one."""
    counts = Counter(name for name in fruits if name is not None)
    return np.array([i for i, name in enumerate(fruits) if name is not None and counts[name] > 1], np.int64)


def _count(fruits: Sequence[str | None], at: npt.NDArray[np.int64]) -> int:
    return len({fruits[i] for i in at})


def _evidence(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    logs = np.log(np.maximum(probabilities.astype(np.float64), _CERTAIN))
    rows = np.arange(len(truth))
    mine = logs[rows, truth]
    logs[rows, truth] = -np.inf
    return np.asarray(mine - logs.max(axis=1))
