"""A live source, a real process and a real signal."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.running import until
from tests.ripeline.live import start

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

pytestmark = pytest.mark.usefixtures("the_line")


def wait_for_decisions(process: subprocess.Popen[str], file: Path, count: int) -> None:
    def are_there() -> bool:
        assert process.poll() is None, process.communicate()
        return file.exists() and len(file.read_text("utf-8").splitlines()) >= count

    until(are_there, what=f"{count} decisions in {file}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_source_with_its_summary_written(
    camera_url: str, bundle_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(bundle_dir, camera_url, out)
    try:
        wait_for_decisions(process, out / "decisions.jsonl", 2)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=180)
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
        stdout, stderr = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["frames"]["processed"] > 0


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_simulated_line_stopped_by_a_signal_is_scored_by_what_it_has_seen(
    clock: str, bundle_dir: Path, tmp_path: Path, ripeline: Ripeline
) -> None:
    """Half an hour was asked for, and its truth is not written down when a few seconds of it have passed."""
    out, begun_s = tmp_path / "out", time.monotonic()
    process = start(bundle_dir, f"sim:calm?seed=2&clock={clock}", out, "--duration", "1800")
    try:
        wait_for_decisions(process, out / "decisions.jsonl", 2)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    summary = json.loads(stdout)
    decisions, truth = (
        [json.loads(line) for line in (out / name).read_text("utf-8").splitlines()]
        for name in ("decisions.jsonl", "truth.jsonl")
    )
    assert summary["fruits"] == len(decisions) >= 2
    newest = max(row["last_frame"] for row in truth)
    assert newest >= max(row["last_frame"] for row in decisions)
    from_frame = json.loads((out / "scene.json").read_text("utf-8"))["from_frame"]
    assert from_frame <= min(row["first_frame"] for row in decisions)
    assert from_frame == 0 or clock == "real"
    counting = ripeline("score", out, out, "--json").document["counting"]
    assert counting["true"] == len(truth)
    assert counting["found"]["k"] == len(decisions)
    assert counting["spurious"]["k"] == counting["doubled"]["k"] == 0
    if clock == "virtual":
        assert newest == summary["frames"]["read"] - 1
        assert len(truth) <= len(decisions) + 1
    else:
        # A slow machine may have joined the line when some fruit had passed.
        assert newest < 30 * (time.monotonic() - begun_s)


@pytest.mark.parametrize("source", ["sim:{}", "sim:{}?clock=real"])
def test_a_line_that_never_got_a_picture_is_scored_as_blind(
    source: str, bundle_dir: Path, tmp_path: Path, ripeline: Ripeline
) -> None:
    (tmp_path / "blind.toml").write_text(
        'base = "calm"\nseconds = 4.0\n[[fault]]\nkind = "dropped"\nat_s = 0\nfor_s = 9\n'
    )
    out = tmp_path / "out"
    run = ripeline("run", bundle_dir, "--source", source.format(tmp_path / "blind.toml"), "-o", out)
    assert run.code == 0, run.stderr
    assert "no picture arrived" in run.stderr
    assert (out / "decisions.jsonl").read_bytes() == b""
    scored = ripeline("score", out, out, "--json")
    assert scored.code == 0, scored.stderr
    counting = scored.document["counting"]
    assert counting["unseen"] == counting["true"] > 0


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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[safety.heartbeat.modbus]\nhost = 'io'\ncoil = 0\n", "names outputs"),
        (
            "[belt]\nmm_per_px = 0.4\n[[ejector]]\nat_mm = 300.0\n[ejector.gpio]\nchip = '/dev/gpiochip0'\nline = 4\n",
            "names outputs",
        ),
        ("[[report]]\nname = 'plant'\n[report.jsonl]\nfile = 'a.jsonl'\n", "names receivers"),
    ],
)
def test_a_live_line_in_one_process_does_not_pretend_to_throw_out_or_report(
    ripeline_here: Callable[..., Outcome], bundle_dir: Path, tmp_path: Path, text: str, named: str
) -> None:
    config = tmp_path / "line.toml"
    config.write_text(text)
    words = ["--source", "http://127.0.0.1:9/video", "--config", config, "-o", tmp_path / "out", "--one-process"]
    refused = ripeline_here("run", bundle_dir, *words, "--artefact", "tflite-fp32")
    assert (refused.code, named in refused.stderr) == (2, True), refused.stderr
    assert not (tmp_path / "out").exists()
