"""What verbs that look at a belt share: the source, its encoder and the settings beside it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ripeline import console

if TYPE_CHECKING:
    from edge_runtime.errors import InputError
    from edge_runtime.ports import Camera, Encoder
    from edge_runtime.settings.config import LineConfig
    from simulator.line import SimulatedLine

SIMULATED = "sim:"


def is_live(source: str) -> bool:
    """Whether a source goes on whether or not anybody looks."""
    from edge_runtime.cameras import is_live

    return "clock=real" in source if source.startswith(SIMULATED) else is_live(source)


def settings(source: str, config: Path | None) -> LineConfig:
    """`line.toml` as given, or the one that lies beside a recording, or defaults."""
    from edge_runtime.settings.config import LineConfig
    from edge_runtime.settings.config_file import load_line_config

    if config is not None:
        return load_line_config(config)
    beside = Path(source).parent / "line.toml"
    if not source.startswith(SIMULATED) and Path(source).is_file() and beside.is_file():
        console.notice(f"using {beside}, which lies beside the recording.")
        return load_line_config(beside)
    return LineConfig()


def settings_and_source(source: str | None, config: Path | None) -> tuple[LineConfig, str]:
    """`settings`, and the source that was given or that they name."""
    from edge_runtime.settings.config_file import load_line_config

    if source is not None:
        return settings(source, config), source
    found = load_line_config(config) if config is not None else None
    if found is None or found.source is None:
        raise no_source()
    return found, found.source


def check(source: str) -> None:
    """Raise InputError for a simulated line that there is not, before any work has gone into running it."""
    if source.startswith(SIMULATED):
        from simulator.line import read_source

        read_source(source.removeprefix(SIMULATED))


def no_source() -> InputError:
    """The error of a line that nobody told where to look."""
    from edge_runtime.errors import InputError

    return InputError(
        "There is no source: --source is missing.",
        remedy='give --source, or write source = "…" at the top of the line.toml of --config',
    )


def open_source(
    source: str, encoder: Path | None, settings: LineConfig, duration_s: float | None
) -> tuple[Camera, Encoder | None, LineConfig, SimulatedLine | None]:
    """Camera, encoder, settings completed by what the source knows of itself, and the whole line if it is simulated."""
    from edge_runtime.cameras import open_camera

    if source.startswith(SIMULATED):
        from simulator.line import open_source

        refuse_encoder(source, encoder)
        line = open_source(source.removeprefix(SIMULATED), duration_s=duration_s)
        tell(line)
        camera = at_exposure(line.camera, line.encoder, settings)
        return camera, line.encoder, of_simulated(line, settings), line
    positions = recorded_encoder(source, encoder, settings)
    return at_exposure(open_camera(source, settings.camera), positions, settings), positions, settings, None


def refuse_encoder(source: str, encoder: Path | None) -> None:
    """Raise InputError for an encoder file beside a simulated line."""
    from edge_runtime.errors import InputError

    if encoder is not None:
        raise InputError(
            f"{source} brings an encoder of its own; --encoder {encoder} would contradict it.",
            remedy="leave out --encoder",
        )


def of_simulated(line: SimulatedLine, settings: LineConfig) -> LineConfig:
    """The settings with what a simulated line knows of its belt and its camera's sensor."""
    known = {"direction": line.direction, "mm_per_px": line.mm_per_px, "lanes": line.lanes}
    sensor = {"readout_ms": line.readout_ms}
    return settings.model_copy(
        update={"belt": settings.belt.model_copy(update=known), "camera": settings.camera.model_copy(update=sensor)}
    )


def tell(line: SimulatedLine) -> None:
    """Say what of a simulated line's photographs was left out."""
    for text in line.world.notices:
        console.notice(text)


def line_id(source: str, output: Path) -> str | None:
    """The name of the simulated line that a run has seen: its truth lies in `output`, or beside the film of it."""
    place = output if source.startswith(SIMULATED) else Path(source)
    if not place.exists():
        return None
    from simulator.truth_file import line_id_beside

    return line_id_beside(place)


def recorded_encoder(source: str, encoder: Path | None, settings: LineConfig) -> Encoder | None:
    """The belt positions that were given, or that lie beside a recording."""
    from edge_runtime.encoders.csv_file import CsvEncoder, find_encoder
    from edge_runtime.encoders.scaled import ScaledEncoder

    file = encoder or find_encoder(source)
    return ScaledEncoder(CsvEncoder(file), settings.encoder.mm_per_tick) if file is not None else None


def at_exposure(camera: Camera, encoder: Encoder | None, settings: LineConfig) -> Camera:
    """The camera with its frames stamped with time and place of their exposure, as far as `line.toml` allows.

    Without an encoder the place is that of the belt's texture.
    """
    from edge_runtime.cameras.exposure import AtExposure
    from edge_runtime.cameras.watched_belt import WatchedBelt

    if settings.camera.delay_ms > 0:
        camera = AtExposure(camera, encoder, settings.camera.delay_ms)
    belt = settings.belt
    if encoder is None and belt.direction is not None and belt.mm_per_px is not None:
        return WatchedBelt(camera, belt.direction, belt.mm_per_px)
    return camera


class ending_on_signals:  # noqa: N801 - reads as a verb where it is used
    """End a run in order on SIGINT or SIGTERM, and after `limit_s` of real time even if the camera is silent."""

    def __init__(self, stop: threading.Event, camera: Camera, limit_s: float | None) -> None:
        self._stop, self._camera = stop, camera
        self._timer = threading.Timer(limit_s + 1.0, self._end) if limit_s is not None else None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        if self._camera.live:
            threading.Thread(target=self._camera.close, daemon=True).start()
