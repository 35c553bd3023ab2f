from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.journaling.drain import ReporterFacts
from edge_runtime.journaling.journal_trouble import Trouble
from edge_runtime.journaling.recorder import JournalFacts
from edge_runtime.monitoring.alarm_texts import ALARMS, NOTE, SOON, STOPPED
from edge_runtime.monitoring.alarms import AlarmBoard
from edge_runtime.monitoring.health import Alarm, CameraFacts, LineFacts, ProcessFacts, SceneFacts

GOOD_SCENE = SceneFacts(1.0, 1.0, 1.0, 1.0)
REPORTER = ProcessFacts("reporter", 1)
GOOD = LineFacts("north", "running", cameras=(CameraFacts("camera", scene=GOOD_SCENE),), processes=(REPORTER,))
JOURNAL = JournalFacts("journal.db")
RECEIVER = ReporterFacts("plant", connected=True)
START = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Clockwork:
    """Feeds a board once a second."""

    def __init__(self) -> None:
        self.board, self.now_s = AlarmBoard(), 100.0

    def run(
        self,
        seconds: float,
        facts: LineFacts = GOOD,
        journal: JournalFacts | None = JOURNAL,
        receiver: ReporterFacts = RECEIVER,
    ) -> list[Alarm]:
        for _ in range(round(seconds)):
            self.now_s += 1
            alarms = self.board.update(facts, journal, [receiver], self.now_s, START)
        return list(alarms)


def codes(alarms: list[Alarm]) -> list[str]:
    return [one.code for one in alarms]


def test_a_line_that_is_well_has_no_alarms() -> None:
    assert Clockwork().run(300) == []


@pytest.mark.parametrize("fault", [code for code, text in ALARMS.items() if text.severity == STOPPED][:-1])
def test_a_fault_is_told_at_once_and_leaves_when_it_has_been_gone_for_a_while(fault: str) -> None:
    line = Clockwork()
    line.run(10)
    alarms = line.run(1, replace(GOOD, state="safe", faults=(fault,)))
    assert codes(alarms) == [fault]
    assert (alarms[0].meaning, alarms[0].remedy) == (ALARMS[fault].meaning, ALARMS[fault].remedy)
    assert codes(line.run(3)) == [fault]
    assert line.run(10) == []


def test_a_line_that_starts_has_a_while_before_it_complains() -> None:
    facts = replace(GOOD, state="starting", faults=("vision stalled",))
    line = Clockwork()
    assert line.run(15, facts) == []
    assert codes(line.run(10, facts)) == ["vision stalled"]


def test_what_a_process_knows_of_a_fault_stands_beside_it() -> None:
    capture = ProcessFacts("capture", 2, trouble="camera 0 cannot be opened")
    facts = replace(GOOD, state="safe", faults=("camera silent", "camera black"), processes=(REPORTER, capture))
    details = {one.code: one.detail for one in Clockwork().run(1, facts)}
    assert details == {"camera silent": "camera 0 cannot be opened", "camera black": ""}


def test_a_line_that_stands_without_a_fault_says_so() -> None:
    line = Clockwork()
    assert line.run(30, replace(GOOD, state="starting")) == []
    alarms = line.run(5, replace(GOOD, state="safe"))
    assert codes(alarms) == ["line not sorting"]
    assert "--resume" in alarms[0].remedy


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble.FULL, "journal full"),
        (Trouble.READ_ONLY, "journal read-only"),
        (Trouble.BROKEN, "journal unusable"),
        (Trouble.OTHER, "journal unusable"),
    ],
)
def test_each_trouble_of_the_journal_has_its_alarm(trouble: Trouble, code: str) -> None:
    line = Clockwork()
    alarms = line.run(5, journal=replace(JOURNAL, trouble=trouble.value, detail="why"))
    assert [(one.code, one.detail) for one in alarms] == [(code, "why")]
    assert line.run(10) == []


def test_a_broken_journal_is_an_alarm_until_somebody_takes_it_away() -> None:
    line = Clockwork()
    assert codes(line.run(600, journal=replace(JOURNAL, set_aside=("a.broken-1Z",)))) == ["journal set aside"]
    assert line.run(10) == []


def test_what_was_lost_or_dropped_is_counted() -> None:
    line = Clockwork()
    line.run(5)
    alarms = line.run(2, replace(GOOD, records_lost=7), replace(JOURNAL, pruned_undelivered=9))
    assert {one.code: one.detail for one in alarms} == {"decisions lost": "7 in all", "decisions dropped": "9 so far"}


def test_strokes_that_wait_to_be_written_are_an_alarm_before_one_is_lost_and_until_hardly_any_wait() -> None:
    line = Clockwork()
    assert line.run(60, replace(GOOD, rows_waiting=90)) == []
    assert line.run(10, replace(GOOD, rows_waiting=100)) == [], "a moment is nothing: a new reporter may be on its way"
    alarms = line.run(10, replace(GOOD, rows_waiting=120))
    assert [(one.code, one.severity, one.detail) for one in alarms] == [
        ("strokes not recorded", SOON, "0 rows lost, 120 wait")
    ]
    assert codes(line.run(60, replace(GOOD, rows_waiting=50))) == ["strokes not recorded"]
    assert codes(line.run(30, GOOD)) == ["strokes not recorded"]
    assert line.run(5, GOOD) == []


