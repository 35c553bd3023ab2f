"""A start that is refused, ended or killed costs nobody an earlier result, whatever `--force` says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ripeline.earlier_result import check, replacing
from tests.broker import free_port
from tests.ripeline.live import start

if TYPE_CHECKING:
    from tests.conftest import Ripeline

pytestmark = pytest.mark.usefixtures("the_line")


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

    with pytest.raises(KeyboardInterrupt):
        refused()
    assert contents(earlier) == EARLIER


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A network camera that takes the call and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/belt.mjpg"


@contextmanager
def waiting_for_its_camera(bundle: Path, url: str, earlier: Path) -> Iterator[subprocess.Popen[str]]:
    """A start with `--force` that has put the earlier result aside and has no picture yet; killed as a whole."""
    process = start(bundle, url, earlier, "--force", new_session=True)
    try:
        for _ in range(600):
            if not (earlier / "mine.txt").exists():
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        time.sleep(1.0)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_line_that_is_told_to_end_before_its_first_picture_leaves_an_earlier_result_as_it_was(
    bundle_dir: Path, earlier: Path, silent_url: str
) -> None:
    with waiting_for_its_camera(bundle_dir, silent_url, earlier) as process:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "before the source gave a picture" in said
    assert contents(earlier) == EARLIER


def test_a_start_that_is_killed_loses_no_earlier_result(
    ripeline: Ripeline, bundle_dir: Path, earlier: Path, silent_url: str, camera_url: str
) -> None:
    with waiting_for_its_camera(bundle_dir, silent_url, earlier) as process:
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
