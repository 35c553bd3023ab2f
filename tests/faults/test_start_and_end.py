"""How a line starts, refuses to start, and ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_runtime.decision_record import RunIdentity
from edge_runtime.journaling.spool import SpoolWriter
from edge_runtime.monitoring.health_server import ask
from edge_runtime.monitoring.watch import Fault
from edge_runtime.processes.reporting import SPOOL
from edge_runtime.processes.supervisor import LEFT_BY_S
from tests.broker import free_port
from tests.decisions import decision
from tests.disks import hanging_disk, small_disk
from tests.faults.line import TAKEN_APART
from tests.faults.running import ROOT, Line, rows, until

if TYPE_CHECKING:
    from tests.conftest import Ripeline

Note = Callable[..., None]
PAIR = ("--engine", "onnxruntime", "--artefact", "onnx-fp32")


def test_a_second_instance_is_refused(
    start: Callable[..., Line], fault_table: Note, tmp_path: Path, ripeline: Ripeline, bundle_dir: Path
) -> None:
    line = start(seconds=120)
    settings = line.output.parent / "line.toml"
    until(lambda: line.permits(True, 0), what="it sorts")

    source = f"sim:{line.output.parent / 'belt.toml'}?clock=real"
    second = ripeline("run", bundle_dir, "--source", source, "--config", settings, "-o", tmp_path / "out", *PAIR)
    assert second.code == 2
    assert f'"{line.name}" is already being run' in second.stderr
    assert not (tmp_path / "out").exists()
    assert line.process.poll() is None
    fault_table("a second instance on one line", note="refused before it touches anything; the first sorts on")


@contextmanager
def load() -> Iterator[None]:
    """Three busy processes a core, at the priority of everybody."""
    words = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(words) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_a_word_to_stop_ends_a_line_on_a_busy_machine_in_order(start: Callable[..., Line], fault_table: Note) -> None:
    line = start(seconds=120)
    until(lambda: line.permits(True, 0), what="it sorts")
    with load():
        until(lambda: len(line.ordered()) >= 3, what="work")
        until(line.strokes, what="strokes")
        before, at_s = len(line.firings()), time.monotonic()
        os.killpg(line.process.pid, signal.SIGTERM)  # to every process of it, as a shutting down machine does
        assert line.process.wait(60) == 0
        took_s = time.monotonic() - at_s
    summary = json.loads((line.output / "summary.json").read_text("utf-8"))
    lost = max(summary["fruits"] - len(line.journalled()), len(line.ordered() - line.journalled()))
    turns = re.findall(r"(\w[\w, ]*) (?:left|did not all leave) by ([\d.]+) s, of ([\d.]+) s", line.says())
    by = ", ".join(f"{who} by {took} s of {allowed}" for who, took, allowed in turns)
    fault_table(
        "SIGTERM under load",
        to_safe_ms=line.permits(False, 0)[-1] / 1e6 - at_s * 1000,
        lost=lost,
        doubled=line.doubled(),
        note=f"exit code 0 after {took_s:.1f} s: {by}",
    )
    assert [who for who, _, _ in turns] == ["vision, capture", "actuator", "reporter"], line.says()
    assert [float(allowed) for _, _, allowed in turns] == sorted(LEFT_BY_S.values())
    assert TAKEN_APART not in line.says(), "there is no time for that"
    assert (lost, line.doubled(), line.firings_amiss()) == (0, 0, 0)
    decided = {row["fruit_id"] for row in rows(line.output / "decisions.jsonl")}
    assert len(decided) == summary["fruits"] > 0
    assert "safe state" not in [row["reason"] for row in line.firings()[before + 1 :]], "first the belt was finished"


def test_rows_that_a_reporter_which_hangs_to_the_end_did_not_write_are_told_as_lost(
    start: Callable[..., Line],
) -> None:
    line = start(seconds=120)
    until(lambda: line.permits(True, 0), what="it sorts")
    at_ns = line.send("reporter", signal.SIGSTOP)
    line.switch("black", True)
    line.becomes_safe(at_ns)
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(60) == 0
    assert line.states("safe", at_ns) == [], "nobody wrote it down"
    notices = json.loads((line.output / "summary.json").read_text("utf-8"))["notices"]
    assert any(re.match(r"[1-9]\d* rows of firings.jsonl and states.jsonl are lost", one) for one in notices), notices


def test_a_bundle_that_is_changed_under_a_running_line_keeps_it_safe(
    start: Callable[..., Line], nothing_lost: Note, bundle: Path, seal: Callable[[Path], None]
) -> None:
    line = start(seconds=120, bundle=bundle)
    until(lambda: line.permits(True, 0), what="it sorts")
    checksums = bundle / "SHA256SUMS"
    whole = checksums.read_bytes()
    card = (bundle / "MODEL_CARD.md").read_text("utf-8")
    (bundle / "MODEL_CARD.md").write_text(card + "Somebody was here.\n")
    seal(bundle)  # whole in itself, and not what was verified
    at_ns = line.send("vision", signal.SIGKILL)
    to_safe_ms = line.becomes_safe(at_ns)
    until(lambda: line.says().count("vision ended with code") >= 2, what="vision refuses the bundle")
    assert "another than the line was started with" in line.says()
    assert "nobody expected" not in line.says()
    until(lambda: ask(line.name)["alarms"], what="an alarm")
    (stalled,) = (one for one in ask(line.name)["alarms"] if one["code"] == Fault.VISION_STALLED)
    assert "another than the line was started with. To do: Bring" in stalled["detail"]
    assert not line.permits(True, at_ns), "it must not sort with a bundle that nobody verified"
    (bundle / "MODEL_CARD.md").write_text(card)
    checksums.write_bytes(whole)
    mended_ns = time.monotonic_ns()
    recovered_ms = line.runs_again(mended_ns)
    until(lambda: not any(one["trouble"] for one in ask(line.name)["processes"]), what="nobody tells of trouble")
    nothing_lost(line, "bundle changed under the line", to_safe_ms=to_safe_ms, recovered_ms=recovered_ms)


class MjpegCamera:
    """A network camera in a process of its own."""

    def __init__(self, clip: Path) -> None:
        self._clip, self._port = clip, free_port()
        self.url = f"http://127.0.0.1:{self._port}/belt.mjpg"
        self._process: subprocess.Popen[bytes] | None = None

    def on(self) -> None:
        """Returns when it answers."""
        words = [sys.executable, "-m", "tests.faults.mjpeg", str(self._clip), str(self._port)]
        self._process = subprocess.Popen(words, cwd=ROOT)
        until(self._answers, what="the camera answers")

    def off(self) -> None:
        """Pulled out, wherever it is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def camera(clip_dir: Path) -> Iterator[MjpegCamera]:
    made = MjpegCamera(clip_dir / "clip.mp4")
    made.on()
    yield made
    made.off()


