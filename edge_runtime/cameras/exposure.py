"""A camera whose stamps are late, put right: frames with the time of their exposure and the belt's place then."""

from __future__ import annotations

from dataclasses import replace

from edge_runtime.cameras.restamped import Restamped
from edge_runtime.ports import Camera, Encoder
from edge_runtime.records import Frame


class AtExposure(Restamped):
    """Another camera's frames, `delay_ms` earlier.

    Args:
        camera: Stamps its frames that much too late.
        encoder: Asked for the belt's place at exposure; None leaves frames without one.
        delay_ms: `[camera]` of `line.toml`.
    """

    def __init__(self, camera: Camera, encoder: Encoder | None, delay_ms: float) -> None:
        super().__init__(camera)
        self._encoder, self._delay_ns = encoder, round(1e6 * delay_ms)

    def _stamped(self, frame: Frame) -> Frame:
        exposed_ns = frame.captured_ns - self._delay_ns
        belt_mm = None if self._encoder is None else self._encoder.position_mm(exposed_ns)
        return replace(frame, captured_ns=exposed_ns, belt_mm=belt_mm)
