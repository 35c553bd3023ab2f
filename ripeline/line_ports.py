"""The edges of a line that runs in processes: each opens what it needs, by what the command line said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ripeline.line_source import SIMULATED, at_exposure, is_live, recorded_encoder

if TYPE_CHECKING:
    from edge_runtime.ports import Camera, Clock, Encoder, Outputs
    from edge_runtime.settings.config import LineConfig
    from simulator.line import SimulatedLine


@dataclass(frozen=True)
class RealPorts:
    """A camera, stream or recording, and the outputs that `line.toml` names.

    Attributes:
        source: As given; a recording may have an `encoder` file.
        config: `line.toml`.
    """

    source: str
    encoder: Path | None
    config: LineConfig

    @property
    def live(self) -> bool:
        """Devices and streams drop frames, recordings do not."""
        return is_live(self.source)

    def open_camera(self) -> Camera:
        """See `edge_runtime.ports.LinePorts`."""
        from edge_runtime.cameras import open_camera

        return at_exposure(open_camera(self.source, self.config.camera), self.open_encoder(), self.config)

    def open_encoder(self) -> Encoder | None:
        """See `edge_runtime.ports.LinePorts`."""
        return recorded_encoder(self.source, self.encoder, self.config)

    def open_outputs(self) -> Outputs:
        """See `edge_runtime.ports.LinePorts`."""
        from edge_runtime.ejectors import LineOutputs

        return LineOutputs(self.config)

    def clock(self) -> Clock:
        """The machine's."""
        from edge_runtime.clock import SystemClock

        return SystemClock()


@dataclass(frozen=True)
class SimulatedPorts:
    """A simulated line by the real clock, the same world in every process that opens it.

    Attributes:
        source: `sim:NAME?…`.
        start_ns: The monotonic time at which its belt starts.
        duration_s: Instead of the scenario's own.
        folder: Where its outputs write what they did.
        config: `line.toml`.
    """

    source: str
    start_ns: int
    duration_s: float | None
    folder: Path
    config: LineConfig

    live = True

    def line(self) -> SimulatedLine:
        """The whole of it, laid out once in a process."""
        return _line(self.source, self.start_ns, self.duration_s)

    def open_camera(self) -> Camera:
        """See `edge_runtime.ports.LinePorts`."""
        from simulator.line import line_of

        # Anew each time, since a camera that was closed stays so; the world is the same.
        line = line_of(self.line().world, name=self.source, paced=True, start_ns=self.start_ns)
        return at_exposure(line.camera, line.encoder, self.config)

    def open_encoder(self) -> Encoder | None:
        """See `edge_runtime.ports.LinePorts`."""
        return self.line().encoder

    def open_outputs(self) -> Outputs:
        """See `edge_runtime.ports.LinePorts`."""
        from simulator.outputs import SimulatedOutputs

        return SimulatedOutputs(self.line().ejector, self.folder)

    def clock(self) -> Clock:
        """The machine's."""
        from edge_runtime.clock import SystemClock

        return SystemClock()


def lay_out(source: str, duration_s: float | None) -> SimulatedLine:
    """A simulated line that has not started, made once in a process; each process makes its own."""
    return _laid_out(source, duration_s)


@cache
def _laid_out(source: str, duration_s: float | None) -> SimulatedLine:
    from simulator.line import open_source

    return open_source(source.removeprefix(SIMULATED), duration_s=duration_s)


@cache
def _line(source: str, start_ns: int, duration_s: float | None) -> SimulatedLine:
    from simulator.line import line_of

    known = _laid_out(source, duration_s)
    return line_of(
        known.world,
        name=source,
        paced=True,
        fruit_images=known.fruit_images,
        start_ns=start_ns,
        renderer=known.renderer,
    )