def test_a_network_camera_that_goes_in_the_middle_of_a_picture_is_found_again(
    start: Callable[..., Line], fault_table: Note, camera: MjpegCamera
) -> None:
    line = start(source=camera.url)
    until(lambda: line.states("running", 0), what="it sorts")
    until(line.journalled, what="decisions")
    at_ns = time.monotonic_ns()
    camera.off()
    to_safe_ms = (until(lambda: line.states("safe", at_ns), what="safe")[0] - at_ns) / 1e6
    assert Fault.CAMERA_SILENT in line.causes(at_ns)
    before = line.journalled()
    camera.on()
    back_ns = time.monotonic_ns()
    recovered_ms = (until(lambda: line.states("running", back_ns), what="running")[0] - back_ns) / 1e6
    until(lambda: line.journalled() - before, what="decisions go on")
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(60) == 0
    summary = json.loads((line.output / "summary.json").read_text("utf-8"))
    lost = summary["fruits"] - len(line.journalled())
    fault_table(
        "network camera gone in the middle of a picture",
        to_safe_ms=to_safe_ms,
        lost=lost,
        recovered_ms=recovered_ms,
        note="from when it is back; a pause between tries of up to 5 s",
    )
    assert lost == 0


def test_a_line_sorts_on_while_its_disk_hangs(
    start: Callable[..., Line], fault_table: Note, camera: MjpegCamera
) -> None:
    first = start(source=camera.url)
    first.process.kill()
    with hanging_disk(first.output.with_name("out-again")) as disk:
        line = first.begin_again()
        try:
            until(lambda: rows(line.output / "decisions.jsonl"), what=f"decisions: {line.says()}")
            with disk.hanging():
                at_ns = time.monotonic_ns()
                _decides(line, 10)
                assert disk.hangs
            thawed_s = time.monotonic()
            everything = sum(ask(line.name)["decided"].values())
            until(lambda: len(rows(line.output / "decisions.jsonl")) >= everything, what="all are in the file")
            took_ms = (time.monotonic() - thawed_s) * 1000
            assert line.states("safe", at_ns) == [], line.says()
            decided = [(row["run_id"], row["fruit_id"]) for row in rows(line.output / "decisions.jsonl")]
            lost = max(0, everything - len(set(decided)))
            with disk.hanging():
                _decides(line, 5)  # by which its reporter waits for the disk
                line.process.send_signal(signal.SIGTERM)
                assert line.process.wait(60) == 0, line.says()
                assert disk.hangs
            assert "hangs: summary.json is not written" in line.says()
        finally:
            line.process.kill()
            line.process.wait()
    note = "sorts on, and ends with exit code 0; from when it is back until all is in decisions.jsonl"
    fault_table("disk of the output folder hangs", lost=lost, recovered_ms=took_ms, note=note)
    assert lost == 0
    assert len(set(decided)) == len(decided)


