"""A line in processes of its own, and how a test breaks it and sees what comes of that."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.processes.shared import FOLDER, mark
from simulator.outputs import relay_drops_ns

ROOT = Path(__file__).parents[2]
RATE_HZ = 20.0
THRESHOLD_FRAMES = 10
RELAY_MS = 400
"""Generous, so that a busy machine does not look like a broken line; what the defaults give is for the benchmark."""

SCENARIO = """
base = "calm"
seconds = {seconds}
[camera]
width_px = 320
height_px = 180
mm_per_px = 1.2
frame_rate_hz = {rate_hz}
[ejector]
at_mm = 150
"""
LINE = """
name = "{name}"
[safety]
on_blind = "{on_blind}"
good_s = 0.3
silent_frames = {frames}
frozen_frames = {frames}
black_frames = {frames}
vision_frames = {frames}
encoder_frames = {frames}
heartbeat_ms = 50
{safety}
[processes]
hung_s = 1.5
memory_mb = 400
restarts = 100
[journal]
file = "{journal}"
"""
RUN_PERMIT = """
[safety.run_permit.modbus]
host = "a simulated line switches its own"
coil = 0
"""


def until(found: Callable[[], Any], *, seconds: float = 180.0, what: str = "") -> Any:
    """What `found` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:.0f} s: {what or found}")


def rows(file: Path) -> list[dict[str, Any]]:
    """Of a file of JSON lines that may be growing."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]


@dataclass
class Line:
    """A line in processes of its own."""

    process: subprocess.Popen[str]
    command: Sequence[str]
    name: str
    output: Path
    faults: Path
    runtime: Path

    @property
    def journal(self) -> Path:
        """One for all runs of this line."""
        return self.output.parent / "journal.db"

    def pid(self, role: str) -> int:
        """Of the process in that role now."""
        if role == "supervisor":
            return self.process.pid
        found = dict(line.split() for line in (self.runtime / "processes").read_text("utf-8").splitlines())
        return int(found[role])

    def send(self, role: str, number: signal.Signals) -> int:
        """A signal; the time of it."""
        now_ns = time.monotonic_ns()
        os.kill(self.pid(role), number)
        return now_ns

    def switch(self, fault: str, on: bool) -> int:
        """Let a fault hold or not; the time of it."""
        now_ns = time.monotonic_ns()
        if on:
            (self.faults / fault).touch()
        else:
            (self.faults / fault).unlink()
        return now_ns

    @contextmanager
    def broken(self, fault: str) -> Iterator[int]:
        """A line that sorts, with a fault until the end of the block, whatever comes of it; the time it began."""
        until(self.sorts, what=f"it sorts before the fault {fault}: {self.says()[-2000:]}")
        try:
            yield self.switch(fault, True)
        finally:
            (self.faults / fault).unlink(missing_ok=True)

    def permits(self, on: bool, after_ns: int) -> list[int]:
        """When the belt was allowed to run, or not, after a time."""
        found = rows(self.output / "outputs.jsonl")
        return [
            row["time_ns"]
            for row in found
            if row["output"] == "permit" and row["on"] == on and row["time_ns"] >= after_ns
        ]

    def sorts(self) -> bool:
        """Whether the belt may run now."""
        return max(self.permits(True, 0), default=0) > max(self.permits(False, 0), default=0)

    def becomes_safe(self, after_ns: int) -> float:
        """Waits for it; milliseconds from that time."""
        return (until(lambda: self.permits(False, after_ns), what=f"safe: {self.says()[-2000:]}")[0] - after_ns) / 1e6

    def causes(self, after_ns: int) -> set[str]:
        """The faults for which it went to its safe state after a time."""
        found = rows(self.output / "states.jsonl")
        return {
            fault for row in found if row["state"] == "safe" and row["since_ns"] >= after_ns for fault in row["faults"]
        }

    def runs_again(self, after_ns: int) -> float:
        """Waits until it sorts and has for a moment; milliseconds from that time."""
        again_ns: int = until(lambda: self.permits(True, after_ns), what=f"running: {self.says()[-2000:]}")[-1]
        until(lambda: time.monotonic_ns() - again_ns > 300_000_000)
        return (again_ns - after_ns) / 1e6

    def relay_drops(self, after_ns: int) -> float:
        """Waits until the plant's relay misses the heartbeat; milliseconds from that time."""

        def dropped() -> list[int]:
            found = relay_drops_ns(rows(self.output / "outputs.jsonl"), RELAY_MS, time.monotonic_ns())
            return [at_ns for at_ns in found if at_ns >= after_ns]

        return (until(dropped, what="the relay drops")[0] - after_ns) / 1e6

    def restarted(self, role: str, old_pid: int) -> None:
        """Waits until another process has that role; for a while, none has."""

        def another() -> bool:
            with suppress(KeyError):
                return self.pid(role) != old_pid
            return False

        until(another, what=f"{role} restarted")

    def journalled(self) -> set[tuple[str, int]]:
        """Run and fruit of every record in the journal."""
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=10) as journal:
            return set(journal.execute("SELECT run_id, fruit_id FROM decisions"))

    def states(self, state: str, after_ns: int) -> list[int]:
        """When it went to a state after a time."""
        found = rows(self.output / "states.jsonl")
        return [row["since_ns"] for row in found if row["state"] == state and row["since_ns"] >= after_ns]

    def firings(self) -> list[dict[str, Any]]:
        """What became of each order."""
        return rows(self.output / "firings.jsonl")

    def ordered(self) -> set[tuple[str, int]]:
        """Run and fruit of every order that was given, carried out or not."""
        return {(row["run_id"], row["fruit_id"]) for row in self.firings()}

    def lost(self) -> int:
        """Decisions that were acted on and are not in the journal, a moment later."""

        def missing() -> int:
            return len(self.ordered() - self.journalled()) + self._struck_without_record()

        end = time.monotonic() + 10
        while missing() and time.monotonic() < end:
            time.sleep(0.1)
        return missing()

    def _struck_without_record(self) -> int:
        """Strokes, by the outputs' own word, at fruit of whose decision the journal knows nothing."""
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=10) as journal:
            documents = [json.loads(row[0]) for row in journal.execute("SELECT document FROM decisions")]
        decided = {(one["fruit_id"], one["decided_ns"]) for one in documents}
        return sum(
            not any(fruit == stroke["fruit_id"] and 0 < stroke["ordered_ns"] - at < 10**10 for fruit, at in decided)
            for stroke in self.strokes()
        )

    def strokes(self, after_ns: int = 0) -> list[dict[str, Any]]:
        """What the ejectors did, by the outputs' own word."""
        return [row for row in rows(self.output / "ejections.jsonl") if row["ordered_ns"] >= after_ns]

    def firings_amiss(self) -> int:
        """Strokes of which `firings.jsonl` knows nothing a moment later, and rows that it has twice."""

        def amiss() -> int:
            kept = Counter((row["fruit_id"], row["fired_ns"]) for row in self.firings())
            done = Counter((row["fruit_id"], row["ordered_ns"]) for row in self.strokes())
            return (done - kept).total() + sum(count - 1 for (_, at), count in kept.items() if at is not None)

        end = time.monotonic() + 10
        while amiss() and time.monotonic() < end:
            time.sleep(0.1)
        return amiss()

    def doubled(self) -> int:
        """Strokes at a place of the belt that had one before."""
        places = sorted(row["acted_mm"] for row in self.strokes())
        return sum(later - earlier < 20.0 for earlier, later in itertools.pairwise(places))

    def says(self) -> str:
        """What it has said."""
        return (self.output.parent / f"{self.output.name}.log").read_text("utf-8")

    def segments(self) -> set[str]:
        """The shared memory of this line that there is."""
        return {file.name for file in FOLDER.glob(f"{mark(self.name)}*")}

    def begin_again(self) -> Line:
        """The same line once more, into a folder of its own."""
        return _begin(self.command, self.name, self.output.with_name(f"{self.output.name}-again"))


