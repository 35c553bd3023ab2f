"""Faults of disks, receivers and the reporter process itself: no decision is lost, none arrives twice."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from edge_runtime.decision_record import RunIdentity
from edge_runtime.drain import ReporterFacts
from edge_runtime.journal import Journal
from edge_runtime.reporting import OWN_FILE, SPOOL, read_facts
from edge_runtime.spool import SpoolWriter
from tests.broker import Broker, Subscriber, running_broker, slow_link, wait_until
from tests.decisions import decision
from tests.disks import small_disk

FaultTable = Callable[..., None]
REPORTER = """
import sys
from pathlib import Path
from edge_runtime.config_file import load_line_config
from edge_runtime.reporting import Reporting
folder, journal = Path(sys.argv[1]), Path(sys.argv[2])
reporting = Reporting(folder / "run", journal, load_line_config(folder / "line.toml"), folder / "decisions.jsonl")
while True:
    reporting.work()
"""


class Line:
    """A spool that decisions go into, and a reporter process that can be killed, stopped and started again."""

    def __init__(self, folder: Path, journal: Path, settings: str, env: Mapping[str, str]) -> None:
        self.folder, self.journal, self._env = folder, journal, env
        self.runtime = folder / "run"
        self.runtime.mkdir()
        (folder / "line.toml").write_text(f'name = "north"\n[journal]\nkeep_free_mb = 0\n{settings}')
        self._spool = SpoolWriter(self.runtime / SPOOL, RunIdentity.new("north"))
        self._process: subprocess.Popen[bytes] | None = None
        self.decided = 0

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", REPORTER, self.folder, self.journal], env=os.environ | self._env
        )
        return self

    def decide(self, count: int) -> None:
        for _ in range(count):
            self.decided += 1
            self._spool.append(decision(self.decided))
        assert self._spool.lost == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def starve(self) -> None:
        """It gets no more memory than it has."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_AS, (1_000_000, resource.RLIM_INFINITY))

    def ended(self) -> int:
        """Waits until it has by itself; how."""
        assert self._process is not None
        return self._process.wait(60)

    def receivers(self) -> tuple[ReporterFacts, ...]:
        facts = read_facts(self.runtime)
        return () if facts is None else facts[1]

    def recorded(self) -> Counter[int]:
        with Journal(self.journal) as journal:
            return Counter(one.key.fruit_id for one in journal.after("nobody", 1_000_000))

    def trouble(self) -> str | None:
        facts = read_facts(self.runtime)
        return None if facts is None else facts[0].trouble

    def in_file(self) -> Counter[int]:
        file = self.folder / OWN_FILE
        text = file.read_text("utf-8") if file.exists() else ""
        return numbers(text[: text.rfind("\n") + 1].splitlines())

    def everything(self) -> Counter[int]:
        return Counter(range(1, self.decided + 1))


def numbers(documents: list[str]) -> Counter[int]:
    return Counter(json.loads(one)["fruit_id"] for one in documents)


def lost_and_doubled(found: Counter[int], line: Line) -> dict[str, int]:
    return {"lost": (line.everything() - found).total(), "doubled": (found - line.everything()).total()}


@contextmanager
def line_with(
    folder: Path, port: int | None, journal: Path | None = None, *, env: Mapping[str, str] | None = None
) -> Iterator[Line]:
    report = ""
    if port is not None:
        report = f'[[report]]\nname = "plant"\n[report.mqtt]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n'
    line = Line(folder, journal or folder / "journal.db", report, env or {})
    try:
        yield line.start()
    finally:
        line.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "broker").mkdir()
    with running_broker(tmp_path / "broker") as running:
        yield running


def test_a_reporter_that_is_killed_again_and_again(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        for round_ in range(3):
            line.decide(150)
            wait_until(lambda before=150 * round_: len(subscriber.payloads()) > before, "some decisions to arrive")
            line.kill()
            line.decide(50)
            line.start()
        wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "the rest to arrive")
        wait_until(lambda: not line.everything() - line.in_file(), "the rest to be in the file")
        found = [lost_and_doubled(numbers(subscriber.payloads()), line), lost_and_doubled(line.in_file(), line)]
        found.append(lost_and_doubled(line.recorded(), line))
    assert found == [{"lost": 0, "doubled": 0}] * 3
    fault_table("reporter process killed three times (SIGKILL)", **found[0], note="MQTT receiver, file and journal")


def test_a_broker_that_comes_late(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with Subscriber(broker, "ripeline/north/decisions") as subscriber:
        broker.end()
        with line_with(tmp_path, broker.port) as line:
            line.decide(300)
            wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all without a broker")
            broker.start()
            begun = time.monotonic()
            wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "all to arrive")
            took_ms = (time.monotonic() - begun) * 1000
            found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    fault_table("broker down from the start", **found, recovered_ms=took_ms)


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        line.decide(200)
        wait_until(lambda: len(subscriber.payloads()) == 200, "the first to arrive")
        broker.end(signal.SIGTERM)
        line.decide(200)
        wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all without a broker")
        broker.start()
        begun = time.monotonic()
        line.decide(200)
        wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "the rest to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    fault_table("broker restarted", **found, recovered_ms=took_ms)


def test_a_broker_that_hangs(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        line.decide(50)
        wait_until(lambda: len(subscriber.payloads()) == 50, "the first to arrive")
        broker.pause()
        line.decide(500)
        wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all beside a broker that hangs")
        wait_until(lambda: line.in_file() == line.everything(), "the other receiver to get all")
        broker.resume()
        begun = time.monotonic()
        wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "the rest to arrive")
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    fault_table("broker hangs (SIGSTOP)", **found, recovered_ms=took_ms, note="the other receiver is not held up")


def test_a_broker_that_is_slow(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    """A batch of decisions takes this link longer than a broker that hangs would be given."""
    with (
        slow_link(broker.port, 6_000) as port,
        line_with(tmp_path, port) as line,
        Subscriber(broker, "ripeline/north/decisions") as subscriber,
    ):
        begun = time.monotonic()
        line.decide(300)
        wait_until(lambda: line.in_file() == line.everything(), "the other receiver to get all")
        assert len(subscriber.payloads()) < 200, "the link was slow"
        told = set()
        while line.everything() - numbers(subscriber.payloads()):
            assert time.monotonic() - begun < 120
            told |= {one.error for one in line.receivers()}
            time.sleep(0.2)
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    assert told == {None}, "slow is not away"
    fault_table("broker slow (6 kB/s)", **found, recovered_ms=took_ms, note="the other receiver is not held up")


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
