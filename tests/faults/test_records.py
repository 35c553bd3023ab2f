"""Faults of disks, power and the reporter process itself: no decision is lost, none arrives twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.journaling.journal_facts import read_facts
from tests.broker import wait_until
from tests.disks import small_disk
from tests.faults.recording import line_with, lost_and_doubled

FaultTable = Callable[..., None]


def test_a_reporter_that_gets_no_more_memory(tmp_path: Path, fault_table: FaultTable) -> None:
    """Nor has it any to spare: it asks for the room of each batch, and finds no other where that is refused."""
    env = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    with line_with(tmp_path, None, env=env) as line:
        line.decide(10)
        wait_until(lambda: line.in_file() == line.everything(), "the first to arrive")
        line.starve()
        line.decide(3000)
        assert line.ended() != 0
        begun = time.monotonic()
        line.start()
        wait_until(lambda: line.in_file() == line.everything(), "the rest to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = [lost_and_doubled(line.in_file(), line), lost_and_doubled(line.recorded(), line)]
    assert found == [{"lost": 0, "doubled": 0}] * 2
    fault_table("no more memory for reporter", **found[0], recovered_ms=took_ms, note="decisions wait in memory")


def test_a_disk_that_is_full(tmp_path: Path, fault_table: FaultTable) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk, line_with(tmp_path, None, disk / "journal.db") as line:
        line.decide(10)
        wait_until(lambda: line.in_file() == line.everything(), "the first to arrive")
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(4_200_000))
        line.decide(1000)
        wait_until(lambda: line.trouble() == "full", "the alarm's cause to be told")
        ballast.unlink()
        begun = time.monotonic()
        wait_until(lambda: line.in_file() == line.everything(), "the rest to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(line.recorded(), line)
    assert found == {"lost": 0, "doubled": 0}
    fault_table("journal's disk full", **found, recovered_ms=took_ms, note="decisions wait in memory")


def test_a_disk_that_turns_read_only(tmp_path: Path, fault_table: FaultTable) -> None:
    with small_disk(tmp_path / "disk", 8192) as disk, line_with(tmp_path, None, disk / "journal.db") as line:
        line.decide(10)
        wait_until(lambda: line.in_file() == line.everything(), "the first to arrive")
        line.kill()  # or files that are open for writing would hold the disk
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        line.start()
        line.decide(100)
        wait_until(lambda: line.trouble() == "read-only", "the alarm's cause to be told")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        begun = time.monotonic()
        wait_until(lambda: line.in_file() == line.everything(), "the rest to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(line.recorded(), line)
    assert found == {"lost": 0, "doubled": 0}
    fault_table("journal's disk read-only", **found, recovered_ms=took_ms, note="decisions wait in memory")


def test_a_journal_that_is_damaged_while_it_is_open(tmp_path: Path, fault_table: FaultTable) -> None:
    with line_with(tmp_path, None) as line:
        line.decide(500)
        wait_until(lambda: line.in_file() == line.everything(), "the first to arrive")
        size = line.journal.stat().st_size + 1_000_000
        for suffix in ("", "-wal", "-shm"):
            file = line.journal.with_name(line.journal.name + suffix)
            with file.open("r+b") as stream:
                stream.write(os.urandom(min(size, max(4096, file.stat().st_size))))
        begun = time.monotonic()
        line.decide(300)
        wait_until(lambda: line.in_file() == line.everything(), "those decided afterwards to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(line.in_file(), line)
        kept = list(tmp_path.glob("journal.db.broken-*Z"))
        wait_until(lambda: (facts := read_facts(line.runtime)) is not None and facts[0].set_aside, "the alarm's cause")
    assert found == {"lost": 0, "doubled": 0}
    assert kept
    fault_table("journal damaged while it is open", **found, recovered_ms=took_ms, note="set aside and kept")


def test_a_power_cut_costs_the_last_moment_alone(tmp_path: Path, fault_table: FaultTable) -> None:
    """What lay in memory is gone with it: the spool, and whatever the reporter had in hand."""
    lags_ms, lost = [], 0
    for cut in range(4):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        with line_with(folder, None) as line:
            wait_until(lambda line=line: read_facts(line.runtime) is not None, "it to be there")
            decided_s = []
            for _ in range(60 + 7 * cut):
                line.decide(1)
                decided_s.append(time.monotonic())
                time.sleep(0.02)
            cut_s = time.monotonic()
            line.kill()
            shutil.rmtree(line.runtime)
            kept = line.recorded()
            assert sorted(kept) == list(range(1, len(kept) + 1)), "the first ones, and none of them twice"
            lost += line.decided - len(kept)
            lags_ms += [(cut_s - at_s) * 1000 for at_s in decided_s[len(kept) :]]
    oldest = f"the oldest of them was decided {max(lags_ms):.0f} ms before" if lags_ms else "none in four cuts"
    fault_table(
        "power cut (memory gone)", lost=lost, note=f"in four cuts of a line with 50 decisions a second; {oldest}"
    )
    assert lost < 4 * 50, "a second's worth each: what is decided does not stay in memory"
