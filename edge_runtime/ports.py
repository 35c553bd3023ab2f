"""The line's sockets: what an adapter must offer. Every adapter passes the contract suite of its port in `tests/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from edge_runtime.decision_record import Record
from edge_runtime.records import Decision, Frame


class Camera(Protocol):
    """A source of frames.

    `live` sources keep the newest frame and count in `dropped` what nobody read in time; the others are lossless.
    """

    name: str
    live: bool
    dropped: int
    frame_rate_hz: float | None

    def frames(self) -> Iterator[Frame]:
        """Yield frames in order of exposure, indices rising; raises CameraError when the source breaks."""
        ...

    def close(self) -> None:
        """Release the device; safe to call twice and from another thread."""
        ...


class Encoder(Protocol):
    """Belt distance as a function of time."""

    def position_mm(self, captured_ns: int) -> float | None:
        """Distance that the belt has run at that time; None where the encoder has no word on it."""
        ...


class Engine(Protocol):
    """Runs one artefact."""

    name: str

    def logits(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map `[N, size, size, 3]` uint8 RGB to `[N, labels]` float32 logits, N >= 1."""
        ...


class Ejector(Protocol):
    """Throws fruit off the belt."""

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:
        """Act once, at once: which ejector, for the record which fruit, and the time of the order."""
        ...


class Outputs(Ejector, Protocol):
    """Everything that a line switches. All is off from the start and after `close`."""

    def hold(self, on: bool) -> None:
        """Keep every ejector on, or let them go."""
        ...

    def permit(self, on: bool) -> None:
        """Let the belt run, or not."""
        ...

    def beat(self, on: bool) -> None:
        """Set the heartbeat output, which a relay of the plant expects to change again and again."""
        ...

    def close(self) -> None:
        """Everything off; safe to call twice."""
        ...


class Clock(Protocol):
    """The two times of a machine."""

    def monotonic_ns(self) -> int:
        """Never steps."""
        ...

    def wall_ns(self) -> int:
        """Since 1970; steps when somebody sets it."""
        ...


class LinePorts(Protocol):
    """What stands at the edges of a line. Each process of it opens what it needs, so this can be pickled."""

    @property
    def source(self) -> str:
        """Where pictures come from, in a person's words."""
        ...

    @property
    def live(self) -> bool:
        """Whether frames that nobody takes in time are lost."""
        ...

    def open_camera(self) -> Camera:
        """Raises CameraError where there is none."""
        ...

    def open_encoder(self) -> Encoder | None:
        """None for a line without one."""
        ...

    def open_outputs(self) -> Outputs:
        """Raises EjectorError where one cannot be switched."""
        ...

    def clock(self) -> Clock:
        """The machine's."""
        ...


class Reporter(Protocol):
    """Takes decisions out of the runtime."""

    def report(self, decision: Decision) -> None:
        """Hand over one decision."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RecordReporter(Protocol):
    """Hands records of the journal to one receiver; used by one thread.

    After an error it is closed and another one opened, which gets the records again.
    """

    def deliver(self, records: Sequence[Record]) -> None:
        """Hand over records in order; returns once the receiver has acknowledged all, raises ReporterError else."""
        ...

    def check(self) -> None:
        """Called every few seconds; raises ReporterError where the connection is lost."""
        ...

    def close(self) -> None:
        """Let go of the receiver."""
        ...
