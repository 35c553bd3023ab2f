"""Shared memory: room that is really there, nothing left behind, and rows that no kill takes back."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import InputError
from edge_runtime.processes.row_files import RowFiles
from edge_runtime.processes.rows import SLOTS, Rows
from edge_runtime.processes.shared import FOLDER, new_segment, remove_leftovers
from tests.conftest import Ripeline
from tests.disks import small_disk

LINE = f"shared-memory-{os.getpid()}"


@pytest.fixture
def rows() -> Iterator[Rows]:
    made = Rows.new(LINE)
    yield made
    made.close(remove=True)


def test_more_room_than_there_is_is_refused_and_nothing_stays() -> None:
    before = set(FOLDER.iterdir())
    size = 2 * shutil.disk_usage(FOLDER).total
    with pytest.raises(InputError, match=f"MB are free.*\nExpected: {size / 1e6:.1f} MB\nTo do: .*frame_mb"):
        new_segment(LINE, size, "pictures")
    assert set(FOLDER.iterdir()) == before


def test_what_a_killed_run_left_is_removed_and_no_other_line_s() -> None:
    mine, other = new_segment(LINE, 100, "a test"), new_segment(f"{LINE}-two", 100, "a test")
    for memory in (mine, other):
        memory.close()
        memory.unlink()
        (FOLDER / memory.name).write_bytes(b"left")
    remove_leftovers(LINE)
    assert not (FOLDER / mine.name).exists()
    assert (FOLDER / other.name).exists()
    remove_leftovers(f"{LINE}-two")
    assert not (FOLDER / other.name).exists()


def test_rows_wait_until_they_are_forgotten_and_say_when_there_is_no_room(rows: Rows) -> None:
    assert rows.put({"number": 0})
    assert not rows.put({"too long": "x" * 1000})
    assert rows.waiting() == [b'{"number":0}'] == rows.waiting()
    assert rows.count == 1
    rows.forget(1)
    assert rows.count == 0
    assert rows.waiting() == []
    assert all(rows.put({"number": number}) for number in range(SLOTS))
    assert not rows.put({"number": SLOTS})
    rows.forget(1)
    assert rows.put({"number": SLOTS})
    assert [json.loads(row)["number"] for row in rows.waiting()] == list(range(1, SLOTS + 1))


def write_for_ever(name: str) -> None:
    rows = Rows.open(name)
    number = json.loads(waiting[-1])["number"] + 1 if (waiting := rows.waiting()) else 0
    while True:
        number += rows.put({"number": number, "filling": "x" * (number % 300)})


def keep_for_ever(name: str, folder: Path) -> None:
    rows, files = Rows.open(name), RowFiles(folder)
    while True:
        rows.forget(files.keep(rows.waiting()[:7]))


def test_each_row_is_kept_once_whoever_is_killed_wherever(rows: Rows, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    file = tmp_path / "firings.jsonl"
    writer = context.Process(target=write_for_ever, args=(rows.name,), daemon=True)
    writer.start()
    for _ in range(4):
        before = file.stat().st_size if file.exists() else 0
        keeper = context.Process(target=keep_for_ever, args=(rows.name, tmp_path), daemon=True)
        keeper.start()
        end = time.monotonic() + 60
        while (file.stat().st_size if file.exists() else 0) < before + 50_000:
            assert time.monotonic() < end
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        keeper.join()
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    files = RowFiles(tmp_path)
    while waiting := rows.waiting():
        rows.forget(files.keep(waiting))
    kept = [json.loads(row)["number"] for row in file.read_bytes().splitlines()]
    assert kept == list(range(len(kept)))
    assert len(kept) > 500


def test_rows_wait_while_the_disk_is_full(rows: Rows, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        files = RowFiles(disk)
        assert files.keep([b'{"number":0}', b'{"state":"safe"}']) == 2
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(100_000))
        many = [b'{"number":%d}' % number for number in range(1, 600)]
        kept = files.keep(many)
        assert kept < len(many), "the disk was full"
        ballast.unlink()
        assert files.keep(many[kept:]) == len(many) - kept
        assert (disk / "firings.jsonl").read_bytes().splitlines() == [b'{"number":0}', *many]
        assert (disk / "states.jsonl").read_bytes() == b'{"state":"safe"}\n'


def bytes_read() -> int:
    """By this process so far (proc_pid_io(5))."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_full_disk_is_tried_once_a_second_and_at_the_end(rows: Rows, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3000) as disk:
        (disk / "firings.jsonl").write_bytes(b'{"number":0}\n' * 180_000)
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(4_000_000))
        assert all(rows.put({"number": number, "filling": "x" * 400}) for number in range(1, 30))
        files, before = RowFiles(disk), bytes_read()
        for _ in range(30):
            files.take(rows, 100.0)
        assert rows.count > 0, "the disk was full"
        assert bytes_read() - before < 4_000_000, "the end of the file is read once, not in each round"
        ballast.unlink()
        files.take(rows, 100.9)
        assert rows.count > 0
        files.take(rows, 101.0)
        assert rows.count == 0
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(4_000_000))
        assert all(rows.put({"number": number, "filling": "x" * 400}) for number in range(30, 60))
        files.take(rows, 102.0)
        ballast.unlink()
        files.take(rows, math.inf)
        assert rows.count == 0
        kept = [json.loads(row)["number"] for row in (disk / "firings.jsonl").read_bytes().splitlines()]
        assert kept == [0] * 180_000 + list(range(1, 60))


def test_a_run_that_gets_too_little_shared_memory_is_told_how_much_it_needs(
    ripeline: Ripeline, bundle_dir: Path, tmp_path: Path
) -> None:
    """What a container gives, 64 MB, is less than this line wants: the kernel would end it at the first picture."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody have an own /dev/shm")
    config = tmp_path / "line.toml"
    config.write_text(f'name = "{LINE}"\n[processes]\nframe_mb = 100\n')
    out = tmp_path / "out"
    words = ["run", str(bundle_dir), "--source", "sim:calm?clock=real", "--config", str(config), "-o", str(out)]
    words += ["--engine", "onnxruntime", "--artefact", "onnx-fp32", "--duration", "5"]
    command = shlex.join([sys.executable, "-m", "ripeline.main", *words])
    inside = f"mount -t tmpfs -o size=64m tmpfs {FOLDER} && exec {command}"
    refused = subprocess.run(["unshare", "--mount", "sh", "-c", inside], check=False, capture_output=True, text=True)
    assert refused.returncode == 2, refused.stderr
    assert "4 pictures of 100 MB: of its 67.1 MB, 67" in refused.stderr
    assert "400.0 MB" in refused.stderr
    assert "frame_mb" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not out.exists()
