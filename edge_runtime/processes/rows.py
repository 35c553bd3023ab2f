"""Rows from the actuator to the reporter, through shared memory: no kill of either takes one back, and none waits.

One process writes, one reads. The writer fills a slot and then counts it as written; the reader counts it as read once
it is kept elsewhere. So a successor of either goes on where the other stopped.
"""

from __future__ import annotations

import json
import struct
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Self

from edge_runtime.processes.shared import bytes_of, fence, new_segment

SLOTS = 4096
"""Two minutes of a line that throws out thirty fruit a second."""

_SLOT_BYTES = 512
_HEAD_BYTES = 64
_LENGTH = struct.Struct("<i")
_WRITTEN, _READ = 0, 1


class Rows:
    """`SLOTS` rows that wait.

    Args:
        memory: Made by `new`, or opened by name.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory, self._bytes = memory, bytes_of(memory)
        self._counts = self._bytes[:16].cast("q")
        self.name = memory.name

    @classmethod
    def new(cls, line: str) -> Self:
        """For the supervisor of a line; see `new_segment`."""
        return cls(new_segment(line, _HEAD_BYTES + SLOTS * _SLOT_BYTES, "what the actuator tells"))

    @classmethod
    def open(cls, name: str) -> Self:
        """Those that exist."""
        return cls(SharedMemory(name))

    def put(self, row: dict[str, Any]) -> bool:
        """Whether there was room for it. For the one writer."""
        text = json.dumps(row, allow_nan=False, separators=(",", ":")).encode()
        written = self._counts[_WRITTEN]
        if written - self._counts[_READ] >= SLOTS or len(text) > _SLOT_BYTES - _LENGTH.size:
            return False
        at = self._slot(written)
        _LENGTH.pack_into(self._bytes, at, len(text))
        self._bytes[at + _LENGTH.size : at + _LENGTH.size + len(text)] = text
        fence()
        self._counts[_WRITTEN] = written + 1
        return True

    def waiting(self) -> list[bytes]:
        """The rows as JSON, oldest first, as often as asked until they are forgotten. For the one reader."""
        written = self._counts[_WRITTEN]
        fence()
        return [self._at(number) for number in range(self._counts[_READ], written)]

    @property
    def count(self) -> int:
        """How many wait."""
        return self._counts[_WRITTEN] - self._counts[_READ]

    def forget(self, count: int) -> None:
        """So many of the oldest are kept elsewhere. For the one reader."""
        fence()
        self._counts[_READ] += count

    def close(self, *, remove: bool = False) -> None:
        """Let go of the memory; `remove` it for everyone."""
        self._counts.release()
        self._memory.close()
        if remove:
            self._memory.unlink()

    def _at(self, number: int) -> bytes:
        at = self._slot(number)
        (length,) = _LENGTH.unpack_from(self._bytes, at)
        return bytes(self._bytes[at + _LENGTH.size : at + _LENGTH.size + length])

    @staticmethod
    def _slot(number: int) -> int:
        return _HEAD_BYTES + number % SLOTS * _SLOT_BYTES
