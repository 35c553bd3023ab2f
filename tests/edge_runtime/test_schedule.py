"""The scheduler fires by place, once, and never late."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.acting.ejection import Belt, Ejection, spec_of
from edge_runtime.acting.routing import route
from edge_runtime.acting.schedule import LATE, NEIGHBOUR, NO_POSITION, EjectorSpec, Schedule
from edge_runtime.records import Decision, Verdict
from edge_runtime.settings.decision_settings import EjectorSettings

SPEC = EjectorSpec(at_mm=200.0, latency_ms=20.0, tolerance_mm=5.0)


def test_the_order_is_given_a_latency_before_the_place() -> None:
    schedule = Schedule(SPEC)
    assert schedule.plan(7, 1000.0, 900.0, 500.0) is None
    assert schedule.due(1189.9, 500.0, 1) == []
    (firing,) = schedule.due(1190.0, 500.0, 2)  # 500 mm/s for 20 ms are 10 mm
    assert (firing.fruit_id, firing.planned_mm, firing.fired_mm, firing.fired_ns) == (7, 1200.0, 1190.0, 2)
    assert schedule.due(1200.0, 500.0, 3) == []


def test_a_standing_belt_fires_when_the_fruit_is_there() -> None:
    schedule = Schedule(SPEC)
    schedule.plan(1, 0.0, 100.0, 0.0)
    assert schedule.due(199.9, 0.0, 1) == []
    assert [one.fruit_id for one in schedule.due(200.0, 0.0, 2)] == [1]


def test_fruit_fire_in_order_of_place_whenever_they_were_planned() -> None:
    schedule = Schedule(SPEC)
    for fruit_id, place_mm in ((1, 300.0), (2, 100.0), (3, 200.0)):
        schedule.plan(fruit_id, place_mm, 0.0, 0.0)
    fired = [one.fruit_id for belt_mm in range(0, 600, 2) for one in schedule.due(float(belt_mm), 0.0, belt_mm)]
    assert fired == [2, 3, 1]


@pytest.mark.parametrize(("belt_mm", "reason"), [(1194.9, None), (1195.1, LATE)])
def test_too_late_to_plan_is_said_and_not_fired(belt_mm: float, reason: str | None) -> None:
    schedule = Schedule(SPEC)
    firing = schedule.plan(1, 1000.0, belt_mm, 500.0)  # acts 10 mm on: 4.9 and 5.1 mm behind the centre
    assert (firing.reason if firing else None) == reason
    assert len(schedule.due(belt_mm, 500.0, 1)) == (0 if reason else 1)


def test_an_order_that_was_overslept_is_dropped() -> None:
    schedule = Schedule(SPEC)
    schedule.plan(1, 0.0, 0.0, 0.0)
    (firing,) = schedule.due(230.0, 0.0, 1)
    assert (firing.reason, firing.fired_ns) == (LATE, None)


def test_no_fruit_is_planned_twice_and_none_without_a_place() -> None:
    schedule = Schedule(SPEC)
    schedule.plan(1, 0.0, 0.0, 0.0)
    schedule.plan(1, 50.0, 0.0, 0.0)
    assert len(schedule.abandon("run ended")) == 1
    firing = schedule.plan(2, None, 0.0, 0.0)
    assert firing is not None
    assert firing.reason == NO_POSITION


WIDE = EjectorSpec(at_mm=200.0, latency_ms=20.0, tolerance_mm=5.0, width_mm=40.0)


def test_a_fruit_that_was_fired_at_is_not_planned_again() -> None:
    schedule = Schedule(SPEC)
    schedule.plan(1, 1000.0, 900.0, 0.0)
    assert [one.fruit_id for one in schedule.due(1200.0, 0.0, 1)] == [1]
    assert schedule.plan(1, 1001.0, 1200.0, 0.0) is None
    assert schedule.due(1201.0, 0.0, 2) == []


@pytest.mark.parametrize(("gain", "harm", "fired"), [(1.0, -0.4, True), (0.3, -0.4, False), (1.0, 0.4, True)])
def test_where_a_neighbour_would_be_hit_too_the_costs_decide(gain: float, harm: float, fired: bool) -> None:
    schedule = Schedule(WIDE, 1)
    schedule.plan(1, 1000.0, 900.0, 500.0, gain=gain)
    schedule.let_pass(2, 1015.0, harm)
    schedule.let_pass(3, 1030.0, -1.0)  # beyond the ejector's width
    (firing,) = schedule.due(1190.0, 500.0, 7)
    assert (firing.fired_ns, firing.reason) == ((7, None) if fired else (None, NEIGHBOUR))
    assert firing.neighbours == 1
    assert schedule.due(1191.0, 500.0, 8) == []


def test_two_bad_neighbours_are_each_thrown_out() -> None:
    schedule = Schedule(WIDE)
    schedule.plan(1, 1000.0, 900.0, 0.0)
    schedule.plan(2, 1010.0, 900.0, 0.0)
    fired = [one for belt_mm in range(1100, 1300) for one in schedule.due(float(belt_mm), 0.0, belt_mm)]
    assert [(one.fruit_id, one.fired_mm, one.neighbours) for one in fired] == [(1, 1200.0, 1), (2, 1210.0, 0)]


def test_what_was_thrown_out_before_is_no_excuse_for_hitting_a_good_fruit() -> None:
    schedule = Schedule(WIDE)
    schedule.plan(1, 1000.0, 900.0, 0.0, gain=1.0)
    schedule.plan(2, 1012.0, 900.0, 0.0, gain=0.3)
    schedule.let_pass(3, 1030.0, -0.9)
    done = [one for belt_mm in range(1100, 1300) for one in schedule.due(float(belt_mm), 0.0, belt_mm)]
    assert [(one.fruit_id, one.reason, one.neighbours) for one in done] == [(1, None, 1), (2, NEIGHBOUR, 1)]


def test_a_fruit_fires_where_it_was_last_seen_to_lie() -> None:
    schedule = Schedule(SPEC)
    schedule.plan(1, 1000.0, 900.0, 0.0)
    schedule.move(1, 1004.0)
    schedule.move(99, 500.0)
    assert schedule.due(1203.9, 0.0, 1) == []
    assert [one.planned_mm for one in schedule.due(1204.0, 0.0, 2)] == [1204.0]


def decision(verdict: Verdict, label: str, lane: int) -> Decision:
    return Decision(1, verdict, label, {label: 1.0}, 1, 0, 0, 0, 0, 0.0, 0.0, lane, [0, 0, 1, 1], "b", "p")


def test_verdict_label_and_lane_choose_the_ejector() -> None:
    mould = EjectorSettings(at_mm=100, verdicts=(Verdict.DIVERT,), labels=("spoiled",))
    left = EjectorSettings(at_mm=200, lane=0)
    unsure = EjectorSettings(at_mm=300, verdicts=(Verdict.UNDECIDED,))
    line = (mould, left, unsure)
    assert route(decision(Verdict.DIVERT, "spoiled", 1), line) == 0
    assert route(decision(Verdict.DIVERT, "unripe", 0), line) == 1
    assert route(decision(Verdict.UNDECIDED, "spoiled", 0), line) == 1
    assert route(decision(Verdict.UNDECIDED, "spoiled", 1), line) == 2
    assert route(decision(Verdict.DIVERT, "unripe", 1), line) is None
    assert route(decision(Verdict.ACCEPT, "ripe", 0), line) is None


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(-1, 1)), min_size=1, max_size=8),
    st.lists(st.floats(0, 25), min_size=30, max_size=80),
)
def test_every_planned_fruit_fires_once_at_most_and_never_out_of_reach(
    fruit: list[tuple[float, float]], steps: list[float]
) -> None:
    schedule, records, belt_mm = Schedule(WIDE), [], 0.0
    for number, (position_mm, gain) in enumerate(fruit):
        records.append(schedule.plan(number, position_mm, 0.0, 0.0, abs(gain)))
    for now_ns, step in enumerate(steps):
        belt_mm += step
        records += schedule.due(belt_mm, step * 1000, now_ns)
    records += schedule.abandon("run ended")
    done = [one for one in records if one is not None]
    assert sorted(one.fruit_id for one in done) == list(range(len(fruit)))
    for one in done:
        if one.fired_mm is not None:
            assert one.planned_mm is not None
            acts_mm = one.fired_mm + 0.02 * steps[one.fired_ns or 0] * 1000
            assert one.planned_mm <= acts_mm <= one.planned_mm + WIDE.tolerance_mm


SPOILED_OUT = EjectorSettings(at_mm=150.0, width_mm=40.0, labels=("spoiled",))
REST_OUT = EjectorSettings(at_mm=300.0, width_mm=40.0)


def on_belt(fruit_id: int, position_mm: float, verdict: Verdict, label: str) -> Decision:
    return replace(decision(verdict, label, 0), fruit_id=fruit_id, position_mm=position_mm)


def test_what_belongs_to_another_outlet_gains_nothing_by_being_hit_here() -> None:
    ejection = Ejection([SPOILED_OUT, REST_OUT])
    start = Belt(0.0, 0.0)
    ejection.decided(on_belt(1, 100.0, Verdict.DIVERT, "spoiled"), 0.3, start)
    ejection.decided(on_belt(2, 110.0, Verdict.DIVERT, "unripe"), 1.0, start)
    ejection.decided(on_belt(3, 90.0, Verdict.ACCEPT, "ripe"), -0.9, start)
    done = [one for way in range(500) for one in ejection.due(Belt(float(way), 0.0), way)]
    assert [(one.fruit_id, one.ejector, one.reason, one.neighbours) for one in done] == [
        (1, 0, NEIGHBOUR, 2),
        (2, 1, None, 2),  # 1 is still on the belt
    ]


def test_a_line_on_which_all_is_good_gathers_nothing() -> None:
    schedule, ejection = Schedule(WIDE), Ejection([REST_OUT])
    for number in range(2000):
        ejection.decided(on_belt(number, 50.0 * number, Verdict.ACCEPT, "ripe"), -1.0, Belt(50.0 * number, 0.0))
        schedule.let_pass(number, 50.0 * number, -1.0)
        schedule.forget_passed(50.0 * number)
    assert schedule.passing < 10
    assert ejection.passing < 10


@given(
    st.lists(
        st.tuples(st.floats(0, 400), st.sampled_from(["spoiled", "unripe", "ripe"]), st.floats(0.05, 1)),
        min_size=1,
        max_size=10,
    ),
    st.lists(st.floats(0, 12), min_size=60, max_size=120),
)
def test_with_two_outlets_each_fruit_goes_out_once_at_its_own_and_never_at_a_greater_loss(
    fruit: list[tuple[float, str, float]], steps: list[float]
) -> None:
    outlets = (SPOILED_OUT, REST_OUT)
    ejection, records, belt_mm = Ejection(outlets), [], 0.0
    for number, (place_mm, label, stake) in enumerate(fruit):
        good = label == "ripe"
        shown = on_belt(number, place_mm, Verdict.ACCEPT if good else Verdict.DIVERT, label)
        records += ejection.decided(shown, -stake if good else stake, Belt(0.0, 0.0))
    for now_ns, step in enumerate(steps):
        belt_mm += step
        records += ejection.due(Belt(belt_mm, 0.0), now_ns)
    records += ejection.abandon("run ended")
    assert sorted(one.fruit_id for one in records) == [i for i, (_, label, _) in enumerate(fruit) if label != "ripe"]
    given_up = {(one.fruit_id, one.ejector) for one in records if one.fired_mm is None}
    for one in records:
        place_mm, label, stake = fruit[one.fruit_id]
        assert one.ejector == (0 if label == "spoiled" else 1)
        if one.fired_mm is None:
            assert one.reason in (LATE, NEIGHBOUR, "run ended")
            continue
        outlet = outlets[one.ejector]
        assert 0 <= one.fired_mm - place_mm - outlet.at_mm <= spec_of(outlet).tolerance_mm
        here_mm = one.fired_mm - outlet.at_mm
        beside = [i for i, (at_mm, *_) in enumerate(fruit) if abs(at_mm - here_mm) <= 20 and i != one.fruit_id]
        # One that was given up at this outlet before is thrown out after all.
        saved = sum(fruit[i][2] for i in beside if (i, one.ejector) in given_up)
        lost = sum(fruit[i][2] for i in beside if fruit[i][1] == "ripe")
        assert stake + saved >= lost - 1e-9
