"""A process of the line under the supervisor's eyes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import HOPELESS, PARENTS_SIGNALS, run
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.restarts import Restarts
from edge_runtime.settings.safety_settings import ProcessSettings

log = logging.getLogger("ripeline")

_TO_DIE_S = 0.2


@dataclass(frozen=True, slots=True)
class Role:
    """A process of the line: what it runs, where it shows life, and when its turn to leave comes."""

    name: str
    main: Callable[[LinePlan, Memory], None]
    beat: Cell
    leaves: Stop


class Attended:
    """One role, through all its starts: started again when it dies, hangs or leaks.

    Args:
        role: What to run.
        plan: Of the line.
        board: Where it shows life.
        memory: What it is told.
    """

    def __init__(self, role: Role, plan: LinePlan, board: Board, memory: Memory) -> None:
        self.role = role
        self._plan, self._board, self._memory = plan, board, memory
        self._settings: ProcessSettings = plan.config.processes
        self.restarts = Restarts(self._settings.restarts, self._settings.slow_s)
        self._process: SpawnProcess | None = None
        self._due_s, self._begun_s = 0.0, 0.0
        self._killed_for: str | None = None
        self.ended = ""
        """How its last process came to its end."""
        self.finished = False
        """It has left because the source is at its end."""
        self.hopeless = False
        """It has said that starting it again is of no use."""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        process = self._process  # looked at once: other threads ask too
        return None if process is None else process.pid

    @property
    def sentinel(self) -> int | None:
        """Something to wait on that ends with the process."""
        return None if self._process is None else self._process.sentinel

    def look(self, now_s: float) -> None:
        """Start it if it is due; see whether it lives, and kill it if it only seems to."""
        if self.finished:
            return
        if self._process is None:
            if now_s >= self._due_s:
                self._start(now_s)
            return
        if not self._process.is_alive():
            self._died(now_s, self._killed_for or f"ended with {_words(self._process.exitcode)}")
        elif self._killed_for is None and (reason := self._illness(now_s)) is not None:
            self._killed_for = f"{reason} and was killed"
            if self.kill():
                self._died(now_s, self._killed_for)

    def kill(self) -> bool:
        """At once, a stopped process too; whether it is gone: one that waits in the kernel for a device goes later."""
        if self._process is None:
            return True
        self._process.kill()
        self._process.join(_TO_DIE_S)
        return not self._process.is_alive()

    def leave(self, end_s: float) -> bool:
        """Wait for it to end by itself, until then; whether it did."""
        if self._process is None:
            return True
        self._process.join(max(0.0, end_s - time.monotonic()))
        if self._process.is_alive():
            log.warning("%s did not leave in time and was killed", self.role.name)
            self.kill()
            return False
        return self._process.exitcode == 0

    def _start(self, now_s: float) -> None:
        self._board[self.role.beat] = 0
        memory = replace(self._memory, start=self.restarts.count)
        self._begun_s = now_s
        self._process = multiprocessing.get_context("spawn").Process(
            target=run, args=(self.role.main, self._plan, memory), name=self.role.name, daemon=True
        )
        # Blocked in the child from its first moment.
        signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        try:
            self._process.start()
        except OSError as error:
            self._process = None
            self._later(now_s, f"cannot be started ({error.strerror})")
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)

    def _died(self, now_s: float, how: str) -> None:
        process, self._process, self._killed_for = self._process, None, None
        assert process is not None
        if process.exitcode == HOPELESS:
            self.hopeless = True
            return
        if process.exitcode == 0 and self.role.leaves is Stop.SEEING and self._board[Cell.CAPTURE_ENDED]:
            self.finished = True
            return
        self._later(now_s, how)

    def _later(self, now_s: float, how: str) -> None:
        self.ended = how
        wait_s = self.restarts.wait_s(now_s)
        self._due_s = now_s + wait_s
        self._board.add(Cell.SUPERVISOR_RESTARTS)
        again = f"again in {wait_s:.0f} s" if wait_s else "started again"
        log.warning("%s %s; %s", self.role.name, how, again)

    def _illness(self, now_s: float) -> str | None:
        beat_ns = self._board[self.role.beat]
        if beat_ns == 0:
            late = now_s - self._begun_s > self._settings.start_s
            return f"was not ready after {self._settings.start_s:.0f} s" if late else None
        silent_s = time.monotonic() - beat_ns / 1e9
        if silent_s > self._settings.hung_s:
            return f"showed no life for {silent_s:.1f} s"
        held_mb = _held_mb(self.pid)
        return f"held {held_mb:.0f} MB" if held_mb > self._settings.memory_mb else None


def _words(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"code {code}"


def _held_mb(pid: int | None) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
