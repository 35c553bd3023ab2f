"""The score of a line: how many fruit were counted, graded and thrown out as they should be. Pure.

Every share comes as `{"k", "n", "share", "ci95"}`, the interval being Wilson's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.intervals import wilson
from simulator.evidence import Evidence, Row
from simulator.score import assign, near_pairs

SCHEMA_VERSION = 1
_SLACK_MM = 3.0
_ENOUGH_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one true fruit. `fate`: found, merged (hidden in another's decision), missed or unseen."""

    truth: Row
    decision: Row | None
    fate: str


@dataclass(frozen=True, slots=True)
class Matched:
    """Truth and decisions, put together. Spare decisions are doubled, split or spurious."""

    outcomes: tuple[Outcome, ...]
    spare: tuple[tuple[str, Row], ...]

    def fruit_of(self, decision_id: int) -> Row | None:
        """The true fruit that a decision is about."""
        return next(
            (one.truth for one in self.outcomes if one.decision and one.decision["fruit_id"] == decision_id), None
        )


def match(evidence: Evidence) -> Matched:
    """Give each true fruit at most one decision: the nearest that lies on it.

    A fruit without one is *merged* if its centre lies in the box of another's decision, *unseen* if it passed in fewer
    than two good frames, else *missed*. A spare decision on a found fruit is *split* where both were followed in the
    same frames (one fruit seen as two) and *doubled* where one came after the other; elsewhere it is *spurious*.
    """
    scale, truth, decisions = evidence.mm_per_px, evidence.truth, evidence.decisions
    reach = [max(fruit["size_px"]) / 2 * scale + _SLACK_MM if "size_px" in fruit else 20.0 for fruit in truth]
    pairs = near_pairs(decisions, truth, reach)
    decision_of = assign(pairs)
    covering = near_pairs(decisions, truth, [3 * one for one in reach])
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
            spare.append(("spurious", decision))
            continue
        first = decisions[decision_of[nearest[row]][0]]
        together = max(first["first_frame"], decision["first_frame"]) <= min(
            first["last_frame"], decision["last_frame"]
        )
        spare.append(("split" if together else "doubled", decision))
    return Matched(tuple(outcomes), tuple(spare))


