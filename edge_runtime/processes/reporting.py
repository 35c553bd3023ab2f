"""What the reporter process does: the journal, and everybody who gets its records. Killed and started again at will."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from edge_runtime.journaling.drain import Drain
from edge_runtime.journaling.journal_facts import FACTS, write_facts
from edge_runtime.journaling.recorder import Recorder
from edge_runtime.ports import RecordReporter
from edge_runtime.reporters import open_reporter
from edge_runtime.reporters.jsonl import JsonlLog
from edge_runtime.settings.config import LineConfig

SPOOL = "spool"
OWN_FILE = "decisions.jsonl"
_FACTS_S = 1.0
_IDLE_S = 0.03


class Reporting:
    """Keeps the journal and drains it; `work` is to be called in a loop.

    Args:
        runtime: Folder in memory with the spool; `reporting.json` goes there.
        journal: File of the journal; its folder is made where it is missing.
        config: Of the line.
        decisions_file: `decisions.jsonl`, written as one more receiver; None for none.
    """

    def __init__(self, runtime: Path, journal: Path, config: LineConfig, decisions_file: Path | None = None) -> None:
        self._runtime = runtime
        with suppress(OSError):  # the recorder says what is wrong with the folder
            journal.parent.mkdir(parents=True, exist_ok=True)
        openers: dict[str, Callable[[], RecordReporter]] = {
            one.name: partial(open_reporter, one, config.name) for one in config.report
        }
        if decisions_file is not None:
            openers[OWN_FILE] = partial(JsonlLog, decisions_file)
        self._recorder = Recorder(runtime / SPOOL, journal, config.journal, tuple(openers))
        self._drains = [Drain(journal, name, opener, self._recorder.suspect) for name, opener in openers.items()]
        self._told_at = 0.0

    def work(self) -> None:
        """One round, some 30 ms where there is nothing to do; MemoryError where a receiver's thread has died of one."""
        if not all(one.lives() for one in self._drains):
            raise MemoryError("a receiver is not served any more")
        if not self._recorder.work():
            time.sleep(_IDLE_S)
        now = time.monotonic()
        if now - self._told_at >= _FACTS_S:
            self._told_at = now
            self._tell()

    def close(self, timeout_s: float = 2.0) -> None:
        """Record what waits, let receivers take what they can within `timeout_s`, and let go."""
        ends = time.monotonic() + timeout_s
        while self._recorder.work() and time.monotonic() < ends:
            pass
        while time.monotonic() < ends and any(one.facts().connected and one.is_behind() for one in self._drains):
            time.sleep(_IDLE_S)
        for one in self._drains:
            one.stop()
        for one in self._drains:
            one.join(max(0.1, ends - time.monotonic()))
        self._tell()
        self._recorder.close()

    def _tell(self) -> None:
        document = {
            "journal": dataclasses.asdict(self._recorder.facts()),
            "reporters": [dataclasses.asdict(one.facts()) for one in self._drains],
        }
        write_facts(self._runtime / FACTS, document)
