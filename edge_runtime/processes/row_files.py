"""`firings.jsonl` and `states.jsonl`: what the actuator told, each row once, whoever was killed in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edge_runtime.journaling.json_lines import append, open_after_a_kill
from edge_runtime.processes.child import log
from edge_runtime.processes.rows import Rows

_RETRY_S = 1.0


class RowFiles:
    """Both files, opened when there is something to write.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, BinaryIO] = {}
        self._there: dict[str, set[bytes]] = {}
        self._told = False
        self._due_s = 0.0

    def take(self, rows: Rows, now_s: float) -> None:
        """Write what waits; after a failure a second passes first, since each try reads the end of a file anew.

        Args:
            rows: What the actuator told.
            now_s: Monotonic; infinity for the last time.
        """
        if now_s < self._due_s:
            return
        waiting = rows.waiting()
        kept = self.keep(waiting)
        rows.forget(kept)
        if kept < len(waiting):
            self._due_s = now_s + _RETRY_S

    def keep(self, rows: Sequence[bytes]) -> int:
        """Write rows; how many are in the files now.

        The rest are to be brought again: where a disk is full, for example.
        """
        for number, row in enumerate(rows):
            try:
                self._write("states.jsonl" if "state" in json.loads(row) else "firings.jsonl", row)
            except (OSError, ValueError) as error:
                self._trouble(error)
                return number
        self._told = self._told and not rows
        return len(rows)

    def close(self) -> None:
        """Let go of the files."""
        for stream in self._streams.values():
            with suppress(OSError):
                stream.close()
        self._streams = {}

    def _write(self, name: str, row: bytes) -> None:
        if name not in self._streams:
            self._streams[name], lines = open_after_a_kill(self._folder / name)
            self._there[name] = set(lines)
        # Only what a predecessor wrote can come again.
        if row in self._there[name]:
            self._there[name].discard(row)
        else:
            append(self._streams[name], row + b"\n")

    def _trouble(self, error: Exception) -> None:
        if not self._told:
            log.warning("firings and states cannot be written and wait: %s", error)
        self._told = True
        self.close()
