"""A camera over a belt without an encoder: its frames leave with the belt's place by the texture that they show."""

from __future__ import annotations

from dataclasses import replace

from edge_runtime.cameras.restamped import Restamped
from edge_runtime.ports import Camera
from edge_runtime.records import BeltDirection, Frame
from edge_runtime.tracking.belt_texture import BeltTexture


class WatchedBelt(Restamped):
    """Another camera's frames with `belt_mm`, None as long as the texture does not tell it.

    Args:
        camera: Its frames carry no place.
        direction: Where the belt runs to in the picture.
        mm_per_px: Scale.
    """

    def __init__(self, camera: Camera, direction: BeltDirection, mm_per_px: float) -> None:
        super().__init__(camera)
        self._texture, self._mm_per_px = BeltTexture(direction), mm_per_px

    def _stamped(self, frame: Frame) -> Frame:
        step = self._texture.see(frame.image, frame.captured_ns)
        return replace(frame, belt_mm=step.way_px * self._mm_per_px if step.known else None)