def _decides(line: Line, fruit: int) -> None:
    """Waits until it has decided so many more."""
    before = sum(ask(line.name)["decided"].values())
    until(lambda: sum(ask(line.name)["decided"].values()) >= before + fruit, what="it sorts on", seconds=50)


def test_a_line_whose_disk_is_full_to_the_end_ends_in_order_and_says_so(
    start: Callable[..., Line], fault_table: Note, camera: MjpegCamera
) -> None:
    first = start(source=camera.url)
    first.process.kill()
    with small_disk(first.output.with_name("out-again"), 1024) as disk:
        line = first.begin_again()
        try:
            until(lambda: line.states("running", 0), what=f"it sorts: {line.says()}")
            with pytest.raises(OSError, match="No space"):
                (disk / "ballast").write_bytes(bytes(2_000_000))
            _decides(line, 4)
            line.process.send_signal(signal.SIGTERM)
            assert line.process.wait(60) == 0, line.says()
        finally:
            line.process.kill()
            line.process.wait()
        assert "summary.json cannot be written (No space left on device)" in line.says()
        fruit = re.search(r"(\d+) fruit in", line.says())
        assert fruit is not None
        lost = int(fruit[1]) - len(line.journalled())
    fault_table("disk of the output folder full to the end", lost=lost, note="exit code 0; the journal has another")
    assert lost == 0


def test_a_camera_that_is_not_there_at_the_start_leaves_earlier_decisions_where_they_wait(
    ripeline: Ripeline, bundle_dir: Path, tmp_path: Path, fault_table: Note
) -> None:
    config = tmp_path / "line.toml"
    config.write_text(f'name = "faults-{os.getpid()}-missing"\n')
    spool = SpoolWriter(tmp_path / "runtime" / f"faults-{os.getpid()}-missing" / SPOOL, RunIdentity.new("before"))
    for number in range(50):
        spool.append(decision(number + 1))
    spool.close()
    words = ("run", bundle_dir, "--source", "http://127.0.0.1:9/video", "--config", config, "-o", tmp_path / "out")
    refused = ripeline(*words, *PAIR, env={"RUNTIME_DIRECTORY": str(tmp_path / "runtime")})
    assert refused.code == 2
    assert "127.0.0.1:9" in refused.stderr
    assert not (tmp_path / "out").exists()
    (segment,) = (tmp_path / "runtime").glob(f"*/{SPOOL}/*.jsonl")
    assert len(segment.read_text("utf-8").splitlines()) == 50
    fault_table("camera not there at the start", note="refused with its name; earlier decisions wait on")


def test_a_damaged_bundle_is_refused_at_the_start(
    ripeline: Ripeline, bundle: Path, tmp_path: Path, fault_table: Note
) -> None:
    (bundle / "onnx-fp32.onnx").write_bytes(b"rot")
    refused = ripeline("run", bundle, "--source", "sim:calm?clock=real", "-o", tmp_path / "out", *PAIR)
    assert refused.code == 2
    assert "onnx-fp32" in refused.stderr
    assert not (tmp_path / "out").exists()
    fault_table("damaged bundle at the start", note="refused, nothing is started")


@pytest.mark.parametrize("source", ["clip.mp4"])
def test_processes_and_one_process_decide_alike(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path, source: str
) -> None:
    shutil.copytree(clip_dir, tmp_path / "clip")
    decisions = {}
    for way in ("--one-process", "--processes"):
        out = tmp_path / way.strip("-")
        done = ripeline(
            "run", bundle_dir, "--source", tmp_path / "clip" / source, "-o", out, "--json", "--trace", way, *PAIR
        )
        assert done.code == 0, done.stderr
        assert done.document["frames"]["dropped"] == 0
        rows = [json.loads(text) for text in (out / "decisions.jsonl").read_text("utf-8").splitlines()]
        for row in rows:
            for key in ("line", "run_id", "boot_id", "decided_at"):
                row.pop(key, None)
        decisions[way] = (rows, done.document["verdicts"], done.document["labels"], done.document["frames"])
        assert rows
    assert decisions["--processes"] == decisions["--one-process"]
    tracks = [(tmp_path / way / "tracks.csv").read_text("utf-8") for way in ("one-process", "processes")]
    assert tracks[0] == tracks[1]
