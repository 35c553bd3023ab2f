"""Hand records to one receiver, in order, each until it is acknowledged, however long the receiver is away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from edge_runtime.errors import RipelineError
from edge_runtime.journaling.journal import Journal
from edge_runtime.journaling.journal_trouble import JournalError, Trouble
from edge_runtime.ports import RecordReporter

_BATCH = 200
_IDLE_S = 0.1
_COUNT_S = 2.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class ReporterFacts:
    """How one receiver is, for people and alarms.

    `waiting` records have not been acknowledged, the oldest was decided at `oldest`; `error` is why, and None while the
    receiver takes what it gets.
    """

    name: str
    connected: bool = False
    waiting: int = 0
    oldest: str | None = None
    delivered: int = 0
    error: str | None = None


class Drain:
    """A thread that hands a journal's records to one receiver, with a back-off that doubles up to 30 s.

    Args:
        journal: File of the journal.
        name: Under which the journal keeps how far the receiver has come.
        open_reporter: Connects; called again after each failure, since half-dead connections do not mend.
        on_broken: Called when the journal turns out to be damaged.
    """

    def __init__(
        self,
        journal: Path,
        name: str,
        open_reporter: Callable[[], RecordReporter],
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._file, self._name = journal, name
        self._open_reporter, self._on_broken = open_reporter, on_broken
        self._stop = Event()
        self._facts = ReporterFacts(name)
        self._delivered = 0
        self._thread = Thread(target=self._run, name=f"report {name}", daemon=True)
        self._thread.start()

    def facts(self) -> ReporterFacts:
        """How it stands."""
        return self._facts

    def lives(self) -> bool:
        """Whether the thread is there, which only a want of memory can end."""
        return self._thread.is_alive()

    def is_behind(self) -> bool:
        """Whether the receiver lacks records; True where the journal cannot tell."""
        lacking = self._lacking()
        return lacking is None or lacking[0] > 0

    def stop(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end; a receiver that hangs is left behind with its thread."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            before = self._delivered
            try:
                self._deliver_while_it_works()
            except Exception as error:  # a receiver's library may raise anything, and the thread must live on
                words = str(error) if isinstance(error, RipelineError) else f"{type(error).__name__}: {error}"
                self._tell(connected=False, error=" ".join(words.splitlines()))
                if isinstance(error, JournalError) and error.trouble is Trouble.BROKEN:
                    self._on_broken()
            wait_s = _FIRST_WAIT_S if self._delivered > before else min(wait_s * 2, _LONGEST_WAIT_S)
            self._wait(wait_s)

    def _wait(self, wait_s: float) -> None:
        """Until the next try; what the receiver lacks meanwhile is counted on, since people ask then most of all."""
        ends = time.monotonic() + wait_s
        while (left_s := ends - time.monotonic()) > 0 and not self._stop.is_set():
            if (lacking := self._lacking()) is not None:
                facts = self._facts
                self._tell(connected=facts.connected, error=facts.error, waiting=lacking[0], oldest=lacking[1])
            self._stop.wait(min(left_s, _COUNT_S))

    def _lacking(self) -> tuple[int, str | None] | None:
        """How many records the receiver lacks, and since when; None where the journal cannot tell."""
        try:
            with contextlib.closing(Journal(self._file)) as journal:
                return journal.waiting(self._name)
        except JournalError:
            return None

    def _deliver_while_it_works(self) -> None:
        """Returns when told to stop, or when the journal has been begun anew."""
        with contextlib.closing(Journal(self._file)) as journal, contextlib.closing(self._open_reporter()) as reporter:
            counted_at = 0.0
            self._tell(connected=True, error=None)
            while not self._stop.is_set() and journal.is_current():
                records = journal.after(self._name, _BATCH)
                if records:
                    reporter.deliver(records)
                    journal.acknowledge(self._name, records[-1].key)
                    self._delivered += len(records)
                now = time.monotonic()
                if now - counted_at >= _COUNT_S:
                    reporter.check()
                    waiting, oldest = journal.waiting(self._name)
                    self._tell(connected=True, error=None, waiting=waiting, oldest=oldest)
                    counted_at = now
                if len(records) < _BATCH:
                    self._stop.wait(_IDLE_S)

    def _tell(
        self, *, connected: bool, error: str | None, waiting: int | None = None, oldest: str | None = None
    ) -> None:
        if waiting is None:
            waiting, oldest = self._facts.waiting, self._facts.oldest
        self._facts = ReporterFacts(self._name, connected, waiting, oldest, self._delivered, error)