def test_strokes_that_were_lost_are_told_for_ten_minutes_after_the_last() -> None:
    line = Clockwork()
    line.run(5)
    told = replace(GOOD, rows_lost=7)
    assert [(one.code, one.detail) for one in line.run(20, told)] == [("strokes not recorded", "7 rows lost, 0 wait")]
    assert codes(line.run(570, told)) == ["strokes not recorded"]
    assert line.run(60, told) == []


def test_a_reporter_process_that_says_nothing_is_an_alarm_only_where_it_has_something_to_say() -> None:
    assert codes(Clockwork().run(20, journal=None)) == ["reports not running"]
    assert Clockwork().run(20, replace(GOOD, processes=()), journal=None) == []
    assert Clockwork().run(20, replace(GOOD, state="starting"), journal=None) == [], "it has nothing to keep yet"


def test_a_camera_that_does_not_keep_what_was_stated_is_named_with_it() -> None:
    line = Clockwork()
    camera = CameraFacts("camera", unheld=("exposure", "white balance"), scene=GOOD_SCENE)
    assert [(one.code, one.about, one.detail) for one in line.run(5, replace(GOOD, cameras=(camera,)))] == [
        ("camera adjusts itself", "camera", "exposure, white balance")
    ]
    assert line.run(10) == []


def test_a_receiver_may_be_away_for_a_moment() -> None:
    line = Clockwork()
    away = replace(RECEIVER, connected=False, error="cannot be reached")
    assert line.run(10, receiver=away) == []
    alarms = line.run(10, receiver=away)
    assert [(one.code, one.about, one.detail) for one in alarms] == [("receiver away", "plant", "cannot be reached")]
    assert line.run(10) == []


def test_a_receiver_that_lags_is_told_until_it_has_nearly_caught_up() -> None:
    line = Clockwork()
    assert codes(line.run(90, receiver=replace(RECEIVER, waiting=6000))) == ["receiver behind"]
    assert codes(line.run(90, receiver=replace(RECEIVER, waiting=1000))) == ["receiver behind"]
    assert line.run(60, receiver=replace(RECEIVER, waiting=100)) == []


def test_a_process_that_keeps_restarting_is_an_alarm_for_as_long_as_it_does() -> None:
    line = Clockwork()
    line.run(5)
    once, often = (replace(GOOD, processes=(replace(REPORTER, restarts=n),)) for n in (1, 3))
    assert line.run(20, once) == []
    assert codes(line.run(2, often)) == ["restarting"]
    assert line.run(700, often) == []


def test_frames_that_are_dropped_are_a_share_of_the_last_minute() -> None:
    line = Clockwork()
    frames = dropped = 0
    alarms = []
    for second in range(400):
        frames += 27 if 100 < second < 200 else 30
        dropped += 3 if 100 < second < 200 else 0
        alarms.append(codes(line.run(1, replace(GOOD, cameras=(CameraFacts("camera", frames, dropped),)))))
    told = [second for second, some in enumerate(alarms) if some == ["frames dropped"]]
    assert 130 < told[0] < 180
    assert 200 < told[-1] < 310
    assert told == list(range(told[0], told[-1] + 1))


@pytest.mark.parametrize(
    ("scene", "code"),
    [
        (SceneFacts(0.6, 1.0, 1.0, 1.0), "light changed"),
        (SceneFacts(1.4, 1.0, 1.0, 1.0), "light changed"),
        (SceneFacts(1.0, 0.4, 1.0, 1.0), "focus lost"),
        (SceneFacts(1.0, 1.0, 1.2, 1.0), "colour shifted"),
        (SceneFacts(1.0, 1.0, 1.0, 0.8), "colour shifted"),
    ],
)
def test_light_focus_and_colour_raise_alarms_that_hold_between_two_limits(scene: SceneFacts, code: str) -> None:
    line = Clockwork()
    halfway = SceneFacts(0.75, 0.55, 1.1, 0.9)
    assert line.run(60, replace(GOOD, cameras=(CameraFacts("camera", scene=halfway),))) == []
    seen = replace(GOOD, cameras=(CameraFacts("camera", scene=scene),))
    assert line.run(10, seen) == []
    assert [(one.code, one.about) for one in line.run(15, seen)] == [(code, "camera")]
    assert codes(line.run(60, replace(GOOD, cameras=(CameraFacts("camera", scene=halfway),)))) == [code]
    assert line.run(40) == []


@given(st.lists(st.booleans(), min_size=1, max_size=120))
def test_a_receiver_that_flickers_neither_raises_nor_ends_an_alarm(states: list[bool]) -> None:
    """A run of one state shorter than its time changes nothing, whatever came before it."""
    line = Clockwork()
    raised, run, before = False, 0, None
    for away in states:
        run = run + 1 if away == before else 1
        before = away
        alarms = line.run(1, receiver=replace(RECEIVER, connected=not away))
        if away and run > 15:
            raised = True
        if not away and run > 5:
            raised = False
        assert bool(alarms) == raised


def test_urgent_alarms_come_first() -> None:
    line = Clockwork()
    line.run(90, receiver=replace(RECEIVER, waiting=6000))
    alarms = line.run(
        3,
        replace(GOOD, state="safe", faults=("camera black",)),
        replace(JOURNAL, trouble="full"),
        replace(RECEIVER, waiting=6000),
    )
    assert [one.severity for one in alarms] == [STOPPED, SOON, NOTE]


def test_every_alarm_is_in_the_operators_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|", manual, re.MULTILINE))
    assert rows == {code: text.meaning for code, text in ALARMS.items()}
    assert all(text.remedy in manual for text in ALARMS.values())
