"""A camera that sends film: MPEG-4 between the sensor and the reader, by OpenCV's own encoder and decoder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2

from edge_runtime.errors import InputError
from edge_runtime.records import Image

GROUP = 12
"""Frames from one that is whole to the next; between them a frame is told by its difference from the one before."""


class FilmCoder:
    """Frames as they come out of the decoder, each group by itself, so that a frame depends on its index alone.

    A group can be decoded when all of it is encoded. While one is read the next is drawn, a frame for a frame, so that
    reading in order takes the same time for each.

    Args:
        draw: The picture that goes in, by index.
        frames: How many there are.
        rate_hz: Of the film; the encoder allots bits by it.
        size_px: Width and height.
    """

    def __init__(self, draw: Callable[[int], Image], *, frames: int, rate_hz: float, size_px: tuple[int, int]) -> None:
        self._draw, self._frames, self._rate_hz, self._size_px = draw, frames, rate_hz, size_px
        self._group, self._decoded, self._last = -1, list[Image](), -1
        self._ahead: _Film | None = None

    def picture(self, index: int) -> Image:
        """What arrives as frame `index`, `[height, width, 3]` uint8 RGB; the caller may write on it."""
        group, place = divmod(index, GROUP)
        if group != self._group:
            self._decoded, self._group = self._finish(group), group
        if 0 < index - self._last < GROUP:
            self._draw_on(group + 1, place + 1)
        self._last = index
        return self._decoded[place].copy()

    def _finish(self, group: int) -> list[Image]:
        """All frames of a group, encoded and decoded again."""
        self._draw_on(group, GROUP)
        film, self._ahead = self._ahead, None
        return [] if film is None else film.develop()

    def _draw_on(self, group: int, count: int) -> None:
        """See that the first `count` frames of a group are encoded."""
        if self._ahead is None or self._ahead.group != group:
            self._ahead = _Film(group, self._rate_hz, self._size_px)
        first = group * GROUP
        for index in range(first + self._ahead.count, min(first + count, self._frames)):
            self._ahead.add(self._draw(index))


class _Film:
    """One group of frames on its way through the encoder."""

    def __init__(self, group: int, rate_hz: float, size_px: tuple[int, int]) -> None:
        self.group, self.count = group, 0
        self._folder = tempfile.TemporaryDirectory(prefix="ripeline-film-")
        self._path = str(Path(self._folder.name) / "group.mp4")
        self._writer = cv2.VideoWriter(self._path, cv2.VideoWriter.fourcc(*"mp4v"), rate_hz, size_px)
        if not self._writer.isOpened():
            raise InputError(
                f"OpenCV {cv2.__version__} encodes no MPEG-4 here.",
                expected="an OpenCV with FFmpeg, and room for temporary files",
                remedy="Leave out camera.mpeg4, or use camera.jpeg_quality.",
            )

    def add(self, picture: Image) -> None:
        """Encode one more frame."""
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.count += 1

    def develop(self) -> list[Image]:
        """What was added, decoded."""
        self._writer.release()
        film, pictures = cv2.VideoCapture(self._path), list[Image]()
        while len(pictures) < self.count:
            arrived, picture = film.read()
            if not arrived:
                raise RuntimeError(f"{len(pictures)} frames of {self.count} came out of the MPEG-4 decoder")
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))  # type: ignore[arg-type]
        film.release()
        self._folder.cleanup()
        return pictures
