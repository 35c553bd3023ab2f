"""The score of a line: how many fruit were counted, graded and thrown out as they should be. Pure.

Every share comes as `{"k", "n", "share", "ci95"}`, the interval being Wilson's.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.intervals import wilson
from simulator.evidence import SCHEMA_VERSION, Evidence, Row
from simulator.matching import Matched, Outcome, Spare, Stroke

_MINUTE_NS = 60_000_000_000
_Z = 1.959964

_KEYS: dict[str, Callable[[Row], str]] = {
    "label": lambda fruit: str(fruit["label"]),
    "lane": lambda fruit: str(fruit["lane"]),
    "minute": lambda fruit: str(fruit.get("captured_ns", 0) // _MINUTE_NS),
}


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the fruit with all that was done about them: the whole run, or one label, lane or minute of it."""

    outcomes: Sequence[Outcome]
    spare: Sequence[Spare]
    strokes: Sequence[Stroke]
    firings: Sequence[Row]
    decisions: Sequence[Row]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a whole run is judged by. `last_view_ns` is when the last view of each decision was taken."""

    accepted: Sequence[str]
    order: Sequence[str]
    costs: Row | None
    last_view_ns: dict[int, int]


def score(evidence: Evidence, matched: Matched, strokes: Sequence[Stroke], *, accepted: Sequence[str]) -> Row:
    """All figures, as `score.json` holds them.

    Args:
        evidence: Of the run.
        matched: `matching.match(evidence)`.
        strokes: `matching.strokes(evidence, matched)`.
        accepted: Labels of good fruit.
    """
    decisions = evidence.decisions
    order = list(decisions[0]["probabilities"]) if decisions else []
    terms = _Terms(accepted, order, evidence.summary.get("costs"), _last_views(evidence))
    whole = _Part(matched.outcomes, matched.spare, strokes, evidence.firings, decisions)
    figures: Row = {"schema_version": SCHEMA_VERSION, "accepted": list(accepted), **_figures(whole, terms)}
    figures["timing"]["frames"] = evidence.summary.get("frames")
    figures["streams"] = _streams(evidence, matched, strokes, accepted)
    for name, key in _KEYS.items():
        figures[f"by_{name}"] = {
            group: _figures(part, terms) for group, part in sorted(_parts(whole, matched, key).items(), key=_by_number)
        }
    return figures


def _by_number(part: tuple[str, _Part]) -> tuple[int, str]:
    name = part[0]
    return (int(name) if name.isdecimal() else -1, name)


def share(k: int, n: int) -> Row:
    """A share with its interval; null where there is nothing to share, and no interval where it is beyond the whole.

    There may be more spurious decisions than fruit.
    """
    if n == 0:
        return {"k": k, "n": n, "share": None, "ci95": None}
    if k > n:
        return {"k": k, "n": n, "share": round(k / n, 6), "ci95": None}
    return {"k": k, "n": n, "share": round(k / n, 6), "ci95": [round(end, 6) for end in wilson(k, n)]}


def _figures(part: _Part, terms: _Terms) -> Row:
    return {
        "counting": _counting(part.outcomes, part.spare),
        "grading": _grading(part.outcomes, terms),
        "acting": _acting(part.strokes, part.firings),
        "timing": _timing(part, terms.last_view_ns),
    }


def _parts(whole: _Part, matched: Matched, key: Callable[[Row], str]) -> dict[str, _Part]:
    """The run in parts. What is about no fruit, spurious decisions and their strokes, belongs to none."""
    group_of = {decision_id: key(fruit) for decision_id, fruit in matched.fruit_of.items()}

    def grouped(rows: Iterable[Any], group: Callable[[Any], str | None]) -> dict[str | None, list[Any]]:
        groups: dict[str | None, list[Any]] = defaultdict(list)
        for row in rows:
            groups[group(row)].append(row)
        return groups

    outcomes = grouped(whole.outcomes, lambda one: key(one.truth))
    spare = grouped(whole.spare, lambda one: key(one.truth) if one.truth else None)
    done = grouped(whole.strokes, lambda one: group_of.get(one.action["fruit_id"]))
    firings = grouped(whole.firings, lambda row: group_of.get(row["fruit_id"]))
    decisions = grouped(whole.decisions, lambda row: group_of.get(row["fruit_id"]))
    return {
        str(group): _Part(outcomes[group], spare[group], done[group], firings[group], decisions[group])
        for group in list(outcomes)
    }


def _counting(outcomes: Iterable[Outcome], spare: Iterable[Spare]) -> Row:
    fates = Counter(outcome.fate for outcome in outcomes)
    extra = Counter(one.kind for one in spare)
    true = sum(fates.values())
    seen = true - fates["unseen"]
    return {
        "true": true,
        "unseen": fates["unseen"],
        **{fate: share(fates[fate], seen) for fate in ("found", "missed", "merged")},
        **{kind: share(extra[kind], seen) for kind in ("split", "doubled", "spurious")},
        "count_error": _count_error(sum(extra.values()), seen - fates["found"], seen),
    }


def _count_error(extra: int, lost: int, seen: int) -> Row:
    """Too many decisions less too few, as a share of the fruit; interval of a difference by Newcombe (1998)."""
    error: Row = {"k": extra - lost, "n": seen, "share": None, "ci95": None}
    if seen == 0:
        return error
    error["share"] = round((extra - lost) / seen, 6)
    if extra <= seen:
        more, less = wilson(extra, seen), wilson(lost, seen)
        below = math.hypot(extra / seen - more.low, less.high - lost / seen)
        above = math.hypot(more.high - extra / seen, lost / seen - less.low)
        error["ci95"] = [round(error["share"] - below, 6), round(error["share"] + above, 6)]
    return error


def _grading(outcomes: Iterable[Outcome], terms: _Terms) -> Row:
    graded = [(one.truth["label"], one.decision) for one in outcomes if one.decision is not None]
    right = Counter(label for label, decision in graded if label == decision["label"])
    labels = Counter(label for label, _ in graded)
    good = [decision for label, decision in graded if label in terms.accepted]
    bad = [decision for label, decision in graded if label not in terms.accepted]
    order, costs = terms.order, terms.costs
    two_step = sum(
        abs(order.index(label) - order.index(decision["label"])) >= 2
        for label, decision in graded
        if label in order and decision["label"] in order
    )
    return {
        "accuracy": share(sum(right.values()), len(graded)),
        "recall": {label: share(right[label], labels[label]) for label in sorted(labels)},
        "promised_error": _mean([1 - one["probabilities"][one["label"]] for _, one in graded]),
        "two_step_errors": share(two_step, len(graded)),
        "escapes": share(sum(one["verdict"] == "ACCEPT" for one in bad), len(bad)),
        "false_rejects": share(sum(one["verdict"] == "DIVERT" for one in good), len(good)),
        "undecided": share(sum(decision["verdict"] == "UNDECIDED" for _, decision in graded), len(graded)),
        "cost": _mean([costs[label][one["verdict"]] for label, one in graded if costs and label in costs]),
    }


def _mean(values: Sequence[float]) -> Row | None:
    """A mean with the interval of the normal distribution, within what occurred."""
    if not values:
        return None
    mean, n = float(np.mean(values)), len(values)
    half = _Z * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    ends = [round(max(mean - half, min(values)), 6), round(min(mean + half, max(values)), 6)] if n > 1 else None
    return {"mean": round(mean, 6), "n": n, "ci95": ends}


def _streams(evidence: Evidence, matched: Matched, strokes: Sequence[Stroke], accepted: Sequence[str]) -> Row:
    """Which fruit went where: thrown out, by the ejections if there are valves, else by the verdicts; or kept.

    `yield` is the share of good fruit that was kept.
    """
    never_fired = bool(evidence.firings) and all(one["fired_ns"] is None for one in evidence.firings)
    if evidence.ejections or never_fired:
        out = {fruit["fruit_id"] for stroke in strokes for fruit in stroke.hit}
    else:
        out = {
            one.truth["fruit_id"]
            for one in matched.outcomes
            if one.decision is not None and one.decision["verdict"] != "ACCEPT"
        }
    total = len(evidence.truth)
    streams: dict[str, list[Row]] = {"kept": [], "thrown_out": []}
    for fruit in evidence.truth:
        streams["thrown_out" if fruit["fruit_id"] in out else "kept"].append(fruit)
    good = sum(fruit["label"] in accepted for fruit in evidence.truth)
    return {"yield": share(sum(fruit["label"] in accepted for fruit in streams["kept"]), good)} | {
        name: {
            "share_of_all": share(len(fruits), total),
            "mix": {
                label: share(count, len(fruits))
                for label, count in sorted(Counter(fruit["label"] for fruit in fruits).items())
            },
        }
        for name, fruits in streams.items()
    }


def _acting(strokes: Sequence[Stroke], firings: Sequence[Row]) -> Row | None:
    if not firings:
        return None
    errors_mm = [stroke.error_mm for stroke in strokes if stroke.error_mm is not None]
    fired, reasons = len(strokes), Counter(one["reason"] for one in firings if one["reason"])
    return {
        "planned": len(firings),
        "fired": fired,
        "hit_own": share(sum(stroke.hit_own for stroke in strokes), fired),
        "hit_neighbour": share(sum(stroke.hit_neighbour for stroke in strokes), fired),
        "hit_sparable": share(sum(bool(stroke.sparable) for stroke in strokes), fired),
        "hit_nothing": share(sum(not stroke.hit for stroke in strokes), fired),
        "late": share(reasons["late"], len(firings)),
        "not_fired": dict(sorted(reasons.items())),
        "mean_error_mm": round(float(np.mean(errors_mm)), 3) if errors_mm else None,
        "position_error_mm": _percentiles(np.abs(errors_mm)),
    }


def _last_views(evidence: Evidence) -> dict[int, int]:
    seen_ns = {(view["fruit_id"], view["frame"]): view["captured_ns"] for view in evidence.tracks}
    last = ((one["fruit_id"], seen_ns.get((one["fruit_id"], one["last_frame"]))) for one in evidence.decisions)
    return {decision_id: time_ns for decision_id, time_ns in last if time_ns is not None}


def _timing(part: _Part, last_view_ns: dict[int, int]) -> Row:
    def since_last_view(rows: Sequence[Row], when: str) -> Row | None:
        times_ms = [
            (row[when] - last_view_ns[row["fruit_id"]]) / 1e6
            for row in rows
            if row[when] is not None and row["fruit_id"] in last_view_ns
        ]
        return _percentiles(times_ms)

    return {
        "capture_to_decision_ms": since_last_view(part.decisions, "decided_ns"),
        "capture_to_fire_ms": since_last_view(part.firings, "fired_ns"),
    }


def _percentiles(values: Any) -> Row | None:
    if len(values) == 0:
        return None
    array = np.asarray(values, np.float64)
    p50, p99, p999 = (round(float(np.percentile(array, at)), 3) for at in (50, 99, 99.9))
    return {"n": len(array), "p50": p50, "p99": p99, "p99.9": p999, "max": round(float(array.max()), 3)}
