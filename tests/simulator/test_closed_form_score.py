"""Small lines whose score can be worked out by hand: what each figure counts, and what it does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from edge_runtime.errors import InputError
from simulator.diagram import Clockwork, draw
from simulator.evidence import Evidence, read_evidence, read_score
from simulator.line_score import score, share
from simulator.matching import Stroke, match, strokes
from simulator.score_page import write_score_page
from simulator.worst import errors

Row = dict[str, Any]
ORDER = ("unripe", "turning", "ripe", "spoiled")
COSTS = {
    label: {"ACCEPT": float(label != "ripe"), "DIVERT": float(label == "ripe"), "UNDECIDED": 0.25} for label in ORDER
}
MS = 1_000_000
AT_MM, WIDTH_MM = 200.0, 40.0


def fruit(number: int, label: str = "ripe", *, place_mm: float | None = None, lane: int = 0, **more: Any) -> Row:
    """A fruit of 24 by 20 mm, alone in its 300 mm of belt unless it is put elsewhere; lanes are 60 mm wide."""
    return {
        "fruit_id": number,
        "label": label,
        "position_mm": 300.0 * (number + 1) if place_mm is None else place_mm,
        "across_mm": 30.0 + 60 * lane,
        "lane": lane,
        "size_px": [60, 50],
        "good_frames": 9,
        "first_frame": 1,
        "last_frame": 9,
        "captured_ns": 0,
    } | more


def decided(about: Row, label: str | None = None, verdict: str | None = None, **more: Any) -> Row:
    """A decision on the fruit, by default the right one; its number is 100 more than the fruit's."""
    said = label or about["label"]
    return {
        "fruit_id": 100 + about["fruit_id"],
        "verdict": verdict or ("ACCEPT" if said == "ripe" else "DIVERT"),
        "label": said,
        "probabilities": {one: float(one == said) for one in ORDER},
        "position_mm": about["position_mm"],
        "across_mm": about["across_mm"],
        "first_frame": 1,
        "last_frame": 9,
        "decided_ns": 0,
        "box_px": [0, 0, 60, 50],
    } | more


def stroke_at(about: Row, ejector: int, belt_mm: float) -> Row:
    """A valve's action `belt_mm` after it should have acted for the middle of a fruit."""
    place = about["position_mm"] + AT_MM + belt_mm
    return {"fruit_id": 100 + about["fruit_id"], "ejector": ejector, "acted_ns": 0, "acted_mm": place}


def line(truth: list[Row], decisions: list[Row], **more: Any) -> Evidence:
    scenario = {"ejector": {"at_mm": AT_MM, "width_mm": WIDTH_MM}, "camera": {"mm_per_px": 0.4}}
    return Evidence(decisions, truth, summary={"costs": COSTS}, scene={"seed": 0, "scenario": scenario}, **more)


def figures_of(evidence: Evidence) -> Row:
    matched = match(evidence)
    return score(evidence, matched, strokes(evidence, matched), accepted=("ripe",))


def only_stroke(evidence: Evidence) -> Stroke:
    (one,) = strokes(evidence, match(evidence))
    return one


def counts(one: Row) -> tuple[int, int]:
    return one["k"], one["n"]


def test_a_valve_throws_out_of_its_own_lane_alone() -> None:
    meant, beside = fruit(0, "spoiled", lane=0), fruit(1, "ripe", lane=1, place_mm=300.0)
    evidence = line([meant, beside], [decided(meant), decided(beside)], ejections=[stroke_at(meant, 0, 0.0)])
    assert only_stroke(evidence).hit == (meant,)
    wrong_valve = line([meant, beside], [decided(meant), decided(beside)], ejections=[stroke_at(meant, 1, 0.0)])
    assert only_stroke(wrong_valve).hit == (beside,)
    assert (only_stroke(wrong_valve).hit_own, only_stroke(wrong_valve).hit_neighbour) == (False, True)
    assert only_stroke(wrong_valve).sparable == (beside,)


@pytest.mark.parametrize(("late_mm", "hits"), [(-20.1, 0), (-20.0, 1), (0.0, 1), (20.0, 1), (20.1, 0)])
def test_a_valve_acts_half_its_width_to_each_side(late_mm: float, hits: int) -> None:
    meant = fruit(0, "spoiled")
    one = only_stroke(line([meant], [decided(meant)], ejections=[stroke_at(meant, 0, late_mm)]))
    assert (len(one.hit), one.hit_own, one.hit_neighbour) == (hits, hits == 1, False)
    assert one.error_mm == pytest.approx(late_mm)


