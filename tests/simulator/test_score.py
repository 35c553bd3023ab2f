"""The score: perfect decisions score perfectly, broken ones exactly as badly as they deserve."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.score import match_decisions

LABELS = ("unripe", "ripe")
Rows = list[dict[str, Any]]


@pytest.fixture
def truth() -> Rows:
    return [
        {"fruit_id": n, "label": LABELS[n % 2], "position_mm": 400.0 + 80 * n, "across_mm": 100.0 + 5 * (n % 3)}
        for n in range(20)
    ]


def _perfect(truth: Rows) -> Rows:
    return [
        {
            "fruit_id": 100 + row["fruit_id"],
            "label": row["label"],
            "verdict": "ACCEPT" if row["label"] == "ripe" else "DIVERT",
            "position_mm": row["position_mm"],
            "across_mm": row["across_mm"],
        }
        for row in truth
    ]


def _score(decisions: Rows, truth: Rows) -> dict[str, Any]:
    return match_decisions(decisions, truth, tolerance_mm=20, accepted=("ripe",)).as_dict()


def test_perfect_decisions(truth: Rows) -> None:
    assert _score(_perfect(truth), truth) == {
        "true": 20,
        "decided": 20,
        "found": 20,
        "missed": [],
        "doubled": 0,
        "spurious": 0,
        "label_accuracy": 1.0,
        "verdicts": {"ripe": {"ACCEPT": 10}, "unripe": {"DIVERT": 10}},
        "escapes": 0,
        "false_rejects": 0,
        "undecided": 0,
    }


def test_each_match_names_its_pair(truth: Rows) -> None:
    decisions = _perfect(truth)[::-1]
    decisions[0]["position_mm"] += 3
    decisions[0]["across_mm"] += 4
    matches = match_decisions(decisions, truth, tolerance_mm=20).matches
    assert [match.decision_id - match.fruit_id for match in matches] == [100] * 20
    assert [match.distance_mm for match in matches] == [0.0] * 19 + [5.0]


def test_dropped_fruit_are_missed(truth: Rows) -> None:
    decisions = [row for row in _perfect(truth) if row["fruit_id"] % 10 != 3]
    score = _score(decisions, truth)
    assert (score["found"], score["missed"], score["doubled"], score["spurious"]) == (18, [3, 13], 0, 0)


def test_a_fruit_decided_twice_is_doubled_and_the_nearer_decision_counts(truth: Rows) -> None:
    decisions = _perfect(truth)
    again = {**decisions[4], "fruit_id": 999, "position_mm": decisions[4]["position_mm"] + 6, "label": "ripe"}
    score = _score([again, *decisions], truth)
    assert (score["found"], score["doubled"], score["spurious"], score["label_accuracy"]) == (20, 1, 0, 1.0)


def test_a_decision_about_nothing_is_spurious(truth: Rows) -> None:
    decisions = _perfect(truth)
    ghosts = [{**decisions[0], "position_mm": 100.0}, {**decisions[0], "position_mm": None}]
    score = _score(decisions + ghosts, truth)
    assert (score["found"], score["doubled"], score["spurious"], score["decided"]) == (20, 0, 2, 22)


def test_a_fruit_beyond_the_tolerance_is_missed_along_and_across(truth: Rows) -> None:
    decisions = _perfect(truth)
    decisions[2]["position_mm"] += 20.5
    decisions[5]["across_mm"] -= 20.5
    decisions[7]["position_mm"] -= 20.0
    score = _score(decisions, truth)
    assert (score["missed"], score["spurious"]) == ([2, 5], 2)


def test_without_a_place_across_the_belt_the_place_along_it_decides(truth: Rows) -> None:
    decisions = [{**row, "across_mm": None} for row in _perfect(truth)]
    assert _score(decisions, truth)["found"] == 20


def test_swapped_labels_and_verdicts_are_counted_the_right_way_round(truth: Rows) -> None:
    decisions = _perfect(truth)
    decisions[0] |= {"label": "ripe", "verdict": "ACCEPT"}  # truly unripe
    decisions[1] |= {"label": "unripe", "verdict": "DIVERT"}  # truly ripe
    decisions[3] |= {"label": "unripe", "verdict": "DIVERT"}
    decisions[2] |= {"verdict": "UNDECIDED"}
    score = _score(decisions, truth)
    assert score["label_accuracy"] == pytest.approx(17 / 20)
    assert (score["escapes"], score["false_rejects"], score["undecided"]) == (1, 2, 1)
    assert score["verdicts"] == {
        "ripe": {"ACCEPT": 8, "DIVERT": 2},
        "unripe": {"ACCEPT": 1, "DIVERT": 8, "UNDECIDED": 1},
    }


def test_no_decisions_at_all(truth: Rows) -> None:
    score = _score([], truth)
    assert (score["found"], len(score["missed"]), score["label_accuracy"]) == (0, 20, None)
