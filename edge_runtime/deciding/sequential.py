"""When to stop looking: the value of further views of a fruit against their price. Pure.

A view's evidence is taken as a log-likelihood ratio between the likeliest label and the rest, normal with a variance of
twice its mean, as it is for every test between two normals of equal variance. How strong a line's views are is read
from the fruit's own. What m more views would change is then known before they are taken (preposterior analysis; Raiffa
and Schlaifer 1961, Applied Statistical Decision Theory, ch. 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOOK_AHEAD = (1, 2, 4, 8)
"""Numbers of further views that are weighed: one alone may be worth too little where several would settle it."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)  # type: ignore[no-untyped-call]
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_SIGNS = np.array([[1.0], [-1.0]])
_CERTAIN = 1e-12


@dataclass(frozen=True, slots=True)
class Prospect:
    """Costs, in the table's unit: of deciding now, and of the best number of further views, their price included."""

    now: float
    later: float

    @property
    def is_settled(self) -> bool:
        """Whether looking on is not worth its price."""
        return self.now <= self.later


def independent_views(views: int, rho: float) -> float:
    """How many independent views so many correlated ones are worth (Kish's effective sample size)."""
    return views / (1 + (views - 1) * rho) if views else 0.0


def prospect(
    probabilities: npt.NDArray[np.float64],
    costs: npt.NDArray[np.float64],
    *,
    views: int,
    rho: float,
    view_cost: float,
    look_ahead: Sequence[int] = LOOK_AHEAD,
) -> Prospect:
    """Weigh deciding now against looking on.

    Args:
        probabilities: `[labels]`, fused over `views` views (`edge_runtime.deciding.decide.fuse`).
        costs: `[labels, verdicts]`.
        views: At least 1.
        rho: Correlation of errors between views.
        view_cost: Price of one more view, in the unit of `costs`.
        look_ahead: Numbers of further views to weigh.
    """
    now = float((probabilities @ costs).min())
    top = int(probabilities.argmax())
    share = min(max(float(probabilities[top]), _CERTAIN), 1 - _CERTAIN)
    odds = float(np.log(share / (1 - share)))
    worth = independent_views(views, rho)
    strength = 2 * max(odds, 1.0) / worth  # variance of the evidence of one independent view
    rest = probabilities.copy()
    rest[top] = 0.0
    rest /= max(rest.sum(), _CERTAIN)
    further = np.array(look_ahead)
    # At a rho of nearly 1 rounding would make what is gained less than nothing.
    gained = np.array([max(independent_views(views + each, rho) - worth, 0.0) for each in look_ahead])
    variance = (strength * gained)[:, np.newaxis, np.newaxis]
    # [look_ahead, whether the likeliest label is right, nodes]
    moved = odds + _SIGNS * variance / 2 + np.sqrt(variance) * _NODES
    top_share = 1 / (1 + np.exp(-moved))
    cost_rest = rest @ costs
    outcomes = top_share[..., np.newaxis] * (costs[top] - cost_rest) + cost_rest
    expected = outcomes.min(axis=-1) @ _WEIGHTS @ np.array([share, 1 - share])
    return Prospect(now, float((expected + further * view_cost).min()))
