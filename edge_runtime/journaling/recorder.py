"""From the spool into the journal, whatever the disk does: batches, retries, setting aside, retention."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from edge_runtime.journaling.journal import Journal
from edge_runtime.journaling.journal_trouble import JournalError, Trouble, set_aside, set_aside_files
from edge_runtime.journaling.spool import Batch, SpoolReader
from edge_runtime.settings.record_settings import JournalSettings

_RETRY_S = 1.0
_PRUNE_S = 60.0
_PRUNE_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """How the journal is, for people and alarms.

    `trouble` is None while it can be written. `waiting_bytes` lies in the spool. `set_aside` are damaged files that
    lie beside it until somebody takes them away. `pruned_undelivered` counts records that had to go before a receiver
    had them, `unreadable` lines of the spool that were no records.
    """

    file: str
    trouble: str | None = None
    detail: str = ""
    waiting_bytes: int = 0
    recorded: int = 0
    unreadable: int = 0
    pruned_undelivered: int = 0
    used_mb: float = 0.0
    set_aside: tuple[str, ...] = ()
    verdicts: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Moves records from the spool to the journal; for one thread.

    A record leaves the spool only after its commit, so a kill at any moment costs nothing. While the journal cannot be
    written the spool holds what comes, and the journal is tried again every second. A damaged file is set aside.

    Args:
        spool: Folder of the spool.
        file: The journal; its folder must exist.
        settings: Retention.
        reporters: Names of those whose acknowledgement a record waits for.
    """

    def __init__(self, spool: Path, file: Path, settings: JournalSettings, reporters: Sequence[str]) -> None:
        self._spool = SpoolReader(spool)
        self._file, self._settings, self._reporters = file, settings, tuple(reporters)
        self._journal: Journal | None = None
        self._suspected = Event()
        self._retry_at = self._prune_at = 0.0
        self._trouble: JournalError | None = None
        self._recorded = self._unreadable = self._undelivered = 0
        self._used_bytes = 0
        self._verdicts: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()

    def suspect(self) -> None:
        """The journal was found damaged, by another thread that reads it."""
        self._suspected.set()

    def work(self) -> bool:
        """Take over one batch; whether there was one. Raises nothing that a disk can do."""
        now = time.monotonic()
        if now < self._retry_at:
            return False
        try:
            batch = self._spool.read()
            journal = self._opened()
            if self._trouble is not None:
                self._prune(journal, now)  # there may be room to make
            if batch.records:
                journal.append(batch.records)
            if now >= self._prune_at:
                self._prune(journal, now)
            self._trouble = None
        except JournalError as error:
            self._on_trouble(error, now)
            return False
        except OSError as error:
            self._on_trouble(JournalError(f"The spool cannot be read ({error.strerror})."), now)
            return False
        self._spool.forget(batch)
        self._count(batch)
        return bool(batch.records)

    def facts(self) -> JournalFacts:
        """How it stands."""
        with suppress(OSError):
            waiting = self._spool.waiting_bytes()
            return JournalFacts(
                str(self._file),
                None if self._trouble is None else self._trouble.trouble.value,
                "" if self._trouble is None else self._trouble.what,
                waiting,
                self._recorded,
                self._unreadable,
                self._undelivered,
                round(self._used_bytes / 1e6, 3),
                tuple(map(str, set_aside_files(self._file))),
                dict(self._verdicts),
                dict(self._labels),
            )
        return JournalFacts(str(self._file), Trouble.OTHER.value, "The spool cannot be read.")

    def close(self) -> None:
        """Let go of the journal; what waits in the spool is for the next one."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _opened(self) -> Journal:
        if self._suspected.is_set():
            self._suspected.clear()
            raise JournalError(f"The journal {self._file} is damaged.", Trouble.BROKEN)
        if self._journal is not None and not self._journal.is_current():
            self.close()
        if self._journal is None:
            self._journal = Journal(self._file)
        return self._journal

    def _on_trouble(self, error: JournalError, now: float) -> None:
        self.close()
        self._trouble = error
        self._retry_at = now + _RETRY_S
        if error.trouble is Trouble.BROKEN:
            try:
                set_aside(self._file, datetime.now(UTC))
                self._retry_at = now
            except JournalError as worse:
                self._trouble = worse

    def _prune(self, journal: Journal, now: float) -> None:
        """Removes a piece; comes back soon while there is more."""
        self._used_bytes = journal.used_bytes()
        free_bytes = shutil.disk_usage(self._file.parent).free
        room = self._used_bytes + free_bytes - self._settings.keep_free_mb * 1e6
        before = datetime.now(UTC) - timedelta(days=self._settings.keep_days)
        self._prune_at = now + _PRUNE_AGAIN_S
        try:
            pruned = journal.prune(
                self._reporters,
                before=before.isoformat(timespec="milliseconds"),
                max_bytes=self._settings.max_mb * 1e6,
                wanted_bytes=max(0.0, room),
            )
        except JournalError as error:
            if error.trouble is not Trouble.FULL:
                raise
            return  # whether records fit all the same is for them to find out
        self._undelivered += pruned.undelivered
        if not pruned.delivered and not pruned.undelivered:
            self._prune_at = now + _PRUNE_S

    def _count(self, batch: Batch) -> None:
        self._recorded += len(batch.records)
        self._unreadable += batch.unreadable
        for record in batch.records:
            verdict, label = record.outcome
            self._verdicts[verdict] += 1
            self._labels[label] += 1
