"""Adapters for picture sources: one file for each kind. RGB uint8 leaves them, BGR never does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_runtime.cameras.device import open_device
from edge_runtime.cameras.image_folder import ImageFolder
from edge_runtime.cameras.stream import open_stream
from edge_runtime.cameras.video_file import VideoFile
from edge_runtime.encoders.csv_file import CsvEncoder, find_encoder
from edge_runtime.errors import CameraError
from edge_runtime.ports import Camera
from edge_runtime.settings.vision_settings import CameraSettings

__all__ = ["CAMERAS", "is_live", "open_camera", "source_kind"]


def _open_folder(source: str) -> Camera:
    """A recording as pictures has no frame rate of its own; the encoder rows beside it, one a frame, do."""
    encoder = find_encoder(source)
    return ImageFolder(Path(source), CsvEncoder(encoder).rate_hz if encoder else None)


CAMERAS: dict[str, Callable[[str, CameraSettings], Camera]] = {
    "file": lambda source, _: VideoFile(Path(source)),
    "folder": lambda source, _: _open_folder(source),
    "device": open_device,
    "stream": open_stream,
}


def source_kind(source: str) -> str:
    """Which of `CAMERAS` a source means: digits or `/dev/…` a device, `scheme://` a stream, a directory a folder.

    What lies in `/dev/shm` are files in memory.
    """
    if (source.isascii() and source.isdigit()) or (source.startswith("/dev/") and not source.startswith("/dev/shm/")):
        return "device"
    if "://" in source:
        return "stream"
    return "folder" if Path(source).is_dir() else "file"


def is_live(source: str) -> bool:
    """Whether its pictures are lost if nobody takes them in time."""
    return source_kind(source) in ("device", "stream")


def open_camera(source: str, settings: CameraSettings | None = None) -> Camera:
    """Open a video file, a folder of pictures, a camera by its index ("0") or device file, or a URL.

    Raises:
        CameraError: The source does not exist or gives no pictures.
        EncoderError: The `encoder.csv` in a folder of pictures is malformed.
    """
    if not source.strip():
        raise CameraError("The source is empty.", expected="a video, a folder of pictures, an index or a URL")
    return CAMERAS[source_kind(source)](source, settings or CameraSettings())
