"""From facts to alarms, with hysteresis: what flickers between good and bad does not flicker before people. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from edge_runtime.journaling.drain import ReporterFacts
from edge_runtime.journaling.journal_trouble import Trouble
from edge_runtime.journaling.recorder import JournalFacts
from edge_runtime.monitoring.alarm_texts import ALARMS, STOPPED
from edge_runtime.monitoring.health import Alarm, CameraFacts, LineFacts
from edge_runtime.monitoring.safe_state import LineState
from edge_runtime.monitoring.watch import Fault

_WINDOW_S = 60.0
_RESTARTS, _RESTARTS_WINDOW_S = 3, 600.0
_STARTING_S = 20.0
"""Until then it is no fault that processes have not begun."""
_BEHIND = 5000
_ROWS = 100
"""That wait to be written down, where hardly one does: a fortieth of what there is room for."""
_WHOSE = {Fault.CAMERA_SILENT.value: "capture", Fault.VISION_STALLED.value: "vision"}
"""Which process can say why a fault holds."""
_JOURNAL_ALARMS = {Trouble.FULL.value: "journal full", Trouble.READ_ONLY.value: "journal read-only"}


class Level(Enum):
    """How a condition is now: bad enough to raise an alarm, good enough to end one, or between."""

    GOOD = auto()
    BETWEEN = auto()
    BAD = auto()


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is watched; it must be bad for `raise_s` on end, and good for `clear_s`, to change the alarm."""

    code: str
    about: str
    level: Level
    detail: str = ""
    raise_s: float = 0.0
    clear_s: float = 5.0


@dataclass(slots=True)
class _Watched:
    raised: str | None = None
    turned_s: float | None = None
    detail: str = ""


