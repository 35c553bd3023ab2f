"""The frames of a run with boxes and verdicts drawn on, as a video."""

from __future__ import annotations

from collections import Counter, OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from edge_runtime.annotate import Mark, draw_frame
from edge_runtime.errors import InputError
from edge_runtime.pipeline import Step
from edge_runtime.records import Box, Decision, Frame, Verdict

_REMEMBERED = 500


class AnnotatedVideo:
    """Writes an mp4 as large as the frames; opened by the first one.

    Args:
        file: Where to.
        frame_rate_hz: Of the source; 25 when it does not say.
    """

    def __init__(self, file: Path, frame_rate_hz: float | None) -> None:
        self._file = file
        self._frame_rate_hz = frame_rate_hz or 25.0
        self._writer: cv2.VideoWriter | None = None
        self._decided: OrderedDict[int, Decision] = OrderedDict()
        self._counts: Counter[str] = Counter(dict.fromkeys(Verdict, 0))

    def add(self, frame: Frame, step: Step) -> None:
        """Draw one frame; raises InputError when the video cannot be written."""
        for decision in step.decisions:
            self._decided[decision.fruit_id] = decision
            self._counts[decision.verdict] += 1
            if len(self._decided) > _REMEMBERED:
                self._decided.popitem(last=False)
        marks = [self._mark(view.fruit_id, view.detection.box) for view in step.tracked]
        drawn = draw_frame(frame.image, marks, header=f"frame {frame.index}", counts=self._counts)
        if self._writer is None:
            self._writer = self._open(drawn.shape[1], drawn.shape[0])
        self._writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mark(self, fruit_id: int, box: Box) -> Mark:
        decision = self._decided.get(fruit_id)
        if decision is None:
            return Mark(box, fruit_id)
        return Mark(box, fruit_id, decision.verdict, decision.label, decision.probabilities[decision.label])

    def _open(self, width_px: int, height_px: int) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(self._file), codec, self._frame_rate_hz, (width_px, height_px))
        if not writer.isOpened():
            raise InputError(
                f"The video {self._file} cannot be written.",
                expected="an OpenCV with FFmpeg's MPEG-4 encoder, and a folder that can be written to",
                remedy="leave out --annotate, or install opencv-python-headless from the package index",
            )
        return writer
