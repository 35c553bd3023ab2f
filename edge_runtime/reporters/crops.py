"""Crops kept for labelling: a folder that becomes training data once its pictures are sorted into labels."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import cv2

from edge_runtime.pipeline import Step
from edge_runtime.preprocess import cut_out
from edge_runtime.records import UNSORTED, Frame, TrackedDetection

COLUMNS = ("file", "fruit", "group", "source", "frame", "captured_ns", "position_mm")


class CropFolder:
    """Writes `unsorted/FRUIT-FRAME.png`, as the model would see them, and `manifest.csv`.

    Args:
        folder: Must hold none yet; created with the first picture.
        source: Where the pictures come from, for the manifest.
        run: Beginning of the fruits' names. Six hex digits of the first picture follow, so that the fruit of two runs
            stay two also where both were of one camera and are sorted into one folder.
        margin: As in the model's input.
        budget_mb: No more than this is written; None for no limit.
    """

    def __init__(self, folder: Path, *, source: str, run: str, margin: float, budget_mb: float | None = None) -> None:
        self._folder = folder
        self._source, self._run, self._margin = source, run, margin
        self._left_bytes = float("inf") if budget_mb is None else budget_mb * 1e6
        self.kept = 0
        self.fruits: set[int] = set()
        self.refused = 0
        self._stream: TextIO | None = None

    def add(self, frame: Frame, view: TrackedDetection) -> bool:
        """Keep one view of a fruit, seen in this frame; False where the budget is used up."""
        crop = cut_out(frame.image, view.detection.box, self._margin)
        encoded, data = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
        if not encoded or len(data) > self._left_bytes:
            self.refused += 1
            return False
        if self._stream is None:
            self._run = f"{self._run}-{_fingerprint(frame)}"
            (self._folder / UNSORTED).mkdir(parents=True)
            self._stream = (self._folder / "manifest.csv").open("w", newline="", encoding="utf-8")
            csv.writer(self._stream, lineterminator="\n").writerow(COLUMNS)
        fruit = f"{self._run}-{view.fruit_id:05d}"
        file = self._folder / UNSORTED / f"{fruit}-{view.frame_index:07d}.png"
        file.write_bytes(data.tobytes())
        self._left_bytes -= len(data)
        self.kept += 1
        self.fruits.add(view.fruit_id)
        place = None if view.position_mm is None else f"{view.position_mm:.1f}"
        name = f"{UNSORTED}/{file.name}"
        row = [name, fruit, fruit, self._source, view.frame_index, view.captured_ns, place]
        csv.writer(self._stream, lineterminator="\n").writerow(row)
        self._stream.flush()
        return True

    def add_unfamiliar(self, frame: Frame, step: Step) -> None:
        """Keep those fruit that this frame's decisions call unfamiliar."""
        strange = {decision.fruit_id for decision in step.decisions if decision.unfamiliar}
        for view in step.tracked:
            if view.fruit_id in strange:
                self.add(frame, view)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()


def _fingerprint(frame: Frame) -> str:
    return hashlib.sha256(frame.image.tobytes() + str(frame.captured_ns).encode()).hexdigest()[:6]
