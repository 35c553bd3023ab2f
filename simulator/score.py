"""What decisions are worth against the truth: who was found, how it was graded, what went the wrong way."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Match:
    """A decision given to a true fruit, by their ids, with the distance between them."""

    fruit_id: int
    decision_id: int
    distance_mm: float


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over one run.

    `doubled` counts further decisions about a fruit that was already found, `spurious` decisions near no fruit.
    `verdicts[label][verdict]` counts found fruit. An escape is a found fruit of a label that is not accepted with the
    verdict ACCEPT, a false reject one of an accepted label with DIVERT.
    """

    true: int
    decided: int
    found: int
    missed: tuple[int, ...]
    doubled: int
    spurious: int
    label_accuracy: float | None
    verdicts: dict[str, dict[str, int]]
    escapes: int
    false_rejects: int
    undecided: int
    matches: tuple[Match, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON form, without the single matches."""
        return {
            "true": self.true,
            "decided": self.decided,
            "found": self.found,
            "missed": list(self.missed),
            "doubled": self.doubled,
            "spurious": self.spurious,
            "label_accuracy": self.label_accuracy,
            "verdicts": self.verdicts,
            "escapes": self.escapes,
            "false_rejects": self.false_rejects,
            "undecided": self.undecided,
        }


def match_decisions(
    decisions: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    *,
    tolerance_mm: float,
    accepted: Sequence[str] = (),
) -> Score:
    """Give each true fruit at most one decision, nearest pairs first, and count what is left over.

    Args:
        decisions: Objects of `decisions.jsonl`. Where `across_mm` is null only the place along the belt counts; one
            whose `position_mm` is null matches nothing.
        truth: Objects of `truth.jsonl`.
        tolerance_mm: Farther apart, a decision is not about that fruit.
        accepted: Labels that the plant accepts.
    """
    pairs = near_pairs(decisions, truth, [tolerance_mm] * len(truth))
    decision_of = assign(pairs)
    taken = {row for row, _ in decision_of.values()}
    near_some_fruit = {row for _, row, _ in pairs}
    found = [(truth[column], decisions[row]) for column, (row, _) in sorted(decision_of.items())]
    table: dict[str, Counter[str]] = {str(fruit["label"]): Counter() for fruit in truth}
    for fruit, decision in found:
        table[str(fruit["label"])][str(decision["verdict"])] += 1
    right = sum(fruit["label"] == decision["label"] for fruit, decision in found)
    return Score(
        true=len(truth),
        decided=len(decisions),
        found=len(found),
        missed=tuple(int(fruit["fruit_id"]) for column, fruit in enumerate(truth) if column not in decision_of),
        doubled=len(near_some_fruit - taken),
        spurious=len(decisions) - len(near_some_fruit),
        label_accuracy=right / len(found) if found else None,
        verdicts={label: dict(sorted(counts.items())) for label, counts in sorted(table.items())},
        escapes=sum(counts["ACCEPT"] for label, counts in table.items() if label not in accepted),
        false_rejects=sum(counts["DIVERT"] for label, counts in table.items() if label in accepted),
        undecided=sum(counts["UNDECIDED"] for counts in table.values()),
        matches=tuple(
            Match(int(truth[column]["fruit_id"]), int(decisions[row]["fruit_id"]), distance_mm)
            for column, (row, distance_mm) in sorted(decision_of.items())
        ),
    )


def near_pairs(
    decisions: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]], reach_mm: Sequence[float]
) -> list[tuple[float, int, int]]:
    """Which decisions may be about which fruit: (distance in mm, row of decision, row of truth), nearest first.

    Args:
        decisions: As for `match_decisions`.
        truth: As for `match_decisions`.
        reach_mm: How far from each fruit a decision about it may lie.
    """
    order = sorted(range(len(truth)), key=lambda column: truth[column]["position_mm"])
    places = [truth[column]["position_mm"] for column in order]
    widest = max(reach_mm, default=0.0)
    pairs = []
    for row, decision in enumerate(decisions):
        if decision["position_mm"] is None:
            continue
        first = bisect.bisect_left(places, decision["position_mm"] - widest)
        end = bisect.bisect_right(places, decision["position_mm"] + widest)
        for column in order[first:end]:
            distance_mm = _distance_mm(decision, truth[column])
            if distance_mm <= reach_mm[column]:
                pairs.append((distance_mm, row, column))
    return sorted(pairs)


def assign(pairs: Sequence[tuple[float, int, int]]) -> dict[int, tuple[int, float]]:
    """At most one decision for a fruit and one fruit for a decision, nearest first.

    Returns:
        Row of truth -> (row of decision, distance in mm).
    """
    decision_of: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for distance_mm, row, column in pairs:
        if row not in taken and column not in decision_of:
            decision_of[column] = (row, distance_mm)
            taken.add(row)
    return decision_of


def _distance_mm(decision: Mapping[str, Any], fruit: Mapping[str, Any]) -> float:
    along_mm = decision["position_mm"] - fruit["position_mm"]
    across_mm = 0.0 if decision.get("across_mm") is None else decision["across_mm"] - fruit["across_mm"]
    return math.hypot(along_mm, across_mm)
