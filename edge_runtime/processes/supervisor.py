"""The supervisor: starts the processes of a line, starts again what dies, hangs or leaks, and ends them in order."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import connection
from types import FrameType

from edge_runtime.errors import RipelineError
from edge_runtime.monitoring.health_server import HealthServer
from edge_runtime.processes import trouble
from edge_runtime.processes.actuator import FINISH_S, run_actuator
from edge_runtime.processes.attended import Attended, Role
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.capture import run_capture
from edge_runtime.processes.child import failure, log
from edge_runtime.processes.facts import line_facts
from edge_runtime.processes.mail import check_box
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.report import run_reporter
from edge_runtime.processes.ring import FrameRing
from edge_runtime.processes.rows import Rows
from edge_runtime.processes.systemd import notify
from edge_runtime.processes.vision import run_vision

_LOOK_S = 0.05
_TELL_EVERY_S = 1.0
_TO_REST_S = 0.5
LEFT_BY_S = {Stop.SEEING: 1.0, Stop.ACTING: 1.0 + FINISH_S + 0.2, Stop.REPORTING: 3.6}
"""How long after the word to stop the processes of each turn have left, or are killed.

What is left of the 5 s that the whole line has is for the supervisor itself: the summary, and its own end.
"""

_GONE_BY_S = 4.8


CAPTURE = Role("capture", run_capture, Cell.CAPTURE_BEAT_NS, Stop.SEEING)
VISION = Role("vision", run_vision, Cell.VISION_BEAT_NS, Stop.SEEING)
ACTUATOR = Role("actuator", run_actuator, Cell.ACTUATOR_BEAT_NS, Stop.ACTING)
REPORTER = Role("reporter", run_reporter, Cell.REPORTER_BEAT_NS, Stop.REPORTING)


class Supervisor:
    """Runs one line until it is told to stop or its source ends.

    Args:
        plan: What to run. Without a live source there are no outputs, and no actuator.
        duration_s: How long, from the first frame that was dealt with; None until told.

    Raises:
        InputError: There is not enough shared memory, the port of its health is taken, or the path of its runtime
            folder is too long.
    """

    def __init__(self, plan: LinePlan, *, duration_s: float | None = None) -> None:
        self._plan, self._duration_s = plan, duration_s
        self._stopping = False
        check_box(plan.actuator_box)
        failure(plan.runtime)  # of a run that was killed, and none of this one's
        self.failure: RipelineError | None = None
        """What made it pointless to go on, after `run`."""
        self.opened = False
        """Whether the source has given a picture, and the outputs have been switched."""
        self.leave_by_s = math.inf
        """When the line is to be gone, after `run`: monotonic seconds."""
        self.stuck = False
        """Whether a process could not even be killed, after `run`: it waits in the kernel, most likely for a disk."""
        line, frame_bytes = plan.config.name, round(plan.config.processes.frame_mb * 1e6)
        with ExitStack() as shared:
            self.board = Board.new(line)
            shared.callback(self.board.close, remove=True)
            ring = FrameRing.new(line, frame_bytes)
            shared.callback(ring.close, remove=True)
            self._rows = Rows.new(line)
            shared.callback(self._rows.close, remove=True)
            memory = Memory(self.board.name, ring.name, frame_bytes, self._rows.name)
            roles = (REPORTER, ACTUATOR, VISION, CAPTURE) if plan.ports.live else (REPORTER, VISION, CAPTURE)
            for role in roles:
                trouble.forget(plan.runtime, role.name)  # of a run before
            self._children = [Attended(role, plan, self.board, memory) for role in roles]
            self._health = self._health_server()
            shared.callback(self._health.close)
            self._shared = shared.pop_all()

    def run(self, on_opened: Callable[[], None] = lambda: None) -> None:
        """Returns when every process has left.

        Args:
            on_opened: Called once, when `opened` is true.
        """
        end_s: float | None = None
        ready, tell_s = False, 0.0
        try:
            with self._signals(), closing(self._health):
                while not self._stopping and not self._is_over:
                    now_s = time.monotonic()
                    for child in self._children:
                        child.look(now_s)
                    self._look_whether_opened(on_opened)
                    if end_s is None and self._duration_s is not None and self.board[Cell.VISION_FRAMES]:
                        end_s = now_s + self._duration_s
                    if end_s is not None and now_s >= end_s:
                        break
                    if not ready and all(self.board[one.role.beat] for one in self._children[:2]):
                        notify("READY=1")
                        ready = True
                    if now_s >= tell_s:
                        notify("WATCHDOG=1")
                        self._note_pids()
                        tell_s = now_s + _TELL_EVERY_S
                    self._wait()
                notify("STOPPING=1")
                self._look_whether_opened(on_opened)
                self._end()
                self.failure = failure(self._plan.runtime)
                # Counted here, since a reporter that hangs to the end can say nothing.
                self.board[Cell.SUPERVISOR_UNKEPT] = self._rows.count if self.opened else 0
        finally:
            # Whatever happened, the outputs come to rest before anybody is killed.
            self.board[Cell.SUPERVISOR_STOP] = Stop.REPORTING
            rest_s = time.monotonic() + _TO_REST_S
            for child in self._children:
                child.leave(rest_s)
            self.stuck = not all(child.kill() for child in self._children)

    def _look_whether_opened(self, on_opened: Callable[[], None]) -> None:
        acts = all(self.board[one.role.beat] for one in self._children if one.role is ACTUATOR)
        if not self.opened and acts and self.board[Cell.CAPTURE_FRAMES]:
            self.opened = True
            self.board[Cell.SUPERVISOR_OPENED] = 1
            on_opened()

    @property
    def _is_over(self) -> bool:
        eyes = [one for one in self._children if one.role.leaves is Stop.SEEING]
        return any(one.hopeless for one in self._children) or all(one.finished for one in eyes)

    def close(self) -> None:
        """Let go of what the processes shared, once the board has been read."""
        self._shared.close()

    def _health_server(self) -> HealthServer:
        return HealthServer(
            self._plan.config.name,
            self._plan.runtime,
            self._plan.config.health.port,
            lambda: line_facts(self._plan, self.board, self._rows, self._children),
            on_resume=self._release,
        )

    def _release(self) -> None:
        self.board.add(Cell.SUPERVISOR_RELEASES)

    def _wait(self) -> None:
        connection.wait([one.sentinel for one in self._children if one.sentinel is not None], timeout=_LOOK_S)

    def _end(self) -> None:
        begun_s = time.monotonic()
        self.leave_by_s = begun_s + _GONE_BY_S
        for turn, by_s in LEFT_BY_S.items():
            self.board[Cell.SUPERVISOR_STOP] = turn
            leaving = [child for child in self._children if child.role.leaves is turn]
            left = [child.leave(begun_s + by_s) for child in leaving]
            how = "left" if all(left) else "did not all leave"
            names = ", ".join(child.role.name for child in leaving)
            log.info("%s %s by %.2f s, of %.1f s", names, how, time.monotonic() - begun_s, by_s)

    def _note_pids(self) -> None:
        """Who is who, for people and tests."""
        rows = [f"{one.role.name} {one.pid}\n" for one in self._children if one.pid is not None]
        aside = self._plan.runtime / "processes.new"
        with suppress(OSError):  # a full disk stops no line
            aside.write_text("".join(rows), "utf-8")
            aside.replace(self._plan.runtime / "processes")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        def release(_number: int, _frame: FrameType | None) -> None:
            self._release()

        handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: release}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
