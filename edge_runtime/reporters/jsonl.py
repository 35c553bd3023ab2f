"""Decisions as JSON lines in a file, each flushed as it comes, so that a killed run keeps what it decided."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.records import Decision


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
