"""From the process that decides to the one that keeps the journal: lines in files, which no kill can take back.

The folder should lie in memory (a tmpfs such as /run): a line is then written in some 20 µs whatever the disk does, and
outlives every process. Only a power cut empties it, and the reader takes its content over within 200 ms.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.decision_record import Record, RunIdentity
from edge_runtime.records import Decision

_SEGMENT_LINES = 500
_MAX_BYTES = 64_000_000
_SUFFIX = ".jsonl"
_REFUSED_S = 1.0


class SpoolWriter:
    """Takes decisions of one run; for one thread.

    A segment is locked for as long as it is written to, which ends with the process whatever ends that, so the reader
    knows which ones are complete.

    Args:
        folder: Created where it is missing.
        identity: Of this run.
        max_bytes: More than this does not wait here; further decisions are counted as `lost`.
    """

    def __init__(self, folder: Path, identity: RunIdentity, max_bytes: int = _MAX_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._identity, self._max_bytes = folder, identity, max_bytes
        self._segment: int | None = None
        self._number = self._lines = 0
        self._refused_until = 0.0
        self.lost = 0

    def append(self, decision: Decision) -> None:
        """Hand over one decision; never raises for a full disk, but counts."""
        line = (self._identity.record(decision, datetime.now(UTC)).document + "\n").encode()
        try:
            if self._segment is None or self._lines >= _SEGMENT_LINES:
                self._next_segment()
            if self._segment is None:
                self.lost += 1
                return
            self._lines += 1
            if os.write(self._segment, line) < len(line):
                # The reader skips the torn end of a segment, so nothing may follow it.
                self._close_segment()
                self.lost += 1
        except OSError:
            self._close_segment()
            self.lost += 1

    def close(self) -> None:
        """Let go of the last segment."""
        self._close_segment()

    def _next_segment(self) -> None:
        self._close_segment()
        now = time.monotonic()
        if now < self._refused_until:
            return
        if _bytes_in(self._folder) > self._max_bytes:
            self._refused_until = now + _REFUSED_S
            return
        # Locked before it gets its name, so that the reader never takes it for one that is finished.
        hidden = self._folder / f".{self._identity.run_id}"
        segment = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            fcntl.flock(segment, fcntl.LOCK_EX)
            hidden.rename(self._folder / f"{self._identity.run_id}.{self._number:08d}{_SUFFIX}")
        except OSError:
            os.close(segment)
            raise
        self._segment, self._lines = segment, 0
        self._number += 1

    def _close_segment(self) -> None:
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of their writing, and where each segment was read to."""

    records: tuple[Record, ...]
    unreadable: int
    read_to: dict[Path, int]


class SpoolReader:
    """Gives out what waits, and forgets it once told that it is kept; the only reader of the folder.

    A reader that starts anew gives out again what its predecessor had not forgotten.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_to: dict[Path, int] = {}

    def read(self, limit: int = 1000) -> Batch:
        """Up to about `limit` records; lines that are none are counted as unreadable."""
        records: list[Record] = []
        unreadable = 0
        read_to: dict[Path, int] = {}
        for file in _segments(self._folder):
            if len(records) >= limit:
                break
            start = self._read_to.get(file, 0)
            with suppress(FileNotFoundError), file.open("rb") as stream:
                stream.seek(start)
                content = stream.read()
                complete = content.rfind(b"\n") + 1
                read_to[file] = start + complete
                for line in content[:complete].splitlines():
                    try:
                        records.append(Record.from_document(line.decode()))
                    except (ValueError, RecursionError):
                        unreadable += 1
        return Batch(tuple(records), unreadable, read_to)

    def forget(self, batch: Batch) -> None:
        """The batch is kept elsewhere; segments that are read to their end and no longer written to are removed."""
        self._read_to |= batch.read_to
        for file, read_to in batch.read_to.items():
            with suppress(OSError), file.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                # Between reading and locking, the writer may have added to it.
                stream.seek(read_to)
                if b"\n" not in stream.read():
                    file.unlink()
                    del self._read_to[file]

    def waiting_bytes(self) -> int:
        """What has not been given out and forgotten yet."""
        waiting = 0
        for file in _segments(self._folder):
            with suppress(FileNotFoundError):
                waiting += file.stat().st_size - self._read_to.get(file, 0)
        return waiting


def _bytes_in(folder: Path) -> int:
    """What lies there; the reader may remove segments meanwhile."""
    total = 0
    for file in _segments(folder):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _segments(folder: Path) -> list[Path]:
    """By name: within a run in the order of writing, runs by their time of start."""
    return sorted(folder.glob(f"*{_SUFFIX}"))
