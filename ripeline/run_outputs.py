"""What a run writes beside its decisions: a film, the tracks, pictures of unfamiliar fruit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.line import OnFrame
    from edge_runtime.pipeline import Step
    from edge_runtime.records import Frame


@dataclass(frozen=True)
class RunOutputs:
    """Plain values, so that another process can open it.

    Attributes:
        output: Folder of the run.
        source: Where its pictures come from.
        margin: Around a fruit, as in the model's input.
        unfamiliar_mb: Disk for pictures of unfamiliar fruit, of all starts of one run together.
        annotate: Whether to make a film.
        trace: Whether to write the tracks.
        frame_rate_hz: Of the film.
        live: Whether the line goes on whatever its disk does; pictures that a slow one has no time for are left out.
    """

    output: Path
    source: str
    margin: float
    unfamiliar_mb: float
    annotate: bool = False
    trace: bool = False
    frame_rate_hz: float | None = None
    live: bool = False

    @contextmanager
    def __call__(self, start: int = 0) -> Iterator[OnFrame]:
        """Open what was asked for; a process that was started again (`start` > 0) writes to a folder of its own."""
        from edge_runtime.reporters.aside import Aside
        from edge_runtime.reporters.crops import CropFolder
        from edge_runtime.reporters.tracks import TracksFile
        from edge_runtime.reporters.video import AnnotatedVideo

        folder = self.output / f"restart-{start}" if start else self.output
        run = self.output.resolve().name + (f"-{start}" if start else "")
        kept = (self.output / "unfamiliar", *self.output.glob("restart-*/unfamiliar"))
        left_mb = self.unfamiliar_mb - sum(_size(place) for place in kept) / 1e6
        crops = CropFolder(folder / "unfamiliar", source=self.source, run=run, margin=self.margin, budget_mb=left_mb)
        if start and (self.annotate or self.trace):
            folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(crops)
            aside = stack.enter_context(Aside("pictures of unfamiliar fruit")) if self.live else None
            video = tracks = None
            if self.annotate:
                video = stack.enter_context(AnnotatedVideo(folder / "annotated.mp4", self.frame_rate_hz))
            if self.trace:
                tracks = stack.enter_context(TracksFile(folder / "tracks.csv"))

            def on_frame(frame: Frame, step: Step) -> None:
                if aside is None:
                    crops.add_unfamiliar(frame, step)
                elif any(decision.unfamiliar for decision in step.decisions):
                    aside.do(lambda: crops.add_unfamiliar(frame, step))
                if video is not None:
                    video.add(frame, step)
                if tracks is not None:
                    tracks.add(frame, step.tracked)

            yield on_frame


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.png"))