@pytest.mark.parametrize(("behind_mm", "sparable"), [(19.9, 0), (20.0, 0), (20.1, 1)])
def test_a_neighbour_within_the_valves_width_of_its_fruit_cannot_be_spared(behind_mm: float, sparable: int) -> None:
    meant, beside = fruit(0, "spoiled", place_mm=300.0), fruit(1, place_mm=300.0 + behind_mm)
    evidence = line([meant, beside], [decided(meant), decided(beside)], ejections=[stroke_at(meant, 0, 5.0)])
    one = only_stroke(evidence)
    assert (one.hit, one.hit_own) == ((meant, beside), True)
    assert len(one.sparable) == sparable


def test_a_stroke_for_nothing_has_no_error_and_still_throws_out_what_it_meets() -> None:
    good = fruit(0)
    nothing = decided(good, "spoiled") | {"fruit_id": 900, "position_mm": 120.0}
    stray = {"fruit_id": 900, "ejector": 0, "acted_ns": 0, "acted_mm": good["position_mm"] + AT_MM}
    evidence = line([good], [decided(good), nothing], ejections=[stray], firings=[_firing(nothing)])
    one = only_stroke(evidence)
    assert (one.meant, one.error_mm, one.hit_own, one.hit_neighbour) == (None, None, False, True)
    figures = figures_of(evidence)
    assert figures["streams"]["yield"]["k"] == 0
    assert [counts(figures["acting"][kind]) for kind in ("hit_neighbour", "hit_sparable", "hit_nothing")] == [
        (1, 1),
        (1, 1),
        (0, 1),
    ]
    assert figures["acting"]["position_error_mm"] is None


def _firing(decision: Row, *, fired_ns: int | None = 0, reason: str | None = None) -> Row:
    return {"fruit_id": decision["fruit_id"], "fired_ns": fired_ns, "reason": reason}


def test_acting_counts_strokes_and_orders_each_by_its_own_number() -> None:
    truth = [fruit(n, "spoiled") for n in range(4)] + [fruit(4, place_mm=300.0 * 2 + 30)]  # 30 mm behind number 1
    decisions = [decided(one) for one in truth]
    done = [stroke_at(truth[0], 0, 5.0), stroke_at(truth[1], 0, 12.0), stroke_at(truth[2], 0, -25.0)]
    orders = [*(_firing(one) for one in decisions[:3]), _firing(decisions[3], fired_ns=None, reason="late")]
    orders.append(_firing(decisions[4], fired_ns=None, reason="neighbour"))
    acting = figures_of(line(truth, decisions, ejections=done, firings=orders))["acting"]
    assert (acting["planned"], acting["fired"], acting["not_fired"]) == (5, 3, {"late": 1, "neighbour": 1})
    assert counts(acting["hit_own"]) == (2, 3)
    assert counts(acting["hit_neighbour"]) == (1, 3)  # at 12 mm, what lies 30 mm behind is 18 mm away
    assert counts(acting["hit_sparable"]) == (1, 3)
    assert counts(acting["hit_nothing"]) == (1, 3)
    assert counts(acting["late"]) == (1, 5)
    assert acting["mean_error_mm"] == pytest.approx((5 + 12 - 25) / 3, abs=1e-3)
    assert (acting["position_error_mm"]["p50"], acting["position_error_mm"]["max"]) == (12.0, 25.0)


def test_a_label_two_steps_away_is_a_two_step_error_and_one_step_is_not() -> None:
    truth = [fruit(0, "unripe"), fruit(1, "turning"), fruit(2, "ripe"), fruit(3, "spoiled")]
    said = ["ripe", "ripe", "ripe", "unripe"]  # two steps, one, none, three
    grading = figures_of(line(truth, [decided(one, label) for one, label in zip(truth, said, strict=True)]))["grading"]
    assert counts(grading["two_step_errors"]) == (2, 4)
    assert counts(grading["accuracy"]) == (1, 4)
    assert {label: counts(one) for label, one in grading["recall"].items()} == {
        "unripe": (0, 1), "turning": (0, 1), "ripe": (1, 1), "spoiled": (0, 1),
    }  # fmt: skip


