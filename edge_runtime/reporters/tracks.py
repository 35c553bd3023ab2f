"""Every view of every fruit, as `tracks.csv`: what the tracker saw, frame by frame."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_runtime.records import Frame, TrackedDetection

COLUMNS = ("frame", "fruit_id", "position_mm", "across_mm", "lane", "box", "captured_ns", "belt_mm")


class TracksFile:
    """Writes a row a view; `box` is `x y w h` in pixels, what is not known is empty.

    Args:
        file: Created.
    """

    def __init__(self, file: Path) -> None:
        self._stream = file.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._stream, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def add(self, frame: Frame, tracked: Iterable[TrackedDetection]) -> None:
        """Write the views of one frame."""
        for view in tracked:
            box = " ".join(map(str, view.detection.box.as_list()))
            places = (None if mm is None else f"{mm:.3f}" for mm in (view.position_mm, view.across_mm))
            belt = None if frame.belt_mm is None else f"{frame.belt_mm:.3f}"
            self._rows.writerow([frame.index, view.fruit_id, *places, view.lane, box, frame.captured_ns, belt])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
