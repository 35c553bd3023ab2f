"""The reporter process: what left the line on its way to the disk and to others. It may wait; nobody waits for it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing, suppress

from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import begin
from edge_runtime.processes.mail import Inbox
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.reporting import OWN_FILE, Reporting

_CLOSE_S = 1.0
_LOOK_S = 0.02
_DISK_NS = 10_000_000_000


def run_reporter(plan: LinePlan, memory: Memory) -> None:
    """Report until all others have left."""
    begin("reporter")
    with ExitStack() as stack:
        board = stack.enter_context(closing(Board(memory.board)))
        inbox = stack.enter_context(closing(Inbox(plan.reporter_box)))
        while not board[Cell.CAPTURE_FRAMES]:
            # A source that never works leaves nothing behind, so nothing may be begun before it does.
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns()
            if board[Cell.SUPERVISOR_STOP] >= Stop.REPORTING:
                return
            time.sleep(_LOOK_S)
        reporting = Reporting(plan.runtime, plan.journal, plan.config, plan.output / OWN_FILE)
        stack.callback(reporting.close, _CLOSE_S)
        files = {}
        for name in ("firings.jsonl", "states.jsonl"):
            with suppress(OSError):  # nor does a read-only one cost the journal
                files[name] = stack.enter_context((plan.output / name).open("a", encoding="utf-8"))
        while True:
            last_round = board[Cell.SUPERVISOR_STOP] >= Stop.REPORTING
            for row in inbox.read():
                file = files.get("states.jsonl" if "state" in row else "firings.jsonl")
                if file is not None:
                    with suppress(OSError):  # a full disk costs these rows, not the line
                        file.write(json.dumps(row, allow_nan=False) + "\n")
                        file.flush()
            # Said ahead: a disk may take long, and one that is killed meanwhile would only begin anew.
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns() + _DISK_NS
            if last_round:
                return
            reporting.work()
            board[Cell.REPORTER_BEAT_NS] = time.monotonic_ns()