def score(evidence: Evidence, matched: Matched, *, accepted: Sequence[str]) -> Row:
    """All figures, as `score.json` holds them.

    Args:
        evidence: Of the run.
        matched: `match(evidence)`.
        accepted: Labels of good fruit.
    """
    order = list(evidence.decisions[0]["probabilities"]) if evidence.decisions else []
    figures: Row = {
        "schema_version": SCHEMA_VERSION,
        "accepted": list(accepted),
        "counting": _counting(matched.outcomes, matched.spare),
        "grading": _grading(matched.outcomes, accepted, order, evidence.summary.get("costs")),
        "streams": _streams(evidence, matched),
        "acting": _acting(evidence, matched),
        "timing": _timing(evidence),
    }
    keys: dict[str, Callable[[Row], str]] = {
        "label": lambda fruit: str(fruit["label"]),
        "lane": lambda fruit: str(fruit["lane"]),
        "minute": lambda fruit: str(fruit.get("captured_ns", 0) // 60_000_000_000),
    }
    for name, key in keys.items():
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in matched.outcomes:
            groups[key(outcome.truth)].append(outcome)
        figures[f"by_{name}"] = {
            group: {
                "counting": _counting(outcomes, ()),
                "grading": _grading(outcomes, accepted, order, evidence.summary.get("costs")),
            }
            for group, outcomes in sorted(groups.items())
        }
    return figures


def share(k: int, n: int) -> Row:
    """A share with its interval; null where there is nothing to share."""
    if n == 0:
        return {"k": k, "n": n, "share": None, "ci95": None}
    return {"k": k, "n": n, "share": round(k / n, 6), "ci95": [round(end, 6) for end in wilson(k, n)]}


def _counting(outcomes: Iterable[Outcome], spare: Iterable[tuple[str, Row]]) -> Row:
    fates = Counter(outcome.fate for outcome in outcomes)
    extra = Counter(kind for kind, _ in spare)
    true = sum(fates.values())
    seen = true - fates["unseen"]
    decided = fates["found"] + sum(extra.values())
    return {
        "true": true,
        "unseen": fates["unseen"],
        "found": share(fates["found"], seen),
        "missed": share(fates["missed"], seen),
        "merged": share(fates["merged"], seen),
        "split": share(extra["split"], seen),
        "doubled": share(extra["doubled"], seen),
        "spurious": share(extra["spurious"], seen),
        "count_error": round((decided - seen) / seen, 6) if seen else None,
    }


def _grading(outcomes: Iterable[Outcome], accepted: Sequence[str], order: Sequence[str], costs: Row | None) -> Row:
    graded = [(one.truth["label"], one.decision) for one in outcomes if one.decision is not None]
    right = Counter(label for label, decision in graded if label == decision["label"])
    labels = Counter(label for label, _ in graded)
    good = [decision for label, decision in graded if label in accepted]
    bad = [decision for label, decision in graded if label not in accepted]
    two_step = sum(
        abs(order.index(label) - order.index(decision["label"])) >= 2
        for label, decision in graded
        if label in order and decision["label"] in order
    )
    paid = [costs[label][decision["verdict"]] for label, decision in graded if costs and label in costs]
    return {
        "accuracy": share(sum(right.values()), len(graded)),
        "recall": {label: share(right[label], labels[label]) for label in sorted(labels)},
        "two_step_errors": share(two_step, len(graded)),
        "escapes": share(sum(one["verdict"] == "ACCEPT" for one in bad), len(bad)),
        "false_rejects": share(sum(one["verdict"] == "DIVERT" for one in good), len(good)),
        "undecided": share(sum(decision["verdict"] == "UNDECIDED" for _, decision in graded), len(graded)),
        "mean_cost": round(sum(paid) / len(paid), 6) if paid else None,
    }


def _streams(evidence: Evidence, matched: Matched) -> Row:
    """Which fruit went where: thrown out, by the ejections if there were any, else by the verdicts; or kept."""
    if evidence.ejections:
        out = {fruit["fruit_id"] for action in evidence.ejections for fruit in _hit(evidence, action)}
    else:
        out = {
            one.truth["fruit_id"]
            for one in matched.outcomes
            if one.decision is not None and one.decision["verdict"] != "ACCEPT"
        }
    total = len(evidence.truth)
    streams = {"kept": [], "thrown_out": []}  # type: dict[str, list[Row]]
    for fruit in evidence.truth:
        streams["thrown_out" if fruit["fruit_id"] in out else "kept"].append(fruit)
    return {
        name: {
            "share_of_all": share(len(fruits), total),
            "mix": {
                label: share(count, len(fruits))
                for label, count in sorted(Counter(fruit["label"] for fruit in fruits).items())
            },
        }
        for name, fruits in streams.items()
    }


def _hit(evidence: Evidence, action: Row) -> list[Row]:
    """Fruit of the valve's lane whose centre lay within its width when it acted."""
    ejector = evidence.ejector
    assert ejector is not None
    place_mm = action["acted_mm"] - ejector["at_mm"]
    return [
        fruit
        for fruit in evidence.truth
        if fruit["lane"] == action["ejector"] and abs(fruit["position_mm"] - place_mm) <= ejector["width_mm"] / 2
    ]


def _acting(evidence: Evidence, matched: Matched) -> Row | None:
    ejector = evidence.ejector
    if not evidence.firings or ejector is None:
        return None
    own = neighbour = nothing = 0
    errors_mm = []
    for action in evidence.ejections:
        hit, meant = _hit(evidence, action), matched.fruit_of(action["fruit_id"])
        own += meant is not None and meant in hit
        neighbour += any(fruit is not meant for fruit in hit)
        nothing += not hit
        if meant is not None:
            errors_mm.append(action["acted_mm"] - ejector["at_mm"] - meant["position_mm"])
    fired, reasons = len(evidence.ejections), Counter(one["reason"] for one in evidence.firings if one["reason"])
    return {
        "planned": len(evidence.firings),
        "fired": fired,
        "hit_own": share(own, fired),
        "hit_neighbour": share(neighbour, fired),
        "hit_nothing": share(nothing, fired),
        "late": share(reasons["late"], len(evidence.firings)),
        "not_fired": dict(sorted(reasons.items())),
        "mean_error_mm": round(float(np.mean(errors_mm)), 3) if errors_mm else None,
        "position_error_mm": _percentiles(np.abs(errors_mm)),
    }


def _timing(evidence: Evidence) -> Row:
    seen_ns = {(view["fruit_id"], view["frame"]): view["captured_ns"] for view in evidence.tracks}
    last_ns = {
        one["fruit_id"]: seen_ns[one["fruit_id"], one["last_frame"]]
        for one in evidence.decisions
        if (one["fruit_id"], one["last_frame"]) in seen_ns
    }
    return {
        "capture_to_decision_ms": _percentiles(
            [
                (one["decided_ns"] - last_ns[one["fruit_id"]]) / 1e6
                for one in evidence.decisions
                if one["fruit_id"] in last_ns
            ]
        ),
        "capture_to_fire_ms": _percentiles(
            [
                (one["fired_ns"] - last_ns[one["fruit_id"]]) / 1e6
                for one in evidence.firings
                if one["fired_ns"] is not None and one["fruit_id"] in last_ns
            ]
        ),
        "frames": evidence.summary.get("frames"),
    }


def _percentiles(values: Any) -> Row | None:
    if len(values) == 0:
        return None
    array = np.asarray(values, np.float64)
    p50, p99, p999 = (round(float(np.percentile(array, at)), 3) for at in (50, 99, 99.9))
    return {"n": len(array), "p50": p50, "p99": p99, "p99.9": p999, "max": round(float(array.max()), 3)}


def _covers(decision: Row, fruit: Row, mm_per_px: float) -> bool:
    """Whether the box of a decision holds the centre of a fruit."""
    if "box_px" not in decision:
        return False
    _, _, width_px, height_px = decision["box_px"]
    along = abs(decision["position_mm"] - fruit["position_mm"]) <= width_px / 2 * mm_per_px
    if decision.get("across_mm") is None:
        return bool(along)
    return bool(along and abs(decision["across_mm"] - fruit["across_mm"]) <= height_px / 2 * mm_per_px)
