"""When the line is blind, and when it may sort again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.monitoring.safe_state import LineState, SafeState
from edge_runtime.monitoring.watch import Facts, Fault, Watch
from edge_runtime.settings.safety_settings import Resume, SafetySettings

MS = 1_000_000
PERIOD = 33 * MS
RULES = SafetySettings(good_s=1.0)
NONE: frozenset[Fault] = frozenset()
BLIND = frozenset({Fault.CAMERA_SILENT})


def running(settings: SafetySettings = RULES) -> tuple[SafeState, int]:
    state = SafeState(settings)
    state.update(0, NONE)
    now_ns = round(settings.good_s * 1e9)
    assert state.update(now_ns, NONE).state is LineState.RUNNING
    return state, now_ns


def test_it_starts_blind_and_sorts_once_all_has_been_well_for_so_long() -> None:
    state = SafeState(RULES)
    assert state.update(0, BLIND).state is LineState.STARTING
    assert state.update(400 * MS, NONE).state is LineState.STARTING
    assert state.update(1399 * MS, NONE).state is LineState.STARTING
    assert state.update(1400 * MS, NONE).state is LineState.RUNNING


def test_a_fault_is_answered_at_once_and_forgotten_only_after_the_stated_time() -> None:
    state, now_ns = running()
    assert state.update(now_ns + 1, BLIND).state is LineState.SAFE
    assert state.update(now_ns + 2, NONE).state is LineState.SAFE
    assert state.update(now_ns + 900 * MS, BLIND).state is LineState.SAFE  # a relapse starts the clock anew
    assert state.update(now_ns + 1000 * MS, NONE).state is LineState.SAFE
    assert state.update(now_ns + 1999 * MS, NONE).state is LineState.SAFE
    standing = state.update(now_ns + 2000 * MS, NONE)
    assert (standing.state, standing.since_ns) == (LineState.RUNNING, now_ns + 2000 * MS)


def test_where_an_operator_must_speak_a_word_before_the_fault_is_gone_does_not_count() -> None:
    state, now_ns = running(RULES.model_copy(update={"resume": Resume.OPERATOR}))
    state.update(now_ns + 1, BLIND)
    state.update(now_ns + 2, BLIND, released=True)
    assert state.update(now_ns + 5_000 * MS, NONE).state is LineState.SAFE
    assert state.update(now_ns + 9_000 * MS, NONE).state is LineState.SAFE
    assert state.update(now_ns + 9_001 * MS, NONE, released=True).state is LineState.RUNNING


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000 * MS), st.sampled_from([NONE, NONE, NONE, BLIND]), st.booleans()), max_size=60
    ),
    st.sampled_from(Resume),
)
def test_it_never_sorts_during_a_fault_or_sooner_after_one_than_stated(
    steps: list[tuple[int, frozenset[Fault], bool]], resume: Resume
) -> None:
    state, now_ns, fault_ns = SafeState(RULES.model_copy(update={"resume": resume})), 0, 0
    for more_ns, faults, released in steps:
        now_ns += more_ns
        standing = state.update(now_ns, faults, released=released)
        if faults:
            fault_ns = now_ns
        if standing.state is LineState.RUNNING:
            assert not faults
            assert now_ns - fault_ns >= 1_000 * MS
        assert standing.since_ns <= now_ns


def well(now_ns: int, belt_mm: float | None = None) -> Facts:
    """Everything as it should be."""
    return Facts(
        now_ns=now_ns,
        wall_ns=now_ns + 10**18,
        period_ns=PERIOD,
        frame_ns=now_ns,
        changed_ns=now_ns,
        lit_ns=now_ns,
        moving_ns=0,
        vision_ns=now_ns,
        belt_mm=now_ns / 1e9 * 250 if belt_mm is None else belt_mm,
        has_encoder=True,
    )


def watched(until_ns: int) -> Watch:
    watch = Watch(RULES)
    for now_ns in range(10**9, until_ns + 1, 5 * MS):
        assert not watch.faults(well(now_ns))
    return watch


NOW = 2 * 10**9


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("frame_ns", Fault.CAMERA_SILENT),
        ("changed_ns", Fault.CAMERA_FROZEN),
        ("lit_ns", Fault.CAMERA_BLACK),
        ("vision_ns", Fault.VISION_STALLED),
    ],
)
def test_what_lasts_longer_than_three_frame_periods_is_a_fault(field: str, fault: Fault) -> None:
    watch = watched(NOW)
    found_ns = None
    for now_ns in range(NOW + 5 * MS, NOW + 400 * MS, 5 * MS):
        faults = watch.faults(replace(well(now_ns), **{field: NOW}))
        if faults and found_ns is None:
            assert faults == {fault}
            found_ns = now_ns
    assert found_ns is not None
    assert 3 * PERIOD < found_ns - NOW <= 3 * PERIOD + 5 * MS


def test_a_frame_that_does_not_come_is_silence_and_neither_black_nor_frozen() -> None:
    watch = watched(NOW)
    for now_ns in range(NOW + 5 * MS, NOW + 400 * MS, 5 * MS):
        late = replace(well(now_ns), frame_ns=NOW, changed_ns=NOW, lit_ns=NOW)
        assert watch.faults(late) <= {Fault.CAMERA_SILENT}
    assert watch.faults(late) == {Fault.CAMERA_SILENT}


def test_a_picture_that_stays_the_same_on_a_standing_belt_is_no_fault() -> None:
    watch = watched(NOW)
    for now_ns in range(NOW + 5 * MS, NOW + 2000 * MS, 5 * MS):
        assert not watch.faults(replace(well(now_ns, 500.0), changed_ns=NOW))


def test_an_encoder_that_runs_backward_jumps_or_falls_silent_is_implausible() -> None:
    watch = watched(NOW)
    assert watch.faults(well(NOW + 5 * MS, 490.0)) == {Fault.ENCODER}
    watch = watched(NOW)
    assert watch.faults(well(NOW + 5 * MS, 5000.0)) == {Fault.ENCODER}
    watch = watched(NOW)
    silent = [watch.faults(replace(well(now), belt_mm=None)) for now in range(NOW + 5 * MS, NOW + 200 * MS, 5 * MS)]
    assert silent[0] == NONE
    assert silent[-1] == {Fault.ENCODER}


def test_an_encoder_that_stands_while_the_picture_moves_is_implausible_and_one_that_stands_with_it_is_not() -> None:
    watch = watched(NOW)
    for now_ns in range(NOW + 5 * MS, NOW + 1000 * MS, 5 * MS):
        assert not watch.faults(well(now_ns, 500.0))
    last = NONE
    for now_ns in range(NOW + 1000 * MS, NOW + 1200 * MS, 5 * MS):
        last = watch.faults(replace(well(now_ns, 500.0), moving_ns=NOW + 1000 * MS))
    assert last == {Fault.ENCODER}


def test_a_line_without_an_encoder_has_none_that_could_err() -> None:
    watch = Watch(RULES)
    for now_ns in range(NOW, NOW + 1000 * MS, 5 * MS):
        assert not watch.faults(replace(well(now_ns), belt_mm=None, has_encoder=False, moving_ns=NOW))


def test_a_step_of_the_clock_is_a_fault_for_a_moment_and_steering_is_none() -> None:
    watch = watched(NOW)
    ahead_ns = 10**18
    for now_ns in range(NOW + 5 * MS, NOW + 1000 * MS, 5 * MS):
        ahead_ns += 2500  # 500 ppm
        assert not watch.faults(replace(well(now_ns), wall_ns=now_ns + ahead_ns))
    after = NOW + 1000 * MS
    assert watch.faults(replace(well(after), wall_ns=after + ahead_ns - 3600 * 10**9)) == {Fault.CLOCK}
    later = after + 2 * PERIOD
    assert not watch.faults(replace(well(later), wall_ns=later + ahead_ns - 3600 * 10**9))


def test_orders_too_late_are_a_fault_above_a_rate_only() -> None:
    watch = watched(NOW)
    missed, now_ns = 0, NOW
    for _ in range(30):  # one in ten seconds
        now_ns += 10 * 10**9
        missed += 1
        assert Fault.DEADLINES not in watch.faults(replace(well(now_ns), missed=missed))
    for _ in range(11):
        now_ns += 5 * MS
        missed += 1
        last = watch.faults(replace(well(now_ns), missed=missed))
    assert Fault.DEADLINES in last
    assert Fault.DEADLINES not in watch.faults(replace(well(now_ns + 61 * 10**9), missed=missed))


def test_who_takes_over_a_line_that_waits_for_a_word_waits_too() -> None:
    state = SafeState(RULES.model_copy(update={"resume": Resume.OPERATOR}), restarted=True)
    assert state.update(0, NONE).state is LineState.SAFE
    assert state.update(60_000 * MS, NONE).state is LineState.SAFE
    assert state.update(60_001 * MS, NONE, released=True).state is LineState.RUNNING


def test_a_belt_that_moves_and_that_no_picture_measures_is_a_fault_where_fruit_are_thrown_out() -> None:
    for needs_belt, expected in ((True, {Fault.ENCODER}), (False, set())):
        watch = Watch(RULES)
        for now_ns in range(NOW, NOW + 5_000 * MS, 5 * MS):
            standing = replace(well(now_ns), belt_mm=None, has_encoder=False, needs_belt=needs_belt)
            assert not watch.faults(standing), "a belt that stands cannot be measured"
        for now_ns in range(NOW + 5_000 * MS, NOW + 9_000 * MS, 5 * MS):
            moving = replace(well(now_ns), belt_mm=None, has_encoder=False, moving_ns=NOW + 5_000 * MS)
            found = watch.faults(replace(moving, needs_belt=needs_belt))
        assert found == expected
