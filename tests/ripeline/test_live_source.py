"""A live source, a real process and a real signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from ripeline.earlier_result import check, replacing
from tests.broker import free_port
from tests.mjpeg import jpegs_of, served

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline


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


def start(bundle: Path, source: str, output: Path, *options: str, new_session: bool = False) -> subprocess.Popen[str]:
    words = ["run", str(bundle), "--source", source, "-o", str(output), "--artefact", "tflite-fp32", "--json", *options]
    command = [sys.executable, "-m", "ripeline.main", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=new_session
    )


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
        stdout, stderr = process.communicate(timeout=60)
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


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


EARLIER = {
    "decisions.jsonl": b"{}\n",
    "summary.json": b"{}",
    "unfamiliar/unsorted/1.png": b"a picture",
    "mine.txt": b"",
}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An earlier result."""
    folder = tmp_path / "out"
    for name, data in EARLIER.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refusal(
    request: pytest.FixtureRequest, camera_url: str, taken_port: int, tmp_path: Path
) -> tuple[list[str], dict[str, str], str]:
    """Options of a run that cannot start, its environment, and what it must say."""
    config, name = tmp_path / "line.toml", f"refused-{os.getpid()}"
    coil = f'host = "127.0.0.1"\nport = {free_port()}\ncoil = 0\n'
    texts = {"health": f"[health]\nport = {taken_port}\n", "output": f"[safety.heartbeat.modbus]\n{coil}"}
    config.write_text(f'name = "{name}"\n' + texts.get(request.param, ""))
    words = ["--source", camera_url, "--config", str(config), "--force"]
    match request.param:
        case "health":
            return words, {}, f"port {taken_port}"
        case "output":
            return words, {}, "Modbus coil 0"
        case "camera":
            return ["--source", "http://127.0.0.1:9/video", *words[2:]], {}, "127.0.0.1:9"
        case "encoder":
            return [*words, "--encoder", str(tmp_path / "none.csv")], {}, "none.csv"
        case "picture":
            config.write_text(f'name = "{name}"\n[processes]\nframe_mb = 0.1\n')
            return words, {}, "pictures of"
        case _:
            folder = tmp_path / ("deep" * 30)
            return words, {"RUNTIME_DIRECTORY": str(folder)}, "too long for a socket"


@pytest.mark.parametrize("refusal", ["health", "output", "camera", "encoder", "picture", "runtime"], indirect=True)
def test_a_start_that_is_refused_leaves_an_earlier_result_as_it_was(
    ripeline: Ripeline, bundle_dir: Path, earlier: Path, refusal: tuple[list[str], dict[str, str], str]
) -> None:
    words, env, said = refusal
    outcome = ripeline("run", bundle_dir, "-o", earlier, "--artefact", "tflite-fp32", *words, env=env)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert contents(earlier) == EARLIER


@pytest.mark.parametrize("left", ["moving", "replaced", "removed"])
def test_wherever_a_start_was_killed_the_next_one_finds_the_earlier_result(earlier: Path, left: str) -> None:
    aside = earlier / f".ripeline-{left}"
    aside.mkdir()
    match left:
        case "moving":
            (earlier / "mine.txt").rename(aside / "mine.txt")
        case "replaced":
            for entry in list(earlier.iterdir()):
                if entry != aside:
                    entry.rename(aside / entry.name)
            (earlier / "decisions.jsonl").write_text("of the start that was killed")
        case "removed":
            (aside / "old.txt").write_text("of one before")
    check(earlier, marker="decisions.jsonl", force=True)

    def refused() -> None:
        with replacing(earlier, marker="decisions.jsonl", force=True):
            assert contents(earlier).keys() == {f".ripeline-replaced/{name}" for name in EARLIER}
            (earlier / "decisions.jsonl").write_text("new")
            raise KeyboardInterrupt

    pytest.raises(KeyboardInterrupt, refused)
    assert contents(earlier) == EARLIER


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A network camera that takes the call and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/belt.mjpg"


def test_a_line_that_is_told_to_end_before_its_first_picture_leaves_an_earlier_result_as_it_was(
    bundle_dir: Path, earlier: Path, silent_url: str
) -> None:
    process = start(bundle_dir, silent_url, earlier, "--force")
    try:
        for _ in range(600):
            if not (earlier / "mine.txt").exists():
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "before the source gave a picture" in said
    assert contents(earlier) == EARLIER


def test_a_start_that_is_killed_loses_no_earlier_result(
    ripeline: Ripeline, bundle_dir: Path, earlier: Path, silent_url: str, camera_url: str
) -> None:
    process = start(bundle_dir, silent_url, earlier, "--force", new_session=True)
    try:
        for _ in range(600):
            if not (earlier / "mine.txt").exists():
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        time.sleep(1.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert contents(earlier) != EARLIER, "it was killed while it waited for its camera"
    words = ["run", bundle_dir, "-o", earlier, "--artefact", "tflite-fp32", "--source"]
    assert ripeline(*words, "http://127.0.0.1:9/video").code == 2
    refused = ripeline(*words, "http://127.0.0.1:9/video", "--force")
    assert (refused.code, "127.0.0.1:9" in refused.stderr) == (2, True)
    assert contents(earlier) == EARLIER
    assert ripeline(*words, camera_url, "--force", "--duration", "1").code == 0
    assert not any(name in contents(earlier) for name in ("mine.txt", "unfamiliar/unsorted/1.png"))
    assert not [path.name for path in earlier.iterdir() if path.name.startswith(".")]


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
