"""The decision journal: one durable record a fruit, in an SQLite file that a power cut leaves whole.

Write-ahead log with `synchronous=FULL`: what `append` returned from is on the disk. The key (line, run id, fruit
number) makes a record that comes twice one record, so whoever is not sure sends it again. Receivers read on from where
they last acknowledged.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edge_runtime.decision_record import Record, RecordKey
from edge_runtime.journaling.journal_trouble import JournalError, Trouble, as_journal_error

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x52495045
_BUSY_S, _BUSY_STEP_S = 2.0, 0.005
_VACUUM_PAGES = 128
_WAL_PAGES = 256
"""A log that is carried over late takes room that a nearly full disk does not have."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many records went: old or acknowledged ones, and ones that a receiver had not had."""

    delivered: int = 0
    undelivered: int = 0


class Journal:
    """One connection to a journal, for one thread; several may be open on one file.

    Args:
        file: Created where it is missing, in a folder that exists.

    Raises:
        JournalError: The file cannot be opened, is damaged or is none of ours.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._troubles():
            self._database = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)
        try:
            with self._troubles():
                self._set_up()
            self._inode = file.stat().st_ino
        except BaseException:
            self._database.close()
            raise

    def append(self, records: Sequence[Record]) -> None:
        """Write records in one transaction, on disk when this returns; those that are there already stay."""
        rows = [
            (one.key.line, one.key.run_id, one.key.fruit_id, one.boot_id, one.decided_at, one.document)
            for one in records
        ]
        with self._writing():
            self._database.executemany(
                "INSERT INTO decisions (line, run_id, fruit_id, boot_id, decided_at, document)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (line, run_id, fruit_id) DO NOTHING",
                rows,
            )

    def after(self, reporter: str, limit: int) -> list[Record]:
        """The oldest records that this reporter has not acknowledged, in the order of their commit."""
        with self._troubles():
            rows = self._database.execute(
                "SELECT line, run_id, fruit_id, boot_id, decided_at, document FROM decisions WHERE sequence >"
                " coalesce((SELECT sequence FROM cursors WHERE reporter = ?), 0) ORDER BY sequence LIMIT ?",
                (reporter, limit),
            )
            return [_record(row) for row in rows]

    def acknowledge(self, reporter: str, key: RecordKey) -> None:
        """Keep that this reporter's receiver has this record and all before it.

        By key, not by number: a journal that was begun anew meanwhile does not know the key, and nothing is skipped.
        """
        with self._writing():
            self._database.execute(
                "INSERT INTO cursors (reporter, sequence) SELECT ?, sequence FROM decisions"
                " WHERE line = ? AND run_id = ? AND fruit_id = ?"
                " ON CONFLICT (reporter) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                (reporter, key.line, key.run_id, key.fruit_id),
            )

    def waiting(self, reporter: str) -> tuple[int, str | None]:
        """How many records this reporter has not acknowledged, and when the oldest of them was decided.

        Numbers are given in a row, so that the count needs the ends alone.
        """
        with self._troubles():
            first, oldest = self._database.execute(
                "SELECT sequence, decided_at FROM decisions WHERE sequence >"
                " coalesce((SELECT sequence FROM cursors WHERE reporter = ?), 0) ORDER BY sequence LIMIT 1",
                (reporter,),
            ).fetchone() or (None, None)
            if first is None:
                return 0, None
            return self._database.execute("SELECT max(sequence) FROM decisions").fetchone()[0] - first + 1, oldest

    def prune(
        self,
        reporters: Sequence[str],
        *,
        before: str,
        max_bytes: float,
        wanted_bytes: float = math.inf,
        at_most: int = 500,
    ) -> Pruned:
        """Remove a lot of old records, to be called again while it removes some.

        Args:
            reporters: Those whose acknowledgement a record needs; cursors of others are forgotten.
            before: Records decided before this time (ISO 8601, UTC) may go once all have acknowledged them.
            max_bytes: What the records may take at most. Beyond it the oldest go: acknowledged ones first, then the
                others, which are counted.
            wanted_bytes: What they should take. Beyond it acknowledged ones go, no others.
            at_most: So many at a time, so that writers do not wait long.
        """
        self._carry_over()
        with self._writing():
            marks = ",".join("?" * len(reporters))
            self._database.execute(f"DELETE FROM cursors WHERE reporter NOT IN ({marks})", tuple(reporters))
            acknowledged = self._acknowledged_by_all(len(reporters))
            delivered = self._remove("sequence <= ? AND decided_at < ?", (acknowledged, before), at_most)
            undelivered = 0
            used_bytes = self.used_bytes()
            if used_bytes > min(max_bytes, wanted_bytes) and not delivered:
                delivered = self._remove("sequence <= ?", (acknowledged,), at_most)
            if used_bytes > max_bytes and not delivered:
                undelivered = self._remove("true", (), at_most)
        self._carry_over()
        with self._troubles():
            # As a script: `execute` would end after the first page.
            self._database.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        self._carry_over()
        return Pruned(delivered, undelivered)

    def used_bytes(self) -> int:
        """What the records take, without pages that are free to be written again."""
        with self._troubles():
            pages, free, size = (
                self._database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def count(self) -> int:
        """How many records there are."""
        with self._troubles():
            return int(self._database.execute("SELECT count(*) FROM decisions").fetchone()[0])

    def is_current(self) -> bool:
        """Whether the file of this name is still the one that was opened; after `set_aside` it is another."""
        try:
            return self._file.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        database = self._database
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = self._begin_log()
        if mode != "wal":
            raise JournalError(f"{self._file} cannot have a write-ahead log ({mode}).", remedy="put it on a local disk")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_PAGES * 4096}")
        database.execute("BEGIN IMMEDIATE")
        owner = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if (owner, version) == (0, 0) and not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in _SCHEMA:
                database.execute(statement)
        elif (owner, version) != (_APPLICATION_ID, SCHEMA_VERSION):
            raise JournalError(f"{self._file} is no journal of this version of Ripeline.", Trouble.BROKEN)
        database.execute("COMMIT")

    def _begin_log(self) -> str:
        """The mode that the file then has. Where two begin it at the same time, SQLite fails instead of waiting."""
        ends = time.monotonic() + _BUSY_S
        while True:
            try:
                return str(self._database.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                    raise
                time.sleep(_BUSY_STEP_S)

    def _carry_over(self) -> None:
        """Empty the log into the file: even what gives room back to the disk passes through it."""
        with self._troubles():
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _acknowledged_by_all(self, reporters: int) -> int:
        """The sequence up to which everybody has everything; without reporters, all of it."""
        known, least = self._database.execute("SELECT count(*), min(sequence) FROM cursors").fetchone()
        if reporters == 0:
            return int(self._database.execute("SELECT coalesce(max(sequence), 0) FROM decisions").fetchone()[0])
        return int(least) if known == reporters else 0

    def _remove(self, condition: str, values: tuple[Any, ...], at_most: int) -> int:
        return self._database.execute(
            f"DELETE FROM decisions WHERE sequence IN"
            f" (SELECT sequence FROM decisions WHERE {condition} ORDER BY sequence LIMIT ?)",
            (*values, at_most),
        ).rowcount

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._troubles():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:
            # UnicodeError: the words of SQLite's own complaint, taken from a damaged file.
            raise as_journal_error(self._file, error) from error


def _record(row: tuple[Any, ...]) -> Record:
    """A row as it was written; a damaged page may give columns of any type, whatever the schema says."""
    texts = (row[0], row[1], *row[3:])
    if not all(isinstance(text, str) for text in texts) or not isinstance(row[2], int):
        raise sqlite3.DataError("a record without its key or its text")
    return Record(RecordKey(*row[:3]), *row[3:])


_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    # AUTOINCREMENT: a number is never given again, so that a cursor never points past a newer record.
    """CREATE TABLE decisions (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        line TEXT NOT NULL, run_id TEXT NOT NULL, fruit_id INTEGER NOT NULL,
        boot_id TEXT NOT NULL, decided_at TEXT NOT NULL, document TEXT NOT NULL,
        UNIQUE (line, run_id, fruit_id)) STRICT""",
    "CREATE TABLE cursors (reporter TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT",
)
