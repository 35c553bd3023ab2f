"""A camera over a belt without an encoder: its frames leave with the belt's place by the texture that they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edge_runtime.belt_texture import BeltTexture
from edge_runtime.ports import Camera
from edge_runtime.records import BeltDirection, Frame


class WatchedBelt:
    """Another camera's frames with `belt_mm`, None as long as the texture does not tell it.

    Args:
        camera: Its frames carry no place.
        direction: Where the belt runs to in the picture.
        mm_per_px: Scale.
    """

    def __init__(self, camera: Camera, direction: BeltDirection, mm_per_px: float) -> None:
        self._camera, self._texture, self._mm_per_px = camera, BeltTexture(direction), mm_per_px
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
            step = self._texture.see(frame.image, frame.captured_ns)
            yield replace(frame, belt_mm=step.way_px * self._mm_per_px if step.known else None)
        self.dropped = self._camera.dropped

    def close(self) -> None:
        """See `edge_runtime.ports.Camera`."""
        self._camera.close()
