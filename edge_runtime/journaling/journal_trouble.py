"""What may be wrong with a journal, from what SQLite and the system say of it, and where a broken one goes."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from edge_runtime.errors import RipelineError

_SIDE_FILES = ("", "-wal", "-shm")
_BROKEN = ".broken-"


class Trouble(StrEnum):
    """What is wrong with a journal."""

    FULL = "full"
    READ_ONLY = "read-only"
    BROKEN = "broken"
    OTHER = "other"


class JournalError(RipelineError):
    """The journal cannot be read or written; `trouble` says in which way."""

    def __init__(self, what: str, trouble: Trouble = Trouble.OTHER, **advice: str | None) -> None:
        super().__init__(what, **advice)
        self.trouble = trouble


_BROKEN_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR}
_READ_ONLY_CODES = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


def as_journal_error(file: Path, error: sqlite3.Error | OSError | UnicodeError) -> JournalError:
    """The error that people get; `UnicodeError` stands for words of SQLite's that come from a damaged file."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if isinstance(error, OSError):
        trouble = Trouble.READ_ONLY if isinstance(error, (PermissionError, FileNotFoundError)) else Trouble.OTHER
        return JournalError(f"The journal {file} cannot be used ({error.strerror}).", trouble)
    if primary == sqlite3.SQLITE_FULL:
        return JournalError(f"The disk of the journal {file} is full.", Trouble.FULL, remedy="make room on that disk")
    if primary is None or primary in _BROKEN_CODES or isinstance(error, (sqlite3.DataError, sqlite3.IntegrityError)):
        return JournalError(f"The journal {file} is damaged ({error}).", Trouble.BROKEN)
    if primary in _READ_ONLY_CODES:
        return JournalError(
            f"The journal {file} cannot be written ({error}).",
            Trouble.READ_ONLY,
            remedy="give the service a folder that it may write to, on a disk that is mounted for writing",
        )
    return JournalError(f"The journal {file} cannot be used ({error}).")


def set_aside(file: Path, now: datetime) -> Path:
    """Move a broken journal out of the way, with what belongs to it, and keep it; returns its new place.

    Raises:
        JournalError: The folder cannot be written to.
    """
    kept = file.with_name(f"{file.name}{_BROKEN}{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}")
    try:
        for suffix in _SIDE_FILES:
            part = file.with_name(file.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise as_journal_error(file, error) from error
    return kept


def set_aside_files(file: Path) -> list[Path]:
    """The broken journals that still lie beside this one."""
    return sorted(one for one in file.parent.glob(f"{file.name}{_BROKEN}*") if one.name.endswith("Z"))
