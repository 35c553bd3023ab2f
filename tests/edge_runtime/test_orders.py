"""From what vision saw to strokes: at most one a fruit, whoever was killed in between."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.acting.ejection import Belt
from edge_runtime.acting.orders import AGAIN, SAFE_STATE, Orders, Sight
from edge_runtime.acting.schedule import LATE
from edge_runtime.records import Decision, Verdict
from edge_runtime.settings.decision_settings import EjectorSettings
from tests.decisions import decision as any_decision

EJECTOR = EjectorSettings(at_mm=200.0, width_mm=40.0)
SPEED = 250.0


def decision(fruit_id: int, position_mm: float, verdict: Verdict = Verdict.DIVERT) -> Decision:
    found = any_decision(fruit_id, verdict)
    shares = {"unripe": 0.9, "ripe": 0.1}
    return replace(found, label="unripe", probabilities=shares, position_mm=position_mm, across_mm=50.0)


def sight(run: str, fruit_id: int, position_mm: float) -> Sight:
    return Sight(run, decided=((decision(fruit_id, position_mm), 1.0),))


def fired(orders: Orders, upto_mm: int, begin_mm: int = 0) -> list[tuple[str, int]]:
    return [
        (order.run_id, order.firing.fruit_id)
        for way_mm in range(begin_mm, upto_mm)
        for order in orders.due(Belt(float(way_mm), SPEED), way_mm, sorting=True)
        if order.firing.fired_ns is not None
    ]


def test_a_new_run_that_sees_the_same_fruit_orders_it_once() -> None:
    orders = Orders([EJECTOR])
    assert orders.take(sight("a", 7, 500.0), Belt(400.0, SPEED)) == []
    (refused,) = orders.take(sight("b", 1, 506.0), Belt(420.0, SPEED))
    assert (refused.run_id, refused.firing.fruit_id, refused.firing.reason) == ("b", 1, AGAIN)
    assert orders.take(sight("b", 2, 600.0), Belt(430.0, SPEED)) == []
    assert fired(orders, 1000, 430) == [("a", 7), ("b", 2)]


def test_two_fruit_of_one_run_may_lie_close_together() -> None:
    orders = Orders([EJECTOR])
    orders.take(sight("a", 1, 500.0), Belt(400.0, SPEED))
    orders.take(sight("a", 2, 510.0), Belt(400.0, SPEED))
    assert fired(orders, 1000, 400) == [("a", 1), ("a", 2)]


def test_an_actuator_that_was_killed_does_not_fire_where_its_predecessor_did() -> None:
    orders = Orders([EJECTOR], [500.0])
    (refused,) = orders.take(sight("b", 1, 495.0), Belt(690.0, SPEED))
    assert refused.firing.reason == AGAIN


def test_fruit_numbers_of_two_runs_do_not_mix() -> None:
    orders = Orders([EJECTOR])
    orders.take(sight("a", 1, 500.0), Belt(400.0, SPEED))
    orders.take(sight("b", 1, 700.0), Belt(400.0, SPEED))
    orders.take(Sight("b", seen=((1, 720.0),)), Belt(400.0, SPEED))  # moves b's fruit, not a's
    firings = [
        order.firing.planned_mm
        for way_mm in range(400, 1000)
        for order in orders.due(Belt(float(way_mm), SPEED), 1, sorting=True)
    ]
    assert firings == [700.0, 920.0]


def test_what_falls_due_in_the_safe_state_is_dropped_and_not_made_up_for() -> None:
    orders = Orders([EJECTOR])
    orders.take(sight("a", 1, 500.0), Belt(400.0, SPEED))
    (dropped,) = [one for way in range(690, 710) for one in orders.due(Belt(float(way), SPEED), 1, sorting=False)]
    assert (dropped.firing.reason, dropped.firing.fired_ns) == (SAFE_STATE, None)
    assert fired(orders, 1000, 710) == []


def test_an_order_that_comes_too_late_is_refused() -> None:
    orders = Orders([EJECTOR])
    (late,) = orders.take(sight("a", 1, 500.0), Belt(800.0, SPEED))
    assert late.firing.reason == LATE


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(50, 1500), min_size=1, max_size=12, unique=True).map(sorted),
    st.lists(st.integers(0, 1400), max_size=3),
    st.floats(-8, 8),
)
def test_no_place_is_struck_twice_however_often_vision_is_killed(
    places: list[float], kills: list[int], error_mm: float
) -> None:
    """Each start of vision decides again about every fruit that is still before the ejector, a little off its place."""
    apart = [place for number, place in enumerate(places) if number == 0 or place - places[number - 1] > 60]
    orders, struck = Orders([EJECTOR]), []
    for way_mm in range(0, 1800):
        if way_mm == 0 or way_mm in kills:
            run = f"run {way_mm}"
            seen = tuple(
                (decision(number + 1, place + (error_mm if way_mm else 0.0)), 1.0)
                for number, place in enumerate(apart)
                if way_mm < place
            )
            orders.take(Sight(run, decided=seen), Belt(float(way_mm), SPEED))
        for order in orders.due(Belt(float(way_mm), SPEED), way_mm, sorting=True):
            if order.firing.fired_ns is not None:
                assert order.firing.planned_mm is not None
                struck.append(order.firing.planned_mm)
    assert len(struck) == len(apart)
    assert all(later - earlier > 40 for earlier, later in pairwise(struck))
