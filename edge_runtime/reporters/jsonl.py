"""Decisions as JSON lines in a file: each flushed as it comes, or from the journal, each exactly once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.errors import ReporterError
from edge_runtime.journal import Record, RecordKey
from edge_runtime.record_settings import JsonlSettings
from edge_runtime.records import Decision

_TAIL_BYTES = 1_000_000
_BEGINS = b'{"line":'


class JsonlReporter:
    """Writes `decisions.jsonl`; the fields are those of `Decision`."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("w", encoding="utf-8")

    def report(self, decision: Decision) -> None:
        """Append one line."""
        self._stream.write(json.dumps(asdict(decision), ensure_ascii=False, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JsonlLog:
    """Appends the journal's records to a file, a line each, on disk before they count as delivered.

    What a killed predecessor had written without acknowledging it is found at the file's end and not written again; a
    line that it left unfinished is cut off.

    Args:
        file: Created where it is missing.

    Raises:
        ReporterError: It cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._stream = file.open("a+b")
            self._there = self._keys_at_the_end()
        except OSError as error:
            raise ReporterError(f"{file} cannot be written ({error.strerror}).") from error

    def deliver(self, records: Sequence[Record]) -> None:
        """Append those that are not there yet, and wait for the disk."""
        text = "".join(f"{one.document}\n" for one in records if one.key not in self._there)
        try:
            self._stream.write(text.encode())
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise ReporterError(f"{self._file} cannot be written ({error.strerror}).") from error
        # Only what a predecessor wrote can come again.
        self._there = self._there - {one.key for one in records}

    def check(self) -> None:
        """A file that somebody moved away, to rotate it, is begun anew."""
        if not self._file.exists():
            raise ReporterError(f"{self._file} is gone.")

    def close(self) -> None:
        """Close the file."""
        try:
            self._stream.close()
        except OSError as error:
            raise ReporterError(f"{self._file} cannot be written ({error.strerror}).") from error

    def _keys_at_the_end(self) -> set[RecordKey]:
        size = self._stream.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL_BYTES)
        self._stream.seek(start)
        tail = self._stream.read()
        complete = tail.rfind(b"\n") + 1
        torn = tail[complete:]
        if torn and not torn.startswith(_BEGINS):
            raise ReporterError(
                f"{self._file} is no file of decisions.", remedy="name another one in [report.jsonl], or a new one"
            )
        self._stream.truncate(start + complete)
        keys = set()
        for line in tail[:complete].splitlines():
            try:
                keys.add(Record.from_document(line.decode()).key)
            except (ValueError, RecursionError):
                continue
        return keys


def open_log(settings: JsonlSettings, line: str) -> JsonlLog:  # noqa: ARG001 - what every reporter is opened with
    """The log that `[report.jsonl]` names."""
    return JsonlLog(Path(settings.file))
