"""The sequential stop keeps its promise: what it says an early decision costs is what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_runtime.deciding.decide import Policy, fuse
from edge_runtime.deciding.sequential import independent_views, prospect

LABELS = ("spoiled", "ripe")
COSTS = Policy.accepting(LABELS, ["ripe"]).table(LABELS)
MOST_VIEWS, FRUITS = 16, 1200


@pytest.mark.parametrize("rho", [0.3, 0.7])
@pytest.mark.parametrize("strength", [3.0, 10.0])
def test_what_is_promised_is_what_happens(rho: float, strength: float) -> None:
    """Views as the model of evidence has them: log-likelihood ratios of mean strength / 2, correlated by rho."""
    rng = np.random.default_rng(round(100 * rho + strength))
    truth = rng.integers(0, 2, FRUITS)
    common = rng.normal(size=(FRUITS, 1)) * np.sqrt(rho * strength)
    own = rng.normal(size=(FRUITS, MOST_VIEWS)) * np.sqrt((1 - rho) * strength)
    ratios = np.where(truth, 1, -1)[:, np.newaxis] * strength / 2 + common + own
    logits = np.stack([np.zeros_like(ratios), ratios], axis=-1)
    used, promised_error, promised_cost = (np.zeros(FRUITS) for _ in range(3))
    wrong, paid, paid_by_all = (np.zeros(FRUITS) for _ in range(3))
    for fruit in range(FRUITS):
        for views in range(1, MOST_VIEWS + 1):
            shares = fuse(logits[fruit, :views], temperature=1.0, rho=rho)
            ahead = prospect(shares, COSTS, views=views, rho=rho, view_cost=0.0005)
            if ahead.is_settled:
                break
        used[fruit], promised_error[fruit], promised_cost[fruit] = views, 1 - shares.max(), ahead.now
        wrong[fruit] = shares.argmax() != truth[fruit]
        paid[fruit] = COSTS[truth[fruit], (shares @ COSTS).argmin()]
        everything = fuse(logits[fruit], temperature=1.0, rho=rho)
        paid_by_all[fruit] = COSTS[truth[fruit], (everything @ COSTS).argmin()]
    noise = 3 * wrong.std() / np.sqrt(FRUITS)
    assert wrong.mean() <= promised_error.mean() + noise
    assert paid.mean() == pytest.approx(promised_cost.mean(), abs=3 * paid.std() / np.sqrt(FRUITS))
    assert used.mean() <= 0.7 * MOST_VIEWS
    # Fewer looks may cost what they are worth by the stated price, and no more.
    saved = 0.0005 * (MOST_VIEWS - used.mean())
    assert paid.mean() <= paid_by_all.mean() + saved + 3 * (paid - paid_by_all).std() / np.sqrt(FRUITS)


def test_views_taken_for_independent_promise_too_much() -> None:
    """The mistake that the discount is there for: the test above fails without it."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, FRUITS)
    common = rng.normal(size=(FRUITS, 1)) * np.sqrt(0.7 * 4)
    ratios = np.where(truth, 1, -1)[:, np.newaxis] * 2 + common + rng.normal(size=(FRUITS, 12)) * np.sqrt(0.3 * 4)
    shares = np.stack([fuse(np.stack([np.zeros(12), row], axis=-1), temperature=1.0, rho=0.0) for row in ratios])
    wrong = shares.argmax(axis=1) != truth
    assert wrong.mean() > 5 * (1 - shares.max(axis=1)).mean()


def test_certainty_is_settled_and_doubt_is_not() -> None:
    sure, unsure = np.array([1e-6, 1 - 1e-6]), np.array([0.45, 0.55])
    assert prospect(sure, COSTS, views=1, rho=0.7, view_cost=1e-4).is_settled
    assert not prospect(unsure, COSTS, views=1, rho=0.7, view_cost=1e-4).is_settled
    assert prospect(unsure, COSTS, views=1, rho=0.7, view_cost=1.0).is_settled


def test_where_the_verdict_is_sure_the_label_need_not_be() -> None:
    costs = Policy.accepting(("green", "white", "red"), ["red"]).table(("green", "white", "red"))
    ahead = prospect(np.array([0.5, 0.4999, 0.0001]), costs, views=3, rho=0.5, view_cost=2e-4)
    assert ahead.now < 2e-4
    assert ahead.is_settled


@given(st.integers(1, 50), st.floats(0, 1))
def test_correlated_views_are_worth_no_more_than_their_number(views: int, rho: float) -> None:
    worth = independent_views(views, rho)
    assert 1 - 1e-9 <= worth <= views + 1e-9
    assert independent_views(views + 1, rho) >= worth - 1e-9


@given(st.floats(0.001, 0.999), st.integers(1, 20), st.floats(0.05, 1))
@example(0.5, 4, 0.9999999999999999)
def test_looking_on_for_nothing_is_never_expected_to_harm(share: float, views: int, rho: float) -> None:
    ahead = prospect(np.array([1 - share, share]), COSTS, views=views, rho=rho, view_cost=0.0)
    assert ahead.later <= ahead.now + 0.01
