"""Numbers that the processes of a line show each other: shared memory, every cell with one writer, no lock."""

from __future__ import annotations

from enum import IntEnum, auto
from multiprocessing.shared_memory import SharedMemory
from typing import Self

from edge_runtime.processes.shared import bytes_of, new_segment

MAX_LABELS = 64
MAX_EJECTORS = 64
_BYTES = 8


class Cell(IntEnum):
    """What a cell holds; the first word of its name is the process that writes it. Times are monotonic nanoseconds."""

    SUPERVISOR_STOP = 0
    """How far the end has come: a `Stop`."""
    SUPERVISOR_OPENED = auto()
    """1 from when the source has given a picture and the outputs have been switched."""
    SUPERVISOR_RELEASES = auto()
    """How often an operator has said that the line may sort again."""
    SUPERVISOR_RESTARTS = auto()
    SUPERVISOR_UNKEPT = auto()
    """Rows that nobody had written down when all had left."""

    CAPTURE_BEAT_NS = auto()
    CAPTURE_PERIOD_NS = auto()
    """From one frame to the next, as the camera states it."""
    CAPTURE_FRAMES = auto()
    CAPTURE_DROPPED = auto()
    """Lost before they reached the ring."""
    CAPTURE_FIRST_NS = auto()
    """What the first frame is stamped with."""
    CAPTURE_FRAME_NS = auto()
    """When the newest frame came."""
    CAPTURE_CHANGED_NS = auto()
    """When a frame last differed from the one before it."""
    CAPTURE_LIT_NS = auto()
    """When a frame was last not black."""
    CAPTURE_MOVING_NS = auto()
    """Since when each frame has shown something move; 0 while nothing does."""
    CAPTURE_TORN = auto()
    """Frames that were thrown away because a part of them was of the one before."""
    CAPTURE_BELT_UM = auto()
    """Where the belt was last, where pictures measure it; beyond the life of a connection."""
    CAPTURE_CONNECTIONS = auto()
    CAPTURE_UNHELD = auto()
    """A bit for what the camera does not keep as stated, in the order of `edge_runtime.cameras.lock.HELD`."""
    CAPTURE_ENDED = auto()
    """1 when the source has come to its end."""

    VISION_BEAT_NS = auto()
    VISION_FRAMES = auto()
    VISION_TAKEN = auto()
    """Number of the newest frame that has been dealt with."""
    VISION_MODEL_BAD = auto()
    """1 while the model fails its self-test."""
    VISION_LOST = auto()
    """Decisions that could not be written down."""
    VISION_ACCEPT = auto()
    VISION_DIVERT = auto()
    VISION_UNDECIDED = auto()
    VISION_P50_US = auto()
    VISION_P99_US = auto()
    VISION_MAX_US = auto()

    ACTUATOR_BEAT_NS = auto()
    ACTUATOR_STATE = auto()
    """Place of the state in `edge_runtime.monitoring.safe_state.LineState`."""
    ACTUATOR_SINCE_NS = auto()
    ACTUATOR_FAULTS = auto()
    """A bit a fault, in the order of `edge_runtime.monitoring.watch.Fault`."""
    ACTUATOR_FIRED = auto()
    ACTUATOR_MISSED = auto()
    ACTUATOR_WAITING = auto()
    ACTUATOR_UNTOLD = auto()
    """Rows for the reporter that found no room, because it did not take any for too long."""

    REPORTER_BEAT_NS = auto()


_SIZE = (len(Cell) + MAX_LABELS + MAX_EJECTORS) * _BYTES


class Stop(IntEnum):
    """The order in which a line ends: each process leaves when its turn has come."""

    RUNNING = 0
    SEEING = auto()
    """Capture and vision: no more frames, what was seen is decided."""
    ACTING = auto()
    """The actuator: what was ordered is done, then the outputs rest."""
    REPORTING = auto()


class Board:
    """The cells, and after them a counter a label and a place an ejector.

    Args:
        memory: Made by `new`, or opened by name.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._cells = bytes_of(memory)[:_SIZE].cast("q")
        self.name = memory.name

    @classmethod
    def new(cls, line: str) -> Self:
        """All zero, for the supervisor of a line; see `new_segment`."""
        return cls(new_segment(line, _SIZE, "numbers"))

    @classmethod
    def open(cls, name: str) -> Self:
        """One that exists."""
        return cls(SharedMemory(name))

    def __getitem__(self, cell: Cell) -> int:
        return self._cells[cell]

    def __setitem__(self, cell: Cell, value: int) -> None:
        # One aligned word, which processors write in one go.
        self._cells[cell] = value

    def add(self, cell: Cell, more: int = 1) -> None:
        """Count on; only for the cell's one writer."""
        self._cells[cell] += more

    def label_count(self, label: int) -> int:
        """How many fruit got this label."""
        return self._cells[len(Cell) + label]

    def count_label(self, label: int) -> None:
        """One more; for vision."""
        if label < MAX_LABELS:
            self._cells[len(Cell) + label] += 1

    def fired_mm(self, ejector: int) -> float | None:
        """Where on the belt the last fruit lay that this ejector was fired at; None if it never was."""
        micrometres = self._cells[len(Cell) + MAX_LABELS + ejector % MAX_EJECTORS]
        return micrometres / 1000 if micrometres else None

    def forget_fired(self) -> None:
        """The belt is counted anew; for the actuator."""
        for ejector in range(MAX_EJECTORS):
            self._cells[len(Cell) + MAX_LABELS + ejector] = 0

    def note_fired(self, ejector: int, place_mm: float) -> None:
        """Remember it beyond the life of the process; for the actuator."""
        self._cells[len(Cell) + MAX_LABELS + ejector % MAX_EJECTORS] = round(place_mm * 1000) or 1

    def close(self, *, remove: bool = False) -> None:
        """Let go of the memory; `remove` it for everyone."""
        self._cells.release()
        self._memory.close()
        if remove:
            self._memory.unlink()
