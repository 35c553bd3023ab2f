"""Processes that are killed or stopped, on a line that goes on: real processes, real signals."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable

import pytest

from edge_runtime.monitoring.watch import Fault
from tests.faults.running import Line, until

Note = Callable[..., None]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize(("role", "fault"), [("capture", Fault.CAMERA_SILENT), ("vision", Fault.VISION_STALLED)])
def test_without_eyes_the_line_stops_and_comes_back(
    line: Line, nothing_lost: Note, role: str, fault: Fault, number: signal.Signals
) -> None:
    old = line.pid(role)
    at_ns = line.send(role, number)
    to_safe_ms = line.becomes_safe(at_ns)
    line.restarted(role, old)
    recovered_ms = line.runs_again(at_ns)
    nothing_lost(line, f"{number.name} of {role}", to_safe_ms=to_safe_ms, recovered_ms=recovered_ms)
    assert fault in line.causes(at_ns)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_hands_the_relay_stops_the_line(line: Line, nothing_lost: Note, number: signal.Signals) -> None:
    old = line.pid("actuator")
    at_ns = line.send("actuator", number)
    # A successor beats again before a relay as slow as this one has dropped, if it is quick; the permit is off by then.
    line.restarted("actuator", old)
    first_off = until(lambda: line.permits(False, at_ns) or None, what="permit off")
    to_safe_ms = (first_off[0] - at_ns) / 1e6
    recovered_ms = line.runs_again(at_ns)
    nothing_lost(
        line,
        f"{number.name} of actuator",
        to_safe_ms=line.relay_drops(at_ns),
        recovered_ms=recovered_ms,
        note="by the relay that misses the heartbeat",
    )
    assert to_safe_ms > 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_line_sorts_on_without_its_reporter(line: Line, nothing_lost: Note, number: signal.Signals) -> None:
    old, before = line.pid("reporter"), len(line.journalled())
    at_ns = line.send("reporter", number)
    line.restarted("reporter", old)
    until(lambda: len(line.journalled()) > before, what="the journal goes on")
    nothing_lost(line, f"{number.name} of reporter", note="sorts on")
    assert line.permits(False, at_ns) == []


def test_no_firing_is_lost_while_the_reporter_is_killed_again_and_again(line: Line, fault_table: Note) -> None:
    """Each successor finds what was done while there was none."""
    at_ns, kills = time.monotonic_ns(), 0
    while len(line.strokes(at_ns)) < 5 or kills < 3:
        old = line.pid("reporter")
        line.send("reporter", signal.SIGKILL)
        line.restarted("reporter", old)
        kills += 1
    amiss, lost, doubled = line.firings_amiss(), line.lost(), line.doubled()
    note = f"killed {kills} times during {len(line.strokes(at_ns))} strokes, all in firings.jsonl; sorts on"
    fault_table("SIGKILL of reporter again and again while fruit are thrown out", lost=lost, doubled=doubled, note=note)
    assert line.permits(False, at_ns) == []
    assert (amiss, lost, doubled) == (0, 0, 0)


def test_the_line_sorts_on_while_its_supervisor_is_stopped(line: Line, fault_table: Note) -> None:
    at_ns = line.send("supervisor", signal.SIGSTOP)
    before = len(line.journalled())
    try:
        until(lambda: len(line.journalled()) > before + 2, what="decisions meanwhile")
        assert line.permits(False, at_ns) == []
    finally:
        line.send("supervisor", signal.SIGCONT)
    fault_table(
        "SIGSTOP of supervisor", lost=line.lost(), doubled=line.doubled(), note="sorts on; systemd's watchdog ends it"
    )


def test_a_leak_ends_in_a_restart(line: Line, nothing_lost: Note) -> None:
    old = line.pid("capture")
    at_ns = line.switch("leak", True)
    line.restarted("capture", old)
    line.switch("leak", False)
    to_safe_ms = line.becomes_safe(at_ns)
    nothing_lost(
        line,
        "capture leaks memory",
        to_safe_ms=to_safe_ms,
        recovered_ms=line.runs_again(at_ns),
        note="from the first 20 MB; killed at memory_mb",
    )


@pytest.mark.parametrize(("role", "fault"), [("capture", Fault.CAMERA_SILENT), ("vision", Fault.VISION_STALLED)])
def test_a_process_that_gets_no_more_memory_is_started_again(
    hungry: Line, nothing_lost: Note, role: str, fault: Fault
) -> None:
    old = hungry.pid(role)
    at_ns = time.monotonic_ns()
    resource.prlimit(old, resource.RLIMIT_AS, (1_000_000, resource.RLIM_INFINITY))
    to_safe_ms = hungry.becomes_safe(at_ns)
    hungry.restarted(role, old)  # it has ended by itself, or hung
    recovered_ms = hungry.runs_again(at_ns)
    assert fault in hungry.causes(at_ns)
    nothing_lost(hungry, f"no more memory for {role}", to_safe_ms=to_safe_ms, recovered_ms=recovered_ms)
    assert hungry.firings_amiss() == 0


@pytest.fixture(scope="module")
def hungry(start_shared: Callable[..., Line]) -> Line:
    """A line whose processes ask the kernel for the room of each picture, and find no other where it refuses."""
    begun = start_shared(env={"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"})
    until(lambda: begun.permits(True, 0), what="it sorts")
    return begun


def test_when_the_supervisor_is_killed_all_leave_and_the_outputs_rest(
    start: Callable[..., Line], fault_table: Note
) -> None:
    line = start()
    until(lambda: line.permits(True, 0), what="it sorts")
    pids = [line.pid(role) for role in ("capture", "vision", "actuator", "reporter")]
    until(line.strokes, what="strokes")
    at_ns = line.send("supervisor", signal.SIGKILL)
    to_safe_ms = line.becomes_safe(at_ns)
    line.process.wait()
    until(lambda: not any(_lives(pid) for pid in pids), what="all have left")
    lost, doubled, amiss = line.lost(), line.doubled(), line.firings_amiss()
    recovered_ms, amiss_anew = _anew(line, at_ns)
    fault_table(
        "SIGKILL of supervisor",
        to_safe_ms=to_safe_ms,
        lost=lost,
        doubled=doubled,
        recovered_ms=recovered_ms,
        note="all leave; started anew, as systemd does",
    )
    assert (lost, doubled, amiss, amiss_anew) == (0, 0, 0, 0)


def test_when_all_processes_are_killed_at_once_the_next_start_brings_in_what_they_left(
    start: Callable[..., Line], fault_table: Note
) -> None:
    line = start()
    until(lambda: line.permits(True, 0), what="it sorts")
    until(line.strokes, what="strokes")
    held = line.segments()
    assert held
    at_ns = time.monotonic_ns()
    os.killpg(line.process.pid, signal.SIGKILL)
    line.process.wait()
    to_safe_ms = line.relay_drops(at_ns)
    assert line.segments() == held, "nobody was there to remove them"
    recovered_ms, amiss_anew = _anew(line, at_ns)
    lost, doubled = line.lost(), line.doubled()
    fault_table(
        "SIGKILL of all processes at once",
        to_safe_ms=to_safe_ms,
        lost=lost,
        doubled=doubled,
        recovered_ms=recovered_ms,
        note="by the relay that misses the heartbeat; started anew",
    )
    assert (lost, doubled, amiss_anew) == (0, 0, 0)
    assert line.segments() == set(), "neither its own nor those of the run before"


def _anew(line: Line, since_ns: int) -> tuple[float, int]:
    """The same line once more: milliseconds until it sorts, and what is lost or doubled until it has been ended."""
    again = line.begin_again()
    try:
        recovered_ms = (until(lambda: again.permits(True, 0), what=f"sorts: {again.says()}")[0] - since_ns) / 1e6
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(60) == 0
        return recovered_ms, again.lost() + again.doubled() + again.firings_amiss()
    finally:
        again.process.kill()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
