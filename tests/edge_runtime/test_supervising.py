"""Small parts that keep a line up: restarts, the lock, messages, words to systemd, outputs that rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_runtime.ejectors.pulse import Pulses
from edge_runtime.errors import EjectorError, InputError
from edge_runtime.processes.board import Board, Cell
from edge_runtime.processes.facts import line_facts, tell_run_id
from edge_runtime.processes.lock import LineLock
from edge_runtime.processes.mail import Inbox, Outbox
from edge_runtime.processes.restarts import Restarts
from edge_runtime.processes.rows import Rows
from edge_runtime.processes.systemd import notify
from edge_runtime.settings.config import LineConfig
from simulator.outputs import relay_drops_ns


def test_restarts_are_at_once_until_the_budget_is_used_up_and_never_end() -> None:
    restarts = Restarts(3, 30.0)
    assert [restarts.wait_s(float(second)) for second in range(5)] == [0.0, 0.0, 0.0, 30.0, 30.0]
    assert restarts.wait_s(200.0) == 0.0, "a quiet minute later the budget is full again"
    assert restarts.count == 6


def test_a_line_is_locked_until_its_holder_is_gone() -> None:
    name = f"test {os.getpid()}"
    code = f"from edge_runtime.processes.lock import LineLock; held = LineLock({name!r}); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"1\n"
    with pytest.raises(InputError, match="already being run"):
        LineLock(name)
    LineLock(name + " two").close()
    holder.kill()
    holder.wait()
    LineLock(name).close()


def test_messages_come_whole_in_order_and_nobody_waits(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "box")
    assert not outbox.send("nobody is there")
    inbox = Inbox(tmp_path / "box")
    assert outbox.send({"a": 1})
    assert outbox.send([2, 3])
    assert list(inbox.read()) == [{"a": 1}, [2, 3]]
    assert list(inbox.read()) == []
    sent = 0
    while outbox.send("x" * 10_000):
        sent += 1
        assert sent < 100_000, "it never says that the box is full"
    successor = Inbox(tmp_path / "box")
    assert outbox.send("for the new owner")
    assert list(successor.read()) == ["for the new owner"]
    for box in (inbox, successor, outbox):
        box.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_a_word_where_it_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    address = f"\0ripeline-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")  # no manager, no harm


def test_held_outputs_stay_on_through_the_end_of_a_pulse_and_go_off_when_let_go() -> None:
    switched: list[tuple[int, bool]] = []
    pulses = Pulses(lambda ejector, on: switched.append((ejector, on)), [1.0, 1.0])
    pulses.hold(True)
    pulses.fire(0)
    pulses.hold(True)
    pulses.hold(False)
    assert switched == [(0, True), (1, True), (0, True), (0, False), (1, False)]
    pulses.close()


def test_a_relay_drops_when_the_heartbeat_stays_away_whatever_the_level() -> None:
    beats = [(0, True), (100, False), (150, False), (200, True), (900, False), (1000, True)]
    rows = [{"output": "beat", "on": on, "time_ns": ms * 1_000_000} for ms, on in beats]
    rows.insert(2, {"output": "permit", "on": True, "time_ns": 120_000_000})
    assert relay_drops_ns(rows, 300.0, 1_200_000_000) == [500_000_000]
    assert relay_drops_ns(rows, 300.0, 1_400_000_000) == [500_000_000, 1_300_000_000]


def test_an_output_that_cannot_be_switched_off_is_told_at_the_next_order() -> None:
    def switch(ejector: int, on: bool) -> None:
        if not on:
            raise EjectorError("the coil does not answer")

    pulses = Pulses(switch, [1.0])
    pulses.fire(0)
    time.sleep(0.5)  # the end of the pulse was to come after a millisecond
    with pytest.raises(EjectorError, match="does not answer"):
        pulses.check()
    with pytest.raises(EjectorError):
        pulses.fire(0)


def test_frames_that_vision_skipped_count_as_dropped_and_rows_that_wait_are_counted(tmp_path: Path) -> None:
    board = Board.new("test")
    for cell, count in (
        (Cell.CAPTURE_FRAMES, 100),
        (Cell.VISION_FRAMES, 80),
        (Cell.CAPTURE_DROPPED, 3),
        (Cell.CAPTURE_UNHELD, 2),
    ):
        board[cell] = count
    plan: Any = SimpleNamespace(config=LineConfig(), runtime=tmp_path)
    tell_run_id(plan, "20260531-1")
    rows = Rows.new("test")
    rows.put({"state": "safe"})
    facts = line_facts(plan, board, rows, [])
    assert facts.rows_waiting == 1
    rows.close(remove=True)
    assert facts.run_id == "20260531-1"
    (camera,) = facts.cameras
    assert (camera.frames, camera.dropped, camera.unheld) == (100, 22, ("white balance",))
    board.close(remove=True)
