"""What the command line asked of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ripeline.earlier_result import replacing
from ripeline.run_outputs import RunOutputs

if TYPE_CHECKING:
    from edge_runtime.bundles.bundle import Bundle
    from edge_runtime.settings.config import LineConfig

MARKER = "decisions.jsonl"


@dataclass(frozen=True)
class Asked:
    """The options of `ripeline run` that say what is run and what is written; `proof` is of the bundle as verified."""

    source: str
    encoder: Path | None
    output: Path
    annotate: bool
    trace: bool
    duration_s: float | None
    force: bool
    proof: str

    def new_output(self) -> AbstractContextManager[Callable[[], None]]:
        """Makes the folder for the results; see `earlier_result.replacing`."""
        return replacing(self.output, marker=MARKER, force=self.force)

    def outputs(
        self, bundle: Bundle, settings: LineConfig, frame_rate_hz: float | None = None, *, live: bool = False
    ) -> RunOutputs:
        """What is written beside the decisions."""
        from edge_runtime.cameras.stream import hide_password

        return RunOutputs(
            self.output,
            hide_password(self.source),
            margin=bundle.manifest.input.margin,
            unfamiliar_mb=settings.decide.unfamiliar_mb,
            annotate=self.annotate,
            trace=self.trace,
            frame_rate_hz=frame_rate_hz,
            live=live,
        )
