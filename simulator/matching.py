"""Which decision is about which true fruit, and which stroke of a valve met which: what every figure rests on. Pure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.evidence import Evidence, Row

_SLACK_MM = 3.0
_ENOUGH_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one true fruit. `fate`: found, merged (hidden in another's decision), missed or unseen."""

    truth: Row
    decision: Row | None
    fate: str


@dataclass(frozen=True, slots=True)
class Spare:
    """A decision that no fruit needed. `kind`: doubled or split, with the fruit that had one already; or spurious."""

    kind: str
    decision: Row
    truth: Row | None


@dataclass(frozen=True, slots=True)
class Matched:
    """Truth and decisions, put together; `fruit_of` holds the true fruit of each decision that is about one."""

    outcomes: tuple[Outcome, ...]
    spare: tuple[Spare, ...]
    fruit_of: dict[int, Row]


@dataclass(frozen=True, slots=True)
class Stroke:
    """One action of a valve: the fruit that it was meant for, if it was for one, and those that it met.

    `error_mm` is how far behind the fruit's centre it acted; None where it was meant for nothing. `sparable` are those
    others that a stroke right on its fruit would not have met: further from it than half the valve's width, or in
    another lane.
    """

    action: Row
    meant: Row | None
    hit: tuple[Row, ...]
    error_mm: float | None
    sparable: tuple[Row, ...] = ()

    @property
    def hit_own(self) -> bool:
        """Whether it met the fruit that it was meant for."""
        return self.meant is not None and any(fruit is self.meant for fruit in self.hit)

    @property
    def hit_neighbour(self) -> bool:
        """Whether it met another fruit, perhaps beside its own."""
        return any(fruit is not self.meant for fruit in self.hit)


def reach_mm(fruit: Row, mm_per_px: float) -> float:
    """How far from a fruit's centre something may lie and still be about it."""
    return float(max(fruit["size_px"]) / 2 * mm_per_px + _SLACK_MM) if "size_px" in fruit else 20.0


def match(evidence: Evidence) -> Matched:
    """Give each true fruit at most one decision: the nearest that lies on it.

    A fruit without one is *merged* if its centre lies in the box of another's decision, *unseen* if it passed in fewer
    than two good frames, else *missed*. A spare decision on a found fruit is *split* where both were followed in the
    same frames (one fruit seen as two) and *doubled* where one came after the other; elsewhere it is *spurious*.
    """
    scale, truth, decisions = evidence.mm_per_px, evidence.truth, evidence.decisions
    reach = [reach_mm(fruit, scale) for fruit in truth]
    pairs = _near_pairs(decisions, truth, reach)
    decision_of = _assign(pairs)
    covering = _near_pairs(decisions, truth, [3 * one for one in reach])
    hidden = {column for _, row, column in covering if _covers(decisions[row], truth[column], scale)}
    outcomes = []
    for column, fruit in enumerate(truth):
        if column in decision_of:
            outcomes.append(Outcome(fruit, decisions[decision_of[column][0]], "found"))
        elif fruit.get("good_frames", _ENOUGH_FRAMES) < _ENOUGH_FRAMES:
            outcomes.append(Outcome(fruit, None, "unseen"))
        else:
            outcomes.append(Outcome(fruit, None, "merged" if column in hidden else "missed"))
    taken = {row for row, _ in decision_of.values()}
    nearest = {row: column for _, row, column in reversed(pairs)}
    spare = []
    for row, decision in enumerate(decisions):
        if row in taken:
            continue
        if row not in nearest:
            spare.append(Spare("spurious", decision, None))
            continue
        first = decisions[decision_of[nearest[row]][0]]
        together = max(first["first_frame"], decision["first_frame"]) <= min(
            first["last_frame"], decision["last_frame"]
        )
        spare.append(Spare("split" if together else "doubled", decision, truth[nearest[row]]))
    fruit_of = {one.decision["fruit_id"]: one.truth for one in outcomes if one.decision is not None}
    fruit_of |= {one.decision["fruit_id"]: one.truth for one in spare if one.truth is not None}
    return Matched(tuple(outcomes), tuple(spare), fruit_of)


def strokes(evidence: Evidence, matched: Matched) -> list[Stroke]:
    """What each stroke met: fruit of the valve's lane whose centre lay within its width when it acted."""
    ejector = evidence.ejector
    if ejector is None:
        return []
    order = sorted(evidence.truth, key=lambda fruit: fruit["position_mm"])
    places_mm = [fruit["position_mm"] for fruit in order]
    done = []
    for action in evidence.ejections:
        place_mm = action["acted_mm"] - ejector["at_mm"]
        met = _between(order, places_mm, place_mm, ejector["width_mm"] / 2)
        meant = matched.fruit_of.get(action["fruit_id"])
        error_mm = None if meant is None else place_mm - meant["position_mm"]
        hit = tuple(fruit for fruit in met if fruit["lane"] == action["ejector"])
        sparable = tuple(
            fruit for fruit in hit if meant is None or not _share_a_stroke(fruit, meant, ejector["width_mm"])
        )
        done.append(Stroke(action, meant, hit, error_mm, sparable))
    return done


def _share_a_stroke(fruit: Row, other: Row, width_mm: float) -> bool:
    return bool(fruit["lane"] == other["lane"] and abs(fruit["position_mm"] - other["position_mm"]) <= width_mm / 2)


def _near_pairs(
    decisions: Sequence[Row], truth: Sequence[Row], reach_mm: Sequence[float]
) -> list[tuple[float, int, int]]:
    """Which decisions may be about which fruit: (distance in mm, row of decision, row of truth), nearest first.

    Args:
        decisions: Rows of `decisions.jsonl`. Where `across_mm` is null only the place along the belt counts; one whose
            `position_mm` is null is about nothing.
        truth: Rows of `truth.jsonl`.
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


def _assign(pairs: Sequence[tuple[float, int, int]]) -> dict[int, tuple[int, float]]:
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


def _distance_mm(decision: Row, fruit: Row) -> float:
    along_mm = decision["position_mm"] - fruit["position_mm"]
    across_mm = 0.0 if decision.get("across_mm") is None else decision["across_mm"] - fruit["across_mm"]
    return math.hypot(along_mm, across_mm)


def _between(order: Sequence[Row], places_mm: Sequence[float], place_mm: float, half_mm: float) -> Sequence[Row]:
    return order[bisect.bisect_left(places_mm, place_mm - half_mm) : bisect.bisect_right(places_mm, place_mm + half_mm)]


def _covers(decision: Row, fruit: Row, mm_per_px: float) -> bool:
    """Whether the box of a decision holds the centre of a fruit."""
    if "box_px" not in decision:
        return False
    _, _, width_px, height_px = decision["box_px"]
    along = abs(decision["position_mm"] - fruit["position_mm"]) <= width_px / 2 * mm_per_px
    if decision.get("across_mm") is None:
        return bool(along)
    return bool(along and abs(decision["across_mm"] - fruit["across_mm"]) <= height_px / 2 * mm_per_px)