def begin_line(
    folder: Path,
    name: str,
    bundle: Path,
    *,
    source: str | None = None,
    seconds: int = 900,
    rate_hz: float = RATE_HZ,
    frames: float = THRESHOLD_FRAMES,
    safety: str = "",
    more: str = "",
    env: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> Line:
    """Start a line, simulated unless a source is given; its thresholds are so many frame periods.

    `safety` are more keys of that table of `line.toml`, `more` are more tables. What it says goes to `stderr`, where
    that is given, and `Line.says` knows nothing of it.
    """
    on_blind, outputs = ("stop_line", RUN_PERMIT) if source is None else ("pass_all", "")
    text = LINE.format(name=name, frames=frames, on_blind=on_blind, safety=safety, journal=folder / "journal.db")
    (folder / "line.toml").write_text(text + outputs + more)
    (folder / "belt.toml").write_text(SCENARIO.format(seconds=seconds, rate_hz=rate_hz))
    (folder / "faults").mkdir()
    command = [
        sys.executable, "-m", "tests.faults.line", folder / "faults", "run", bundle,
        "--source", source or f"sim:{folder / 'belt.toml'}?clock=real", "--config", folder / "line.toml",
        "--engine", "onnxruntime", "--artefact", "onnx-fp32",
    ]  # fmt: skip
    return _begin([str(word) for word in command], name, folder / "out", env, stderr)


def _begin(
    command: Sequence[str], name: str, output: Path, env: Mapping[str, str] | None = None, stderr: int | None = None
) -> Line:
    folder = output.parent
    with (folder / f"{output.name}.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-o", str(output)],
            cwd=ROOT,
            env={**os.environ, "RUNTIME_DIRECTORY": str(folder / "runtime"), **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=log if stderr is None else stderr,
            text=True,
            start_new_session=True,
        )
    return Line(process, command, name, output, folder / "faults", folder / "runtime" / name)