def test_undecided_is_neither_an_escape_nor_a_false_reject() -> None:
    truth = [fruit(n, label) for n, label in enumerate(["ripe"] * 5 + ["spoiled"] * 4)]
    verdicts = ["ACCEPT", "ACCEPT", "DIVERT", "UNDECIDED", "UNDECIDED", "DIVERT", "ACCEPT", "UNDECIDED", "DIVERT"]
    decisions = [decided(one, verdict=verdict) for one, verdict in zip(truth, verdicts, strict=True)]
    figures = figures_of(line(truth, decisions))
    grading = figures["grading"]
    assert counts(grading["false_rejects"]) == (1, 5)
    assert counts(grading["escapes"]) == (1, 4)
    assert counts(grading["undecided"]) == (3, 9)
    assert grading["cost"]["mean"] == pytest.approx((1 + 1 + 3 * 0.25) / 9, abs=1e-6)
    # Without valves only what was accepted is kept.
    assert counts(figures["streams"]["yield"]) == (2, 5)
    assert counts(figures["streams"]["kept"]["share_of_all"]) == (3, 9)
    assert counts(figures["streams"]["kept"]["mix"]["spoiled"]) == (1, 3)
    assert counts(figures["streams"]["thrown_out"]["mix"]["ripe"]) == (3, 6)


def _view(decision: Row, frame: int, captured_ns: int) -> Row:
    places = {key: decision[key] for key in ("fruit_id", "position_mm", "across_mm")}
    return places | {"frame": frame, "captured_ns": captured_ns, "belt_mm": 0.0}


def test_times_run_from_the_last_view_to_the_decision_and_to_the_stroke() -> None:
    one = fruit(0, "spoiled")
    decision = decided(one, decided_ns=900 * MS + 7 * MS)
    views = [_view(decision, 8, 850 * MS), _view(decision, 9, 900 * MS), _view(decision, 10, 950 * MS)]
    orders = [_firing(decision, fired_ns=900 * MS + 230 * MS)]
    timing = figures_of(line([one], [decision], tracks=views, firings=orders))["timing"]
    assert timing["capture_to_decision_ms"] == {"n": 1, "p50": 7.0, "p99": 7.0, "p99.9": 7.0, "max": 7.0}
    assert timing["capture_to_fire_ms"] == {"n": 1, "p50": 230.0, "p99": 230.0, "p99.9": 230.0, "max": 230.0}


def test_orders_that_were_never_fired_have_no_time() -> None:
    truth = [fruit(0, "spoiled"), fruit(1, "spoiled")]
    decisions = [decided(one) for one in truth]
    views = [_view(one, 9, 900 * MS) for one in decisions]
    orders = [_firing(decisions[0], fired_ns=1000 * MS), _firing(decisions[1], fired_ns=None, reason="late")]
    timing = figures_of(line(truth, decisions, tracks=views, firings=orders))["timing"]
    assert (timing["capture_to_fire_ms"]["n"], timing["capture_to_fire_ms"]["max"]) == (1, 100.0)


def test_what_valves_never_did_threw_nothing_out() -> None:
    bad = fruit(0, "spoiled")
    decision = decided(bad)
    orders = [_firing(decision, fired_ns=None, reason="late")]
    streams = figures_of(line([bad], [decision], firings=orders))["streams"]
    assert streams["thrown_out"]["share_of_all"]["k"] == 0
    without_valves = figures_of(line([bad], [decision]))["streams"]
    assert without_valves["thrown_out"]["share_of_all"]["k"] == 1


def test_counting_tells_each_fate_apart() -> None:
    truth = [fruit(n) for n in range(6)]
    truth[5]["good_frames"] = 1
    hidden = fruit(6, place_mm=truth[0]["position_mm"] + 40)
    decisions = [decided(truth[0], box_px=[0, 0, 210, 50]), decided(truth[1]), decided(truth[2]), decided(truth[3])]
    decisions += [
        decided(truth[1]) | {"fruit_id": 900, "first_frame": 9, "last_frame": 12},  # one frame with the first: split
        decided(truth[2]) | {"fruit_id": 901, "first_frame": 10, "last_frame": 12},  # after it: doubled
        decided(truth[3]) | {"fruit_id": 902, "position_mm": 2500.0},
    ]
    counting = figures_of(line([*truth, hidden], decisions))["counting"]
    assert (counting["true"], counting["unseen"]) == (7, 1)
    assert {name: counting[name]["k"] for name in ("found", "missed", "merged", "split", "doubled", "spurious")} == {
        "found": 4, "missed": 1, "merged": 1, "split": 1, "doubled": 1, "spurious": 1,
    }  # fmt: skip
    assert {counting[name]["n"] for name in ("found", "missed", "merged", "split", "doubled", "spurious")} == {6}
    assert counts(counting["count_error"]) == (3 - 2, 6)


