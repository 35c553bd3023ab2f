"""A live source, a real process and a real signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.mjpeg import jpegs_of, served


@pytest.fixture
def camera_url(clip_dir: Path) -> Iterator[str]:
    """A network camera (MJPEG over HTTP) that shows the clip over and over."""
    over = threading.Event()

    def send(stream: BinaryIO, head: bytes, data: bytes) -> bool:
        stream.write(head + data + b"\r\n")
        return not over.wait(1 / 30)

    server = served(jpegs_of(str(clip_dir / "clip.mp4")), send)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/belt.mjpg"
    over.set()
    server.shutdown()
    server.server_close()


def start(bundle: Path, source: str, output: Path, *options: str) -> subprocess.Popen[str]:
    words = ["run", str(bundle), "--source", source, "-o", str(output), "--artefact", "tflite-fp32", "--json", *options]
    command = [sys.executable, "-m", "ripeline.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_decisions(process: subprocess.Popen[str], file: Path, count: int) -> None:
    for _ in range(600):
        if file.exists() and len(file.read_text("utf-8").splitlines()) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{file} never held {count} decisions")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_source_with_its_summary_written(
    camera_url: str, bundle_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(bundle_dir, camera_url, out)
    try:
        wait_for_decisions(process, out / "decisions.jsonl", 2)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert json.loads(stdout) == summary
    rows = [json.loads(line) for line in (out / "decisions.jsonl").read_text("utf-8").splitlines()]
    assert summary["fruits"] == sum(summary["verdicts"].values()) == len(rows) >= 2
    assert summary["frames"]["read"] == summary["frames"]["processed"] + summary["frames"]["dropped"]
    assert summary["source"] == camera_url
    # Stamped by the clock that runs while the machine is on, and decided after they were seen.
    assert all(row["first_captured_ns"] < row["decided_ns"] < time.monotonic_ns() for row in rows)


def test_a_live_source_is_left_after_the_stated_time(camera_url: str, bundle_dir: Path, tmp_path: Path) -> None:
    process = start(bundle_dir, camera_url, tmp_path / "out", "--duration", "1.5")
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["frames"]["processed"] > 0


def test_a_recording_stopped_by_a_signal_has_its_summary_written_too(bundle_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(bundle_dir, "sim:calm", out, "--duration", "30")
    try:
        wait_for_decisions(process, out / "decisions.jsonl", 1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["fruits"] == len((out / "decisions.jsonl").read_text("utf-8").splitlines())


@pytest.mark.parametrize("source", ["sim:calm", "sim:calm?clock=real"])
def test_an_encoder_beside_a_simulated_line_is_refused_in_processes_too(
    bundle_dir: Path, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "encoder.csv"
    file.write_text("time_ns,position_mm\n0,0\n1000,1\n")
    process = start(bundle_dir, source, tmp_path / "out", "--encoder", str(file))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "encoder of its own" in said
    assert not (tmp_path / "out").exists()
