"""What the board says, as the facts that people and programs are told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from edge_runtime.cameras.lock import HELD
from edge_runtime.monitoring.health import CameraFacts, LineFacts, ProcessFacts
from edge_runtime.processes import trouble
from edge_runtime.processes.actuator import FAULTS, STATES
from edge_runtime.processes.attended import Attended
from edge_runtime.processes.board import Board, Cell
from edge_runtime.processes.plan import LinePlan
from edge_runtime.processes.rows import Rows
from edge_runtime.records import Verdict

CAMERA = "camera"
"""Its name, as long as a line has one."""

RUN = "run"
"""File that says which run of vision this is, from when its model is loaded."""

VERDICTS = {
    Verdict.ACCEPT: Cell.VISION_ACCEPT,
    Verdict.DIVERT: Cell.VISION_DIVERT,
    Verdict.UNDECIDED: Cell.VISION_UNDECIDED,
}


def line_facts(plan: LinePlan, board: Board, rows: Rows, processes: Sequence[Attended]) -> LineFacts:
    """The facts of this moment."""
    now_ns = time.monotonic_ns()

    def age_ms(cell: Cell) -> float | None:
        at_ns = board[cell]
        return max(0, now_ns - at_ns) / 1e6 if at_ns else None

    bits = board[Cell.ACTUATOR_FAULTS]
    camera = CameraFacts(
        CAMERA,
        frames=board[Cell.CAPTURE_FRAMES],
        # What vision skipped too, but for the frame that it is at.
        dropped=board[Cell.CAPTURE_DROPPED]
        + board[Cell.CAPTURE_TORN]
        + max(0, board[Cell.CAPTURE_FRAMES] - board[Cell.VISION_FRAMES] - 1),
        age_ms=age_ms(Cell.CAPTURE_FRAME_NS),
        reconnects=max(0, board[Cell.CAPTURE_CONNECTIONS] - 1),
        unheld=tuple(name for number, name in enumerate(HELD) if board[Cell.CAPTURE_UNHELD] >> number & 1),
    )
    since_ns = board[Cell.ACTUATOR_SINCE_NS]
    return LineFacts(
        line=plan.config.name,
        state=STATES[board[Cell.ACTUATOR_STATE]],
        run_id=_run_id(plan),
        faults=tuple(fault for number, fault in enumerate(FAULTS) if bits >> number & 1),
        since_s=(now_ns - since_ns) / 1e9 if since_ns else 0.0,
        cameras=(camera,),
        processes=tuple(
            ProcessFacts(
                one.role.name,
                one.pid,
                one.restarts.count,
                age_ms(one.role.beat),
                one.ended,
                trouble.told(plan.runtime, one.role.name),
            )
            for one in processes
        ),
        decided={verdict: board[cell] for verdict, cell in VERDICTS.items()},
        fired=board[Cell.ACTUATOR_FIRED],
        missed=board[Cell.ACTUATOR_MISSED],
        frame_ms_p99=board[Cell.VISION_P99_US] / 1000 or None,
        records_lost=board[Cell.VISION_LOST],
        rows_lost=rows_lost(board),
        rows_waiting=rows.count,
    )


def rows_lost(board: Board) -> int:
    """What `firings.jsonl` and `states.jsonl` lack."""
    return board[Cell.ACTUATOR_UNTOLD] + board[Cell.SUPERVISOR_UNKEPT]


def tell_run_id(plan: LinePlan, run_id: str) -> None:
    """For vision: which of its runs this is."""
    with suppress(OSError):
        (plan.runtime / RUN).write_text(run_id, "utf-8")


def _run_id(plan: LinePlan) -> str:
    try:
        return (plan.runtime / RUN).read_text("utf-8")
    except OSError:
        return ""