@pytest.mark.parametrize(
    ("along_mm", "across_mm", "fate"),
    [
        (41.9, 0.0, "merged"),
        (42.1, 0.0, "missed"),
        (0.0, 29.9, "merged"),
        (0.0, 30.1, "missed"),
        (-41.9, 0.0, "merged"),
    ],
)
def test_a_fruit_is_merged_where_its_centre_lies_in_the_box_of_another(
    along_mm: float, across_mm: float, fate: str
) -> None:
    own = fruit(0)
    # 210 by 150 px are 84 by 60 mm, half of it to each side.
    other = fruit(1, place_mm=own["position_mm"] + along_mm, across_mm=own["across_mm"] + across_mm)
    matched = match(line([own, other], [decided(own, box_px=[0, 0, 210, 150])]))
    assert [one.fate for one in matched.outcomes] == ["found", fate]


def test_a_decision_on_a_fruit_is_not_taken_by_a_nearer_one_of_another() -> None:
    first, second = fruit(0, place_mm=300.0), fruit(1, place_mm=318.0)
    decisions = [decided(first, position_mm=308.0), decided(second, position_mm=317.0)]
    matched = match(line([first, second], decisions))
    assert {one.truth["fruit_id"]: one.decision["fruit_id"] for one in matched.outcomes if one.decision} == {
        0: 100, 1: 101,
    }  # fmt: skip


def test_parts_hold_what_is_about_their_fruit_and_minutes_run_by_the_exposure() -> None:
    truth = [
        fruit(0, "spoiled", lane=0, captured_ns=59_999 * MS),
        fruit(1, "ripe", lane=1, captured_ns=60_000 * MS),
        fruit(2, "ripe", lane=1, captured_ns=125_000 * MS),
    ]
    decisions = [decided(truth[0]), decided(truth[1], "unripe")]
    orders = [_firing(decisions[0]), _firing(decisions[1])]
    done = [stroke_at(truth[0], 0, 0.0), stroke_at(truth[1], 1, 0.0)]
    views = [_view(decisions[0], 9, -5 * MS), _view(decisions[1], 9, -9 * MS)]
    figures = figures_of(line(truth, decisions, firings=orders, ejections=done, tracks=views))
    assert {minute: one["counting"]["true"] for minute, one in figures["by_minute"].items()} == {"0": 1, "1": 1, "2": 1}
    lanes = figures["by_lane"]
    assert [lanes[lane]["counting"]["missed"]["k"] for lane in ("0", "1")] == [0, 1]
    assert [lanes[lane]["grading"]["false_rejects"]["k"] for lane in ("0", "1")] == [0, 1]
    assert [lanes[lane]["acting"]["hit_own"]["n"] for lane in ("0", "1")] == [1, 1]
    assert [lanes[lane]["timing"]["capture_to_decision_ms"]["max"] for lane in ("0", "1")] == [5.0, 9.0]
    assert list(figures["by_label"]) == ["ripe", "spoiled"]
    assert [figures["by_label"][label]["acting"]["planned"] for label in ("ripe", "spoiled")] == [1, 1]
    assert figures["by_minute"]["2"]["acting"] is None


def test_a_share_has_wilsons_interval_and_none_where_it_is_of_nothing() -> None:
    # Wilson (1927) by hand: 8 of 10 at z = 1.96 is 0.490 to 0.943.
    assert share(8, 10)["ci95"] == [pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4)]
    assert share(0, 0) == {"k": 0, "n": 0, "share": None, "ci95": None}
    assert share(3, 2) == {"k": 3, "n": 2, "share": 1.5, "ci95": None}
    assert share(2, 2)["ci95"] is not None


def test_a_cost_has_the_interval_of_its_mean() -> None:
    truth = [fruit(n) for n in range(4)]
    verdicts = ["ACCEPT", "DIVERT", "DIVERT", "ACCEPT"]
    decisions = [decided(one, verdict=verdict) for one, verdict in zip(truth, verdicts, strict=True)]
    cost = figures_of(line(truth, decisions))["grading"]["cost"]
    # 0, 1, 1, 0: mean 0.5, deviation 0.57735, half an interval 1.96 * 0.57735 / 2, cut where no cost lies beyond.
    assert (cost["mean"], cost["n"]) == (0.5, 4)
    assert cost["ci95"] == [0.0, 1.0]
    truth = [fruit(n) for n in range(40)]
    decisions = [decided(one, verdict="DIVERT" if one["fruit_id"] < 20 else "ACCEPT") for one in truth]
    ends = figures_of(line(truth, decisions))["grading"]["cost"]["ci95"]
    assert ends == [pytest.approx(0.5 - 0.15691, abs=1e-4), pytest.approx(0.5 + 0.15691, abs=1e-4)]


