"""Decisions as JSON lines in a file: each flushed as it comes, or from the journal, each exactly once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.decision_record import Record, RecordKey
from edge_runtime.errors import ReporterError
from edge_runtime.journaling.json_lines import append, open_after_a_kill
from edge_runtime.records import Decision
from edge_runtime.settings.record_settings import JsonlSettings

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
            self._stream, lines = open_after_a_kill(file, _BEGINS)
        except OSError as error:
            raise ReporterError(f"{file} cannot be written ({error.strerror}).") from error
        except ValueError as error:
            raise ReporterError(
                f"{file} is no file of decisions.", remedy="name another one in [report.jsonl], or a new one"
            ) from error
        self._there = _keys(lines)

    def deliver(self, records: Sequence[Record]) -> None:
        """Append those that are not there yet, and wait for the disk."""
        text = "".join(f"{one.document}\n" for one in records if one.key not in self._there)
        try:
            append(self._stream, text.encode())
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


def _keys(lines: Sequence[bytes]) -> set[RecordKey]:
    keys = set()
    for line in lines:
        with suppress(ValueError, RecursionError):
            keys.add(Record.from_document(line.decode()).key)
    return keys


def open_log(settings: JsonlSettings, line: str) -> JsonlLog:  # noqa: ARG001 - what every reporter is opened with
    """The log that `[report.jsonl]` names."""
    return JsonlLog(Path(settings.file))
