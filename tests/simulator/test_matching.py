"""Which decision is about which fruit."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.evidence import Evidence
from simulator.matching import Matched, match

Rows = list[dict[str, Any]]


@pytest.fixture
def truth() -> Rows:
    return [
        {"fruit_id": n, "label": "ripe", "position_mm": 400.0 + 80 * n, "across_mm": 100.0 + 5 * (n % 3)}
        for n in range(20)
    ]


@pytest.fixture
def decisions(truth: Rows) -> Rows:
    seen = {"first_frame": 1, "last_frame": 9}
    return [
        {"fruit_id": 100 + row["fruit_id"], "position_mm": row["position_mm"], "across_mm": row["across_mm"], **seen}
        for row in truth
    ]


def missed(matched: Matched) -> list[int]:
    return [one.truth["fruit_id"] for one in matched.outcomes if one.fate == "missed"]


def spare(matched: Matched) -> list[tuple[str, int]]:
    return [(one.kind, one.decision["fruit_id"]) for one in matched.spare]


def test_each_fruit_gets_its_own_decision_whatever_their_order(truth: Rows, decisions: Rows) -> None:
    decisions[3]["position_mm"] += 3
    matched = match(Evidence(decisions[::-1], truth))
    assert {number: fruit["fruit_id"] for number, fruit in matched.fruit_of.items()} == {100 + n: n for n in range(20)}
    assert not matched.spare


def test_the_nearest_decision_counts_and_the_other_one_is_spare(truth: Rows, decisions: Rows) -> None:
    again = decisions[4] | {"fruit_id": 999, "position_mm": decisions[4]["position_mm"] + 6}
    matched = match(Evidence([again, *decisions], truth))
    assert spare(matched) == [("split", 999)]
    assert matched.outcomes[4].decision == decisions[4]
    later = again | {"first_frame": 10, "last_frame": 20}
    assert spare(match(Evidence([later, *decisions], truth))) == [("doubled", 999)]


def test_a_decision_beyond_reach_leaves_its_fruit_missed_and_is_about_nothing(truth: Rows, decisions: Rows) -> None:
    decisions[2]["position_mm"] += 20.5
    decisions[5]["across_mm"] -= 20.5
    decisions[7]["position_mm"] -= 20.0
    decisions[9]["position_mm"] = None
    matched = match(Evidence(decisions, truth))
    assert missed(matched) == [2, 5, 9]
    assert sorted(spare(matched)) == [("spurious", 102), ("spurious", 105), ("spurious", 109)]


def test_without_a_place_across_the_belt_the_place_along_it_decides(truth: Rows, decisions: Rows) -> None:
    matched = match(Evidence([row | {"across_mm": None} for row in decisions], truth))
    assert (missed(matched), matched.spare) == ([], ())


def test_a_fruit_reaches_as_far_as_it_is_long(truth: Rows, decisions: Rows) -> None:
    # 60 px at 0.4 mm are 24 mm; half of that and 3 mm are 15.
    sized = [row | {"size_px": [60, 50]} for row in truth]
    decisions[1]["position_mm"] += 14.9
    decisions[2]["position_mm"] += 15.1
    assert missed(match(Evidence(decisions, sized))) == [2]
