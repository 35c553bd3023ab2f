"""A camera whose stamps are late, put right: frames with the time of their exposure and the belt's place then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edge_runtime.ports import Camera, Encoder
from edge_runtime.records import Frame


class AtExposure:
    """Another camera's frames, `delay_ms` earlier.

    Args:
        camera: Stamps its frames that much too late.
        encoder: Asked for the belt's place at exposure; None leaves frames without one.
        delay_ms: `[camera]` of `line.toml`.
    """

    def __init__(self, camera: Camera, encoder: Encoder | None, delay_ms: float) -> None:
        self._camera, self._encoder, self._delay_ns = camera, encoder, round(1e6 * delay_ms)
        self.name, self.live, self.frame_rate_hz = camera.name, camera.live, camera.frame_rate_hz
        self.dropped = camera.dropped

    @property
    def truncated(self) -> str | None:
        """What a recording that ends early says of it."""
        return getattr(self._camera, "truncated", None)

    def frames(self) -> Iterator[Frame]:
        """See `edge_runtime.ports.Camera`."""
        for frame in self._camera.frames():
            self.dropped = self._camera.dropped
            exposed_ns = frame.captured_ns - self._delay_ns
            belt_mm = None if self._encoder is None else self._encoder.position_mm(exposed_ns)
            yield replace(frame, captured_ns=exposed_ns, belt_mm=belt_mm)
        self.dropped = self._camera.dropped

    def close(self) -> None:
        """See `edge_runtime.ports.Camera`."""
        self._camera.close()
