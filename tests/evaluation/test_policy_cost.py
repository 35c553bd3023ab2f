from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.deciding.decide import Costs, Policy
from edge_runtime.errors import InputError
from edge_runtime.records import Verdict
from evaluation.policy_cost import policy_cost

LABELS = ("unripe", "ripe")
TRUTH = np.array([0, 0, 0, 1, 1, 1, 1])
P_RIPE = np.array([0.05, 0.5, 0.9, 0.95, 0.6, 0.1, 0.99])
PROBABILITIES = np.column_stack([1 - P_RIPE, P_RIPE])
GROUPS = list("abcdefg")


def test_costs_verdicts_escapes_and_false_rejects_by_hand() -> None:
    found = policy_cost(Policy.accepting(LABELS, ["ripe"]), LABELS, TRUTH, PROBABILITIES, GROUPS)
    assert found.verdicts == {
        "unripe": {Verdict.ACCEPT: 1, Verdict.DIVERT: 1, Verdict.UNDECIDED: 1},
        "ripe": {Verdict.ACCEPT: 2, Verdict.DIVERT: 1, Verdict.UNDECIDED: 1},
    }
    assert found.mean == pytest.approx((1 + 1 + 2 * 0.25) / 7)
    assert (found.escapes, found.false_rejects, found.undecided) == (
        pytest.approx(1 / 3), pytest.approx(1 / 4), pytest.approx(2 / 7),
    )  # fmt: skip
    assert (found.constant, found.constant_mean) == (Verdict.UNDECIDED, 0.25)
    assert found.mean_ci95[0] < found.mean < found.mean_ci95[1] <= 1
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_a_dear_escape_makes_the_policy_careful_and_the_unit_is_its_own() -> None:
    dear = Policy(
        costs={
            "unripe": Costs(ACCEPT=50, DIVERT=0, UNDECIDED=2),
            "ripe": Costs(ACCEPT=0, DIVERT=5, UNDECIDED=2),
        },
        origin="costs.toml",
    )
    found = policy_cost(dear, LABELS, TRUTH, PROBABILITIES, GROUPS)
    assert found.verdicts["unripe"][Verdict.ACCEPT] == 0
    assert found.escapes == 0
    assert found.escapes_ci95[1] > 0.5
    assert found.mean == pytest.approx((0 + 2 + 2 + 2 + 2 + 5 + 0) / 7)
    assert found.constant_mean == pytest.approx(2)
    assert found.mean_ci95[1] > found.mean


def test_no_cost_at_all_is_not_plus_or_minus_nothing() -> None:
    certain = np.eye(2)[TRUTH]
    found = policy_cost(Policy.accepting(LABELS, ["ripe"]), LABELS, TRUTH, certain, GROUPS)
    assert found.mean == 0
    assert found.mean_ci95[1] > 0.3


def test_one_label_alone_leaves_the_other_share_unmeasured() -> None:
    only_ripe = TRUTH == 1
    found = policy_cost(
        Policy.accepting(LABELS, ["ripe"]), LABELS, TRUTH[only_ripe], PROBABILITIES[only_ripe], GROUPS[3:]
    )
    assert found.escapes is None
    assert found.escapes_ci95 == (0.0, 1.0)


def test_a_policy_of_other_labels_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit the model"):
        policy_cost(Policy.accepting(("green", "red"), ["red"]), LABELS, TRUTH, PROBABILITIES, GROUPS)
