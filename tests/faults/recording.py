"""The way of records alone: a spool, a reporter process, and how a test breaks it and sees what comes of that."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edge_runtime.decision_record import RunIdentity
from edge_runtime.journaling.drain import ReporterFacts
from edge_runtime.journaling.journal import Journal
from edge_runtime.journaling.journal_facts import read_facts
from edge_runtime.journaling.spool import SpoolWriter
from edge_runtime.processes.reporting import OWN_FILE, SPOOL
from tests.decisions import decision

REPORTER = """
import sys
from pathlib import Path
from edge_runtime.settings.config_file import load_line_config
from edge_runtime.processes.reporting import Reporting
folder, journal = Path(sys.argv[1]), Path(sys.argv[2])
reporting = Reporting(folder / "run", journal, load_line_config(folder / "line.toml"), folder / "decisions.jsonl")
while True:
    reporting.work()
"""


class Records:
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

    def lacking(self, receiver: str) -> int:
        """How many records wait for one, as people are told."""
        return sum(one.waiting for one in self.receivers() if one.name == receiver)

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


def lost_and_doubled(found: Counter[int], line: Records) -> dict[str, int]:
    return {"lost": (line.everything() - found).total(), "doubled": (found - line.everything()).total()}


@contextmanager
def line_with(
    folder: Path, port: int | None, journal: Path | None = None, *, env: Mapping[str, str] | None = None
) -> Iterator[Records]:
    report = ""
    if port is not None:
        report = f'[[report]]\nname = "plant"\n[report.mqtt]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n'
    line = Records(folder, journal or folder / "journal.db", report, env or {})
    try:
        yield line.start()
    finally:
        line.kill()