def test_numbers_and_gaps_of_a_trace_are_read_as_they_stand(tmp_path: Path) -> None:
    for name in ("decisions.jsonl", "truth.jsonl"):
        (tmp_path / name).write_text("")
    rows = ["frame,fruit_id,position_mm,across_mm,lane,box,captured_ns,belt_mm", "3,7,1.5,,0,0 0 9 9,1234,2.25", ""]
    (tmp_path / "tracks.csv").write_text("\n".join(rows))
    (view,) = read_evidence(tmp_path, tmp_path).tracks
    places = {"position_mm": 1.5, "across_mm": None, "belt_mm": 2.25}
    assert view == {"frame": 3, "fruit_id": 7, "lane": 0, "captured_ns": 1234, **places}


def test_a_fruit_reaches_no_farther_because_a_longer_one_is_about() -> None:
    small, large = fruit(0, size_px=[60, 50]), fruit(1, size_px=[120, 50])
    matched = match(line([small, large], [decided(small, position_mm=315.1), decided(large, position_mm=626.9)]))
    assert [one.fate for one in matched.outcomes] == ["missed", "found"]


def test_one_decision_finds_one_fruit() -> None:
    first, second = fruit(0, place_mm=300.0), fruit(1, place_mm=320.0)
    counting = figures_of(line([first, second], [decided(first, position_mm=309.0)]))["counting"]
    assert (counting["found"]["k"], counting["merged"]["k"], counting["spurious"]["k"]) == (1, 1, 0)


def _drawn(evidence: Evidence, *, seconds: float) -> Figure:
    matched = match(evidence)
    done = strokes(evidence, matched)
    wrong = errors(matched, done, evidence.firings, accepted=("ripe",))
    clock = Clockwork(np.array([0.0, seconds]), np.array([0.0, 300.0 * seconds]), 400.0)
    figure = Figure()
    draw(figure, evidence, matched, done, clock, wrong=wrong, start_s=0.0)
    return figure


def test_the_diagram_has_a_panel_a_lane_and_ends_with_the_run() -> None:
    truth = [fruit(0, "spoiled"), fruit(1, lane=1), fruit(2, "spoiled", lane=1)]
    decisions = [decided(truth[0]), decided(truth[2])]
    late = _firing(decisions[1], fired_ns=None, reason="late") | {"ejector": 1, "planned_mm": 1100.0}
    done = [stroke_at(truth[0], 0, 0.0)]
    figure = _drawn(line(truth, decisions, ejections=done, firings=[_firing(decisions[0]), late]), seconds=5.0)
    first, second = figure.axes
    assert [axes.get_xlim() for axes in figure.axes] == [(0.0, 5.0)] * 2
    assert [text.get_text() for text in first.texts] == []
    (why,) = second.texts
    assert (why.get_text(), why.xy) == ("late", (pytest.approx(1100 / 300), AT_MM))
    magenta = [[one.get_linewidth() for one in axes.lines if one.get_color() == "#c2007a"] for axes in figure.axes]
    assert magenta == [[], [2.2]]  # the one that was missed, in its own lane
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"missed", "order never fired, and why", "decision"} <= labels


def test_the_page_puts_runs_side_by_side_and_says_where_fruit_and_frames_went(tmp_path: Path) -> None:
    truth = [fruit(0), fruit(1, "spoiled"), fruit(2)]
    decisions = [decided(one) for one in truth]
    strike = stroke_at(truth[1], 0, 1.25)
    evidence = line(
        truth, decisions, ejections=[strike], firings=[_firing(decisions[1])], tracks=[_view(decisions[0], 9, 0)]
    )
    evidence.summary["frames"] = {"read": 12, "processed": 10, "dropped": 2}
    figures = figures_of(evidence) | {"identity": None, "gate": None}
    file = tmp_path / "score.html"
    beside = {"yesterday": figures}
    write_score_page(file, evidence, match(evidence), [], figures, wrong=[], shown=[], beside=beside)
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", file.read_text("utf-8")))
    assert "this run yesterday fruit 3 3 found 100.0% 100.0%" in page
    assert "of all fruit of it ripe of it spoiled kept 2 of 3: 66.7% (20.8 – 93.9) 2 of 2" in page
    assert "thrown out 1 of 3: 33.3% (6.1 – 79.2) – 1 of 1" in page
    assert "hit their fruit 1 of 1" in page
    assert "position error, mm 1.25 1.25 1.25 1.25" in page
    assert "12 frames, of which 10 processed and 2 dropped." in page
    assert "a decision falls with its picture" in page
    assert "every fruit in sight was found once" in page
    assert "Run with an encoder" in page


