"""`run` in processes of its own: what the supervisor is told, and what its board says in the end."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import click

from ripeline import console
from ripeline.asked import MARKER
from ripeline.line_ports import RealPorts, SimulatedPorts, lay_out
from ripeline.line_source import SIMULATED, of_simulated, refuse_encoder, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.bundles.bundle import Bundle
    from edge_runtime.bundles.select import Selection
    from edge_runtime.deciding.decide import Policy
    from edge_runtime.line import LineSummary
    from edge_runtime.ports import LinePorts
    from edge_runtime.processes.board import Board
    from edge_runtime.settings.config import LineConfig
    from ripeline.asked import Asked
    from simulator.line import SimulatedLine

_TO_START_NS, _TO_SPAWN_NS = 2_000_000_000, 1_000_000_000
"""A simulated belt starts when the processes should be there."""

_TO_TELL_S = 3.0
"""For the summary of a simulated line, once its truth is written, which takes what it takes."""


def run(asked: Asked, bundle: Bundle, settings: LineConfig, policy: Policy, selection: Selection) -> LineSummary:
    """Run the line until it is told to stop or its source ends.

    Raises:
        InputError: It is already being run on this machine, the port of its health is taken, or there is too little
            shared memory.
        CameraError, EncoderError, EjectorError: The source, the belt's positions or an output of `line.toml` could not
            be opened even once.
    """
    from edge_runtime.cameras.stream import hide_password
    from edge_runtime.processes.board import Cell
    from edge_runtime.processes.lock import LineLock
    from edge_runtime.processes.plan import LinePlan
    from edge_runtime.processes.saying import last_words, say_as
    from edge_runtime.processes.shared import remove_leftovers
    from edge_runtime.processes.supervisor import Supervisor

    begun = time.monotonic()
    edges, settings, simulated = ports(asked, settings)
    edges.open_encoder()  # else a file that is none would only have processes started again
    with closing(LineLock(settings.name)):
        remove_leftovers(settings.name)
        plan = LinePlan(
            edges,
            settings,
            bundle.folder,
            selection.artefact,
            selection.engine.name,
            policy,
            asked.output,
            runtime_folder(settings.name),
            asked.proof,
            asked.outputs(bundle, settings, live=edges.live),
        )
        say_as()
        ended = Event()
        with (
            closing(Supervisor(plan, duration_s=asked.duration_s if edges.live else None)) as supervisor,
            asked.new_output() as opened,
        ):
            if simulated is not None:
                Thread(target=simulated.prepare_truth, args=(ended,), daemon=True).start()
            supervisor.run(opened)
            last_words()
            ended.set()
            summary = _summary(supervisor.board, hide_password(edges.source), bundle.manifest.labels)
            first_ns, last_ns = supervisor.board[Cell.CAPTURE_FIRST_NS], supervisor.board[Cell.CAPTURE_FRAME_NS]
            if not supervisor.opened:
                if supervisor.failure is not None:
                    raise supervisor.failure
                if simulated is None:  # whose truth says what was missed
                    console.notice("told to end before the source gave a picture: nothing was written.")
                    raise click.exceptions.Exit(console.DONE)
    if simulated is None and supervisor.failure is None:
        console.leave_by(supervisor.leave_by_s)
        if supervisor.stuck:
            # Who touches it too can end no more.
            console.notice(f"the disk of {plan.output} hangs: summary.json is not written; decisions wait as they are.")
            console.leave()
    with suppress(OSError):  # of a disk that is full: its alarm has stood
        (plan.output / MARKER).touch()  # also where there was nothing to decide
    if simulated is not None:
        simulated.write_truth(
            plan.output,
            from_frame=simulated.first_frame(first_ns),
            until_frame=None if simulated.is_over else simulated.last_frame(last_ns),
        )
        if supervisor.failure is None:
            console.leave_by(time.monotonic() + _TO_TELL_S)
    return replace(summary, failure=supervisor.failure, seconds=time.monotonic() - begun)


def ports(asked: Asked, config: LineConfig) -> tuple[LinePorts, LineConfig, SimulatedLine | None]:
    """The line's edges, its settings completed by what a simulated line knows of itself, and that line."""
    if not asked.source.startswith(SIMULATED):
        return RealPorts(asked.source, asked.encoder, config), config, None
    refuse_encoder(asked.source, asked.encoder)
    begun_ns = time.monotonic_ns()
    lay_out(asked.source, asked.duration_s)
    laid_ns = time.monotonic_ns()
    # Each process lays it out anew, some at the same time: a long belt, or a filmed one, takes them seconds.
    start_ns = laid_ns + max(_TO_START_NS, _TO_SPAWN_NS + 2 * (laid_ns - begun_ns))
    simulated = SimulatedPorts(asked.source, start_ns, asked.duration_s, asked.output, config)
    line = simulated.line()
    tell(line)
    ejectors = config.ejector or tuple(line.ejectors())
    return simulated, of_simulated(line, config).model_copy(update={"ejector": ejectors}), line


def runtime_folder(line: str) -> Path:
    """A folder for what lives only while the machine is on, private, the same for each run of a line."""
    base = os.environ.get("RUNTIME_DIRECTORY")
    home = Path(base) if base else Path(tempfile.gettempdir()) / f"ripeline-{os.getuid()}"
    folder = home / (re.sub(r"[^\w.-]", "_", line)[:40] or "line")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    return folder


def _summary(board: Board, source: str, labels: Sequence[str]) -> LineSummary:
    from edge_runtime.line import LineSummary
    from edge_runtime.processes.board import Cell
    from edge_runtime.processes.facts import rows_lost

    verdicts = {
        "ACCEPT": board[Cell.VISION_ACCEPT],
        "DIVERT": board[Cell.VISION_DIVERT],
        "UNDECIDED": board[Cell.VISION_UNDECIDED],
    }
    read = board[Cell.CAPTURE_FRAMES] + board[Cell.CAPTURE_TORN] + board[Cell.CAPTURE_DROPPED]
    processed = board[Cell.VISION_FRAMES]
    latency = {
        name: board[cell] / 1000
        for name, cell in (("p50", Cell.VISION_P50_US), ("p99", Cell.VISION_P99_US), ("max", Cell.VISION_MAX_US))
    }
    restarts, lost = board[Cell.SUPERVISOR_RESTARTS], rows_lost(board)
    notices = [f"{restarts} times a process of the line was started again."] if restarts else []
    if lost:
        notices.append(f"{lost} rows of firings.jsonl and states.jsonl are lost: they could not be written.")
    return LineSummary(
        source=source,
        frames={"read": read, "processed": processed, "dropped": read - processed},
        fruits=sum(verdicts.values()),
        verdicts=verdicts,
        labels={label: board.label_count(number) for number, label in enumerate(labels)},
        latency_ms={"frame": latency} if processed else {},
        seconds=0.0,
        notices=tuple(notices),
    )
