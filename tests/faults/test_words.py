"""Words that a running line gives to the service manager, and takes from an operator."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.monitoring.health_server import RESUME, ask
from tests.faults.running import Line, until


class Manager:
    """What systemd would hear (sd_notify(3))."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Everything so far."""
        while True:
            try:
                self.heard.append(self._socket.recv(100).decode())
            except BlockingIOError:
                return self.heard

    def forget(self) -> None:
        self.listen()
        self.heard.clear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_the_service_manager_hears_that_a_line_is_ready_that_it_lives_and_that_it_ends(
    start: Callable[..., Line], manager: Manager
) -> None:
    line = start(env={"NOTIFY_SOCKET": str(manager.address)})
    until(lambda: "READY=1" in manager.listen(), what=f"it is ready: {line.says()[-2000:]}")
    assert line.permits(False, 0), "the outputs are held by then"
    until(lambda: manager.listen().count("WATCHDOG=1") >= 3, what="it says that it lives")
    line.send("supervisor", signal.SIGSTOP)
    try:
        time.sleep(0.2)
        manager.forget()
        time.sleep(2.5)
        assert manager.listen() == [], "one that hangs must not say that it lives"
    finally:
        line.send("supervisor", signal.SIGCONT)
    until(lambda: "WATCHDOG=1" in manager.listen(), what="it says so again")
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(60) == 0
    heard = manager.listen()
    assert heard[-1] == "STOPPING=1"
    assert "READY=1" not in heard, "said once"


def test_a_log_that_nobody_reads_holds_nobody_up(start: Callable[..., Line], nothing_lost: Callable[..., None]) -> None:
    reads, writes = os.pipe()
    line = start(stderr=writes)
    try:
        until(lambda: line.permits(True, 0), what="it sorts")
        _fill(writes)
        with line.broken("black") as at_ns:
            to_safe_ms = line.becomes_safe(at_ns)
        recovered_ms = line.runs_again(time.monotonic_ns())
        vision = line.pid("vision")
        killed_ns = line.send("vision", signal.SIGKILL)  # of which the supervisor has to speak
        line.restarted("vision", vision)
        line.runs_again(killed_ns)
        nothing_lost(
            line, "nobody reads the log", to_safe_ms=to_safe_ms, recovered_ms=recovered_ms, note="from black pictures"
        )
        line.process.send_signal(signal.SIGTERM)
        assert line.process.wait(60) == 0
        assert (line.output / "summary.json").is_file()
    finally:
        os.close(reads)
        os.close(writes)


def _fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(pipe, True)


def test_a_line_that_waits_for_an_operator_sorts_again_at_a_word_and_not_before(start: Callable[..., Line]) -> None:
    line = start(safety='resume = "operator"')
    words: list[Callable[[], object]] = [
        lambda: ask(line.name, RESUME),
        lambda: line.process.send_signal(signal.SIGUSR1),
    ]

    def sorts_at(say: Callable[[], object]) -> bool:
        # As often as it takes: on a busy machine something may be wrong for a moment just then.
        say()
        time.sleep(0.5)
        return line.sorts()

    until(lambda: line.states("running", 0), what="it sorts")
    for say in words:
        until(lambda say=say: line.sorts() or sorts_at(say), what="it sorts")
        with line.broken("black") as at_ns:
            line.becomes_safe(at_ns)
            say()
            time.sleep(1.0)
            assert not line.sorts(), "a word while something is wrong opens nothing"
        time.sleep(3.0)  # ten times what would do without an operator
        assert not line.sorts(), "all is well, and nobody has said so"
        until(lambda say=say: sorts_at(say), what=f"it sorts at a word: {line.says()[-2000:]}")
