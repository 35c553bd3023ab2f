"""The reporter process: what left the line on its way to the disk and to others. It may wait; nobody waits for it."""

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import ExitStack, closing

from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import begin
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.reporting import OWN_FILE, Reporting
from edge_runtime.processes.row_files import RowFiles
from edge_runtime.processes.rows import Rows

_CLOSE_S = 0.8
_LOOK_S = 0.02
_DISK_NS = 10_000_000_000
_LAST_WORDS_S = 0.2
_ALONE_S = 2.0
"""After the supervisor's death: what the others may still say, and how long to write it down."""


def run_reporter(plan: LinePlan, memory: Memory) -> None:
    """Report until all others have left."""
    orphaned = threading.Event()
    begin("reporter", lambda: _leave_soon(orphaned))
    with ExitStack() as stack:
        board = stack.enter_context(closing(Board.open(memory.board)))
        rows = stack.enter_context(closing(Rows.open(memory.rows)))

        def is_over() -> bool:
            return board[Cell.SUPERVISOR_STOP] >= Stop.REPORTING or orphaned.is_set()

        while not board[Cell.SUPERVISOR_OPENED]:
            # A line that never works leaves nothing behind, so nothing may be begun before it does.
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns()
            if is_over():
                return
            time.sleep(_LOOK_S)
        reporting = Reporting(plan.runtime, plan.journal, plan.config, plan.output / OWN_FILE)
        stack.callback(reporting.close, _CLOSE_S)
        files = stack.enter_context(closing(RowFiles(plan.output)))
        while True:
            last_round = is_over()
            if orphaned.is_set():
                time.sleep(_LAST_WORDS_S)
            # Said ahead: a disk may take long, and one that is killed meanwhile would only begin anew.
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns() + _DISK_NS
            files.take(rows, math.inf if last_round else time.monotonic())
            if last_round:
                return
            reporting.work()
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns()


def _leave_soon(orphaned: threading.Event) -> None:
    orphaned.set()
    time.sleep(_ALONE_S)
    os._exit(1)
