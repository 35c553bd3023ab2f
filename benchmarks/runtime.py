"""Does the runtime keep up with a fast line?

A drawn line, 1280x720 at 60 frames/s with 30 fruit/s in four lanes, rendered beforehand and replayed from memory,
three times: flat out with the bare engine beside each frame (what each stage costs, by the clock on the wall), flat out
by the processor time of the thread that sees (the same without what else the machine does; an engine's own threads are
not in it), and at the pace of the clock (frames dropped, and the time from the last view that a decision needed to the
decision).

    python benchmarks/runtime.py [--bundle BUNDLE] [--seconds S] [--quick] [--json]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from overhead import bare_engine, make_bundle
from record import arguments, publish

from edge_runtime.bundles.bundle import Bundle, open_bundle
from edge_runtime.bundles.select import Selection, select_engine
from edge_runtime.line import run_line
from edge_runtime.pipeline import Pipeline, Step
from edge_runtime.ports import Engine
from edge_runtime.records import Decision, Frame
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.vision_settings import BeltSettings
from simulator.camera import PacedCamera, SimulatedCamera
from simulator.line import SimulatedLine, line_of
from simulator.scenario import load_scenario
from simulator.world import build_world

RATE_HZ, FRUIT_PER_S, SPEED_MM_S = 60.0, 30.0, 700.0
BARS = {"dropped": 0, "decision_p99_ms": 1000 / RATE_HZ, "localize_track_p99_ms": 3.0, "all_but_infer_p99_ms": 5.0}


def main() -> None:
    """Measure and publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: a small one made now, alpha 0.35 at 160 px"}),
        ("--seconds", {"type": float, "default": 6.0, "help": "of belt; a second takes 170 MB of memory"}),
    )
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = open_bundle(options.bundle or make_bundle(Path(scratch)))
        chosen = select_engine(bundle)
        line = fast_line(2.0 if options.quick else options.seconds)
        frames = Rendered(line)
        stages = flat_out(bundle, chosen, line, frames, time.perf_counter)
        thread = flat_out(bundle, chosen, line, frames, time.thread_time)
        paced = at_pace(bundle, chosen, line, frames)
    figures = {
        "bars": BARS,
        "frames": len(frames.kept),
        "fruit": len(line.truth()),
        "artefact": chosen.artefact,
        "engine": chosen.engine.name,
        "stages_ms": stages,
        "stages_thread_ms": thread,
        "paced": paced,
    }
    publish("runtime", figures, _table(figures), options)


class Rendered(SimulatedCamera):
    """All frames of a line in memory."""

    def __init__(self, line: SimulatedLine) -> None:
        super().__init__(line.world, line.encoder, name="memory", renderer=line.renderer)
        self.kept = list(super().frames())

    def frames(self) -> Iterator[Frame]:
        """The same pictures again, stamped by the clock of this run."""
        start_ns = self._encoder.start_ns
        for frame in self.kept:
            # Due when exposed: what a camera takes to hand a picture over is none of the runtime's time.
            yield replace(frame, captured_ns=frame.captured_ns + start_ns, read_ns=None)


def fast_line(seconds: float) -> SimulatedLine:
    """The scenario `crowded`, faster."""
    crowded = load_scenario("crowded")
    scenario = crowded.model_copy(
        update={
            "seconds": seconds,
            "belt": crowded.belt.model_copy(update={"speed_mm_s": SPEED_MM_S}),
            "fruit": crowded.fruit.model_copy(update={"per_second": FRUIT_PER_S}),
            "camera": crowded.camera.model_copy(update={"frame_rate_hz": RATE_HZ}),
        }
    )
    return line_of(build_world(scenario, seed=11), name="memory")


def new_pipeline(
    bundle: Bundle,
    engine: Engine,
    temperature: float,
    line: SimulatedLine,
    stopwatch: Callable[[], float] = time.perf_counter,
) -> Pipeline:
    """As `ripeline run` wires it."""
    belt = BeltSettings(direction=line.direction, mm_per_px=line.mm_per_px, lanes=line.lanes)
    policy = bundle.manifest.policy
    return Pipeline(bundle.manifest, engine, temperature, policy, LineConfig(belt=belt), stopwatch=stopwatch)