def test_a_line_on_which_nothing_came_has_a_page_too(tmp_path: Path) -> None:
    evidence = line([], [])
    figures = figures_of(evidence) | {"identity": None, "gate": None}
    assert figures["counting"]["found"] == {"k": 0, "n": 0, "share": None, "ci95": None}
    matched = match(evidence)
    write_score_page(tmp_path / "score.html", evidence, matched, [], figures, wrong=[], shown=[], beside={})
    page = (tmp_path / "score.html").read_text("utf-8")
    assert "there was no fruit" in page
    assert "found once" not in page
    assert "--trace" not in page


def test_a_spare_decision_is_about_the_fruit_that_it_lies_nearest_to() -> None:
    first, second = fruit(0, place_mm=300.0, label="spoiled"), fruit(1, place_mm=318.0)
    between = decided(second) | {"fruit_id": 900, "position_mm": 310.0}  # 10 mm from the first, 8 from the second
    matched = match(line([first, second], [decided(first), decided(second), between]))
    assert matched.fruit_of[900] is second


def test_the_true_label_says_what_an_escape_a_false_reject_and_a_cost_are() -> None:
    truth = [fruit(0, "spoiled"), fruit(1, "ripe"), fruit(2, "ripe")]
    sure = {"spoiled": 0.1, "ripe": 0.7, "turning": 0.2, "unripe": 0.0}
    decisions = [decided(truth[0], "ripe", probabilities=sure), decided(truth[1], "spoiled"), decided(truth[2])]
    grading = figures_of(line(truth, decisions))["grading"]
    assert (counts(grading["escapes"]), counts(grading["false_rejects"])) == ((1, 1), (1, 2))
    assert grading["cost"]["mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert grading["promised_error"]["mean"] == pytest.approx(0.3 / 3, abs=1e-6)


def test_where_nobody_saw_the_valves_act_the_verdicts_say_what_went_where() -> None:
    truth = [fruit(0, "spoiled"), fruit(1, "spoiled"), fruit(2)]
    decisions = [decided(one) for one in truth]
    orders = [_firing(decisions[0]), _firing(decisions[1], fired_ns=None, reason="late")]
    assert figures_of(line(truth, decisions, firings=orders))["streams"]["thrown_out"]["share_of_all"]["k"] == 2


def test_percentiles_are_those_of_all_decisions() -> None:
    truth = [fruit(n) for n in range(101)]
    decisions = [decided(one, decided_ns=one["fruit_id"] * MS) for one in truth]
    timing = figures_of(line(truth, decisions, tracks=[_view(one, 9, 0) for one in decisions]))["timing"]
    assert timing["capture_to_decision_ms"] == {"n": 101, "p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def test_orders_about_nothing_belong_to_no_lane() -> None:
    own = fruit(0, "spoiled")
    nothing = decided(own) | {"fruit_id": 900, "position_mm": 2500.0}
    decisions = [decided(own), nothing]
    figures = figures_of(line([own], decisions, firings=[_firing(one) for one in decisions]))
    assert (figures["acting"]["planned"], figures["by_lane"]["0"]["acting"]["planned"]) == (2, 1)


def test_orders_are_the_runs_and_strokes_the_lines(tmp_path: Path) -> None:
    run, truth = tmp_path / "run", tmp_path / "clip"
    for folder in (run, truth):
        folder.mkdir()
    (run / "decisions.jsonl").write_text("")
    (truth / "truth.jsonl").write_text("")
    (run / "firings.jsonl").write_text('{"fruit_id": 1, "fired_ns": 5, "reason": null}\n')
    (truth / "ejections.jsonl").write_text('{"fruit_id": 1, "ejector": 0, "acted_ns": 6, "acted_mm": 7.0}\n')
    evidence = read_evidence(run, truth)
    assert ([one["fired_ns"] for one in evidence.firings], [one["acted_ns"] for one in evidence.ejections]) == (
        [5],
        [6],
    )


def test_a_score_of_another_version_is_not_set_beside(tmp_path: Path) -> None:
    (tmp_path / "score.json").write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match="another version"):
        read_score(tmp_path)
