"""Frames from one process to another: a ring in shared memory, the newest wins, no lock.

One process writes, one reads. A slot carries the number of the frame in it and the promise that it is whole: the writer
makes the number odd before it touches the pixels and even when it is done, and the reader takes a frame only if the
number was the expected even one before and after it copied them (a seqlock; Lameter 2005, "Effective synchronization on
Linux/NUMA systems"). A writer that is killed in between leaves an odd number, which nobody reads.
"""

from __future__ import annotations

import math
import struct
import time
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Self

import numpy as np

from edge_runtime.errors import CameraError
from edge_runtime.processes.shared import bytes_of, fence, new_segment
from edge_runtime.records import Frame, Image

SLOTS = 4
_HEAD = struct.Struct("<qqdqq")
"""Index, time of exposure, belt (NaN: unknown), height, width."""
_HEAD_BYTES = _SLOT_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Numbered:
    """A frame and its number in the ring, from 1 without a gap."""

    number: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and where on the belt a frame was exposed."""

    captured_ns: int
    belt_mm: float | None


class FrameRing:
    """`SLOTS` frames of at most `frame_bytes` each.

    Args:
        frame_bytes: Room for the pixels of one frame.
        memory: Made by `new`, or opened by name.
    """

    def __init__(self, frame_bytes: int, memory: SharedMemory) -> None:
        self._frame_bytes, self._slot_bytes = frame_bytes, _slot_bytes(frame_bytes)
        self._memory, self._bytes = memory, bytes_of(memory)
        self._newest = self._bytes[:8].cast("q")
        self._marks = [self._bytes[at : at + 8].cast("q") for at in map(self._slot, range(SLOTS))]
        self.name = self._memory.name

    @classmethod
    def new(cls, line: str, frame_bytes: int) -> Self:
        """An empty one, for the supervisor of a line; see `new_segment`."""
        what = f"{SLOTS} pictures of {frame_bytes / 1e6:g} MB"
        return cls(frame_bytes, new_segment(line, _HEAD_BYTES + SLOTS * _slot_bytes(frame_bytes), what))

    @classmethod
    def open(cls, name: str, frame_bytes: int) -> Self:
        """One that exists."""
        return cls(frame_bytes, SharedMemory(name))

    @property
    def newest_number(self) -> int:
        """Number of the newest whole frame; 0 before the first."""
        return self._newest[0]

    def write(self, frame: Frame) -> int:
        """Publish a frame; its number. For the one writer.

        Raises:
            CameraError: It is too large.
        """
        image = np.ascontiguousarray(frame.image)
        if image.nbytes > self._frame_bytes:
            raise CameraError(
                f"The camera gives pictures of {image.shape[1]}x{image.shape[0]} pixels, {image.nbytes / 1e6:.1f} MB.",
                expected=f"at most {self._frame_bytes / 1e6:.1f} MB",
                remedy="Raise frame_mb under [processes] in line.toml, or let the camera give smaller pictures.",
            )
        number = self.newest_number + 1
        mark, at = self._marks[number % SLOTS], self._slot(number % SLOTS)
        mark[0] = 2 * number - 1
        fence()
        height, width = image.shape[:2]
        belt_mm = float("nan") if frame.belt_mm is None else frame.belt_mm
        _HEAD.pack_into(self._bytes, at + 8, frame.index, frame.captured_ns, belt_mm, height, width)
        start = at + _SLOT_HEAD_BYTES
        self._bytes[start : start + image.nbytes] = image.reshape(-1).data
        fence()
        mark[0] = 2 * number
        fence()
        self._newest[0] = number
        return number

    def newest(self, after: int) -> Numbered | None:
        """A copy of the newest frame if its number is above `after`."""
        while (number := self.newest_number) > after:
            if (frame := self.read(number)) is not None:
                return Numbered(number, frame)
        return None

    def read(self, number: int) -> Frame | None:
        """A copy of a frame; None if it has been written over, or is being."""
        mark, at = self._marks[number % SLOTS], self._slot(number % SLOTS)
        if mark[0] != 2 * number:
            return None
        fence()
        index, captured_ns, belt_mm, height, width = _HEAD.unpack_from(self._bytes, at + 8)
        size, start = height * width * 3, at + _SLOT_HEAD_BYTES
        if not 0 <= size <= self._frame_bytes:
            return None
        image: Image = np.frombuffer(self._bytes, np.uint8, size, start).reshape(height, width, 3).copy()
        fence()
        if mark[0] != 2 * number:
            return None
        return Frame(image, index, captured_ns, None if math.isnan(belt_mm) else belt_mm)

    def stamp(self, number: int) -> Stamp | None:
        """When and where a frame was exposed, without its pixels; None if it has been written over."""
        mark, at = self._marks[number % SLOTS], self._slot(number % SLOTS)
        if mark[0] != 2 * number:
            return None
        fence()
        _, captured_ns, belt_mm, _, _ = _HEAD.unpack_from(self._bytes, at + 8)
        fence()
        if mark[0] != 2 * number:
            return None
        return Stamp(captured_ns, None if math.isnan(belt_mm) else belt_mm)

    def wait_for_room(self, taken: int, patience_s: float) -> bool:
        """Whether a frame can be written without losing one above `taken`; waits that long for it."""
        end = time.monotonic() + patience_s
        while self.newest_number - taken >= SLOTS - 1:
            if time.monotonic() >= end:
                return False
            time.sleep(0.001)
        return True

    def close(self, *, remove: bool = False) -> None:
        """Let go of the memory; `remove` it for everyone."""
        for view in (self._newest, *self._marks):
            view.release()
        self._memory.close()
        if remove:
            self._memory.unlink()

    def _slot(self, place: int) -> int:
        return _HEAD_BYTES + place * self._slot_bytes


def _slot_bytes(frame_bytes: int) -> int:
    return _SLOT_HEAD_BYTES + -(-frame_bytes // 64) * 64