def flat_out(
    bundle: Bundle, chosen: Selection, line: SimulatedLine, frames: Rendered, stopwatch: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Milliseconds of each stage, one frame after the other, and of the bare engine on as many crops."""
    counted = Counting(chosen.engine)
    pipeline = new_pipeline(bundle, counted, chosen.temperature, line, stopwatch)
    bare = bare_engine(chosen.engine.name, bundle.file(bundle.artefact(chosen.artefact)))
    crop = bundle.golden.inputs[:1]
    times: dict[str, list[float]] = {}
    for frame in frames.frames():
        counted.crops = 0
        step = pipeline.step(frame)
        ms = step.milliseconds
        row = {**ms, "localize_track": ms["localize"] + ms["track"], "all_but_infer": ms["frame"] - ms.get("infer", 0)}
        if counted.crops:
            begun = stopwatch()
            for _ in range(counted.crops):
                bare(crop)
            row["bare_engine"] = (stopwatch() - begun) * 1000
        for name, value in row.items():
            times.setdefault(name, []).append(value)
    return {name: _percentiles(values) for name, values in times.items()}


class Counting:
    """An engine that counts its crops."""

    def __init__(self, engine: Any) -> None:
        self.name, self.logits_of, self.crops = engine.name, engine.logits, 0

    def logits(self, inputs: Any) -> Any:
        """See `edge_runtime.ports.Engine`."""
        self.crops += len(inputs)
        return self.logits_of(inputs)


def at_pace(bundle: Bundle, chosen: Selection, line: SimulatedLine, frames: Rendered) -> dict[str, Any]:
    """The frames as a camera would give them: what was dropped, and how late decisions came."""
    camera = PacedCamera(frames, line.encoder)
    decisions: list[Decision] = []
    captured_ns: dict[int, int] = {}
    late_ms: list[float] = []

    def on_frame(frame: Frame, step: Step) -> None:
        captured_ns[frame.index] = frame.captured_ns
        for decision in step.decisions:
            decisions.append(decision)
            late_ms.append((decision.decided_ns - captured_ns[decision.last_frame]) / 1e6)

    pipeline = new_pipeline(bundle, chosen.engine, chosen.temperature, line)
    summary = run_line(camera, line.encoder, pipeline, [], labels=bundle.manifest.labels, on_frame=on_frame)
    if not late_ms:
        sys.exit(
            f"At the pace of the clock nothing was decided ({summary.frames}): this machine is busy; run it alone."
        )
    return {
        "frames": summary.frames,
        "decisions": len(decisions),
        "views_each": round(float(np.mean([one.views for one in decisions])), 2),
        "capture_to_decision_ms": _percentiles(late_ms),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = (round(float(np.percentile(values, at)), 3) for at in (50, 99))
    return {"p50": p50, "p99": p99, "max": round(max(values), 3)}


def _cells(figures: dict[str, float]) -> str:
    return " ".join(f"{figures[name]:8.2f}" for name in ("p50", "p99", "max"))


def _table(figures: dict[str, Any]) -> str:
    paced, bars = figures["paced"], figures["bars"]
    rows = [
        f"{'':16} {'on the wall':>26} {'of the thread':>26}",
        f"{'ms a frame':16}" + 2 * "      p50      p99      max",
    ]
    rows += [
        f"{name:16} {_cells(one)} {_cells(figures['stages_thread_ms'][name])}"
        for name, one in figures["stages_ms"].items()
    ]
    decision = paced["capture_to_decision_ms"]
    rows += [
        "bars: " + ", ".join(f"{name} {bar:g}" for name, bar in bars.items()),
        f"paced: {paced['frames']}, {paced['decisions']} decisions of {paced['views_each']} views",
        f"capture to decision, ms: p50 {decision['p50']:.1f}, p99 {decision['p99']:.1f}",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
