"""The scheduler fires by place, once, and never late."""

from __future__ import annotations

import pytest

from edge_runtime.schedule import LATE, NO_POSITION, EjectorSpec, Schedule

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