class AlarmBoard:
    """Remembers what is needed for hysteresis and for rates."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._counts: dict[tuple[str, str], deque[tuple[float, int]]] = {}

    def update(
        self,
        facts: LineFacts,
        journal: JournalFacts | None,
        reporters: Sequence[ReporterFacts],
        now_s: float,
        wall: datetime,
    ) -> tuple[Alarm, ...]:
        """The alarms that stand, urgent ones first, then the oldest.

        Args:
            facts: Of the line.
            journal: Of the journal; None where the reporter process has said nothing for long.
            reporters: Of those who get records.
            now_s: Monotonic, not before the last call's.
            wall: For people.
        """
        conditions = [*self._of_line(facts, now_s), *_of_journal(facts, journal), *map(_of_reporter, reporters)]
        conditions += [_of_backlog(one) for one in reporters]
        present = {(one.code, one.about) for one in conditions}
        for gone in self._watched.keys() - present:
            conditions.append(Condition(*gone, Level.GOOD))
        for one in conditions:
            self._take_in(one, now_s, wall)
        order = {severity: place for place, severity in enumerate(dict.fromkeys(t.severity for t in ALARMS.values()))}
        alarms = [
            Alarm(code, about, text.severity, text.meaning, text.remedy, watched.detail, watched.raised)
            for (code, about), watched in self._watched.items()
            if watched.raised is not None and (text := ALARMS[code])
        ]
        return tuple(sorted(alarms, key=lambda one: (order[one.severity], one.since, one.code, one.about)))

    def _take_in(self, one: Condition, now_s: float, wall: datetime) -> None:
        watched = self._watched.setdefault((one.code, one.about), _Watched())
        wants_turn = one.level is (Level.GOOD if watched.raised is not None else Level.BAD)
        if one.level is Level.BAD:
            watched.detail = one.detail
        if not wants_turn:
            watched.turned_s = None
            return
        if watched.turned_s is None:
            watched.turned_s = now_s
        if now_s - watched.turned_s >= (one.clear_s if watched.raised is not None else one.raise_s):
            watched.raised = None if watched.raised is not None else wall.isoformat(timespec="seconds")
            watched.turned_s = None

    def _of_line(self, facts: LineFacts, now_s: float) -> Iterator[Condition]:
        troubles = {process.name: process.trouble for process in facts.processes}
        raise_s = _STARTING_S if facts.state == LineState.STARTING else 0.0
        for fault in facts.faults:
            if fault in ALARMS:
                yield Condition(fault, "", Level.BAD, troubles.get(_WHOSE.get(fault, ""), ""), raise_s)
        explained = any(ALARMS[fault].severity == STOPPED for fault in facts.faults if fault in ALARMS)
        stands = facts.state not in (LineState.RUNNING, LineState.STARTING) and not explained
        yield _bad_if(stands, "line not sorting", "", facts.state, raise_s=2.0)
        lost = self._more("lost", "", facts.records_lost, now_s, _RESTARTS_WINDOW_S)
        yield _bad_if(lost > 0, "decisions lost", "", f"{facts.records_lost} in all")
        more = self._more("rows", "", facts.rows_lost, now_s, _RESTARTS_WINDOW_S)
        backlog = _ROWS if more else facts.rows_waiting
        detail = f"{facts.rows_lost} rows lost, {facts.rows_waiting} wait"
        yield _graded(backlog, _ROWS / 10, _ROWS, "strokes not recorded", "", detail, 15.0)
        for process in facts.processes:
            restarts = self._more("restarts", process.name, process.restarts, now_s, _RESTARTS_WINDOW_S)
            why = process.trouble or process.ended
            detail = f"{restarts} times in ten minutes" + f": {why}" * bool(why)
            yield _bad_if(restarts >= _RESTARTS, "restarting", process.name, detail)
        for camera in facts.cameras:
            dropped = self._more("dropped", camera.name, camera.dropped, now_s, _WINDOW_S)
            seen = self._more("frames", camera.name, camera.frames, now_s, _WINDOW_S)
            share = dropped / max(1, dropped + seen)
            yield _graded(share, 0.01, 0.05, "frames dropped", camera.name, f"{share:.0%} of the last minute", 30.0)
            yield _bad_if(
                bool(camera.unheld), "camera adjusts itself", camera.name, ", ".join(camera.unheld), raise_s=2.0
            )
            yield from _of_scene(camera)

    def _more(self, what: str, about: str, count: int, now_s: float, window_s: float) -> int:
        """By how much a count has grown within the window; one that fell was begun anew."""
        seen = self._counts.setdefault((what, about), deque())
        if seen and count < seen[-1][1]:
            seen.clear()
        seen.append((now_s, count))
        while now_s - seen[0][0] > window_s:
            seen.popleft()
        return count - seen[0][1]


def _bad_if(bad: bool, code: str, about: str, detail: str = "", **times_s: float) -> Condition:
    return Condition(code, about, Level.BAD if bad else Level.GOOD, detail, **times_s)


def _graded(
    value: float, good: float, bad: float, code: str, about: str, detail: str, raise_s: float, clear_s: float = 30.0
) -> Condition:
    level = Level.GOOD if value <= good else Level.BAD if value >= bad else Level.BETWEEN
    return Condition(code, about, level, detail, raise_s, clear_s)


def _of_scene(camera: CameraFacts) -> Iterator[Condition]:
    """Light, focus and colour; their first figures come from a whole minute of pictures, so haste gains nothing."""
    scene = camera.scene
    if scene.light is None or scene.focus is None or scene.red is None or scene.blue is None:
        return
    light = abs(scene.light - 1)
    yield _graded(light, 0.2, 0.3, "light changed", camera.name, f"{scene.light:.0%} of what it was", 20.0)
    yield _graded(1 - scene.focus, 0.4, 0.5, "focus lost", camera.name, f"{scene.focus:.0%} of the detail", 20.0)
    shift = max(abs(scene.red - 1), abs(scene.blue - 1))
    detail = f"red {scene.red - 1:+.0%}, blue {scene.blue - 1:+.0%} against green"
    yield _graded(shift, 0.08, 0.12, "colour shifted", camera.name, detail, 20.0)


def _of_journal(facts: LineFacts, journal: JournalFacts | None) -> Iterator[Condition]:
    # A line without a reporter process has nobody who could have said something, and one that starts nothing to keep.
    expected = facts.state != LineState.STARTING and any(one.name == "reporter" for one in facts.processes)
    yield _bad_if(journal is None and expected, "reports not running", "", raise_s=10.0)
    if journal is None:
        return
    name = None if journal.trouble is None else _JOURNAL_ALARMS.get(journal.trouble, "journal unusable")
    for code in ("journal full", "journal read-only", "journal unusable"):
        yield _bad_if(code == name, code, "", journal.detail, raise_s=2.0)
    yield _bad_if(bool(journal.set_aside), "journal set aside", "", ", ".join(journal.set_aside))
    yield _bad_if(journal.pruned_undelivered > 0, "decisions dropped", "", f"{journal.pruned_undelivered} so far")


def _of_reporter(one: ReporterFacts) -> Condition:
    return _bad_if(not one.connected, "receiver away", one.name, one.error or "", raise_s=15.0)


def _of_backlog(one: ReporterFacts) -> Condition:
    behind = one.waiting if one.connected else 0
    return _graded(behind, _BEHIND / 10, _BEHIND, "receiver behind", one.name, f"{one.waiting} wait", 60.0)
