"""Does a fast line keep up when it runs in processes?

The frames of `runtime.py` (1280x720 at 60 frames/s, 30 fruit/s in four lanes, rendered beforehand), at the pace of the
clock, through capture, shared memory and vision: frames dropped, and the time from the last view that a decision needed
to the decision, beside the same in one process.

    python benchmarks/processes.py [--bundle BUNDLE] [--seconds S] [--quick] [--json]
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from overhead import make_bundle
from record import arguments, publish
from runtime import BARS, Rendered, at_pace, fast_line

from edge_runtime.bundles.bundle import Bundle, open_bundle, proof
from edge_runtime.bundles.select import Selection, select_engine
from edge_runtime.clock import SystemClock
from edge_runtime.processes.board import Cell
from edge_runtime.processes.facts import RUN
from edge_runtime.processes.plan import LinePlan
from edge_runtime.processes.supervisor import Supervisor
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.safety_settings import ProcessSettings
from edge_runtime.settings.vision_settings import BeltSettings
from ripeline.run_outputs import RunOutputs
from simulator.camera import PacedCamera
from simulator.outputs import SimulatedOutputs


@dataclass(frozen=True)
class MemoryPorts:
    """The fast line, rendered by the capture process before its first frame; the belt's place comes with the frames."""

    seconds: float
    folder: Path
    runtime: Path

    source = "memory"
    live = True

    def open_camera(self) -> PacedCamera:
        """All frames in memory, by the clock from when vision is there."""
        line = fast_line(self.seconds)
        rendered = Rendered(line)
        while not (self.runtime / RUN).exists():  # written once the model is loaded
            time.sleep(0.05)
        time.sleep(1.0)
        return PacedCamera(rendered, line.encoder)

    def open_encoder(self) -> None:
        """None: frames are stamped."""

    def open_outputs(self) -> SimulatedOutputs:
        """Files in the folder."""
        return SimulatedOutputs(fast_line(self.seconds).ejector, self.folder)

    def clock(self) -> SystemClock:
        """The machine's."""
        return SystemClock()


def main() -> None:
    """Measure and publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: a small one made now, alpha 0.35 at 160 px"}),
        ("--seconds", {"type": float, "default": 6.0, "help": "of belt; a second takes 170 MB of memory"}),
    )
    cv2.setNumThreads(1)
    seconds = 4.0 if options.quick else options.seconds
    with tempfile.TemporaryDirectory() as scratch:
        bundle = open_bundle(options.bundle or make_bundle(Path(scratch)))
        chosen = select_engine(bundle)
        apart = in_processes(bundle, chosen, seconds, Path(scratch))
        line = fast_line(seconds)
        together = at_pace(bundle, chosen, line, Rendered(line))
    bars = {name: BARS[name] for name in ("dropped", "decision_p99_ms")}
    figures = {"bars": bars, "engine": chosen.engine.name, "processes": apart, "one_process": together}
    publish("processes", figures, json.dumps(figures, indent=2), options)


def in_processes(bundle: Bundle, chosen: Selection, seconds: float, scratch: Path) -> dict[str, Any]:
    """One pass of the line."""
    output, runtime = scratch / "out", scratch / "runtime"
    output.mkdir()
    runtime.mkdir()
    line = fast_line(seconds)
    belt = BeltSettings(direction=line.direction, mm_per_px=line.mm_per_px, lanes=line.lanes)
    plan = LinePlan(
        MemoryPorts(seconds, output, runtime),
        LineConfig(
            name="benchmark",
            belt=belt,
            ejector=tuple(line.ejectors()),
            processes=ProcessSettings(hung_s=120.0, memory_mb=8000.0),  # rendering takes as long as it takes
        ),
        bundle.folder,
        chosen.artefact,
        chosen.engine.name,
        bundle.manifest.policy,
        output,
        runtime,
        proof(bundle.folder),
        RunOutputs(output, "memory", margin=bundle.manifest.input.margin, unfamiliar_mb=0.0, trace=True),
    )
    with closing(Supervisor(plan)) as supervisor:
        supervisor.run()
        read, dropped = (supervisor.board[cell] for cell in (Cell.CAPTURE_FRAMES, Cell.CAPTURE_DROPPED))
        processed = supervisor.board[Cell.VISION_FRAMES]
    with (output / "tracks.csv").open(encoding="utf-8", newline="") as stream:
        captured_ns = {int(row["frame"]): int(row["captured_ns"]) for row in csv.DictReader(stream)}
    rows = [json.loads(text) for text in (output / "decisions.jsonl").read_text("utf-8").splitlines()]
    late_ms = [
        (row["decided_ns"] - captured_ns[row["last_frame"]]) / 1e6 for row in rows if row["last_frame"] in captured_ns
    ]
    return {
        "frames": {"read": read + dropped, "processed": processed, "dropped": read + dropped - processed},
        "decisions": len(rows),
        "capture_to_decision_ms": {f"p{at}": round(float(np.percentile(late_ms, at)), 3) for at in (50, 99)},
    }


if __name__ == "__main__":
    main()
