"""Another camera's frames, with other stamps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from edge_runtime.cameras.lock import unheld
from edge_runtime.ports import Camera
from edge_runtime.records import Frame


class Restamped(ABC):
    """A camera in all but the stamps of its frames.

    Args:
        camera: Where the frames come from.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.name, self.live, self.frame_rate_hz = camera.name, camera.live, camera.frame_rate_hz
        self.dropped = camera.dropped

    @property
    def truncated(self) -> str | None:
        """What a recording that ends early says of it."""
        return getattr(self._camera, "truncated", None)

    @property
    def unheld(self) -> tuple[str, ...]:
        """What it does not keep as stated."""
        return unheld(self._camera)

    def frames(self) -> Iterator[Frame]:
        """See `edge_runtime.ports.Camera`."""
        for frame in self._camera.frames():
            self.dropped = self._camera.dropped
            yield self._stamped(frame)
        self.dropped = self._camera.dropped

    def close(self) -> None:
        """See `edge_runtime.ports.Camera`."""
        self._camera.close()

    @abstractmethod
    def _stamped(self, frame: Frame) -> Frame:
        """The frame as it leaves."""
