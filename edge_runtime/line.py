"""Run one line from its first frame to its last: camera and encoder in, decisions out, a summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Protocol

import numpy as np

from edge_runtime.errors import CameraError, RipelineError
from edge_runtime.pipeline import STAGES, Step
from edge_runtime.ports import Camera, Encoder, Reporter
from edge_runtime.records import Decision, Frame, Verdict

_KEPT_TIMES = 100_000

OnFrame = Callable[[Frame, Step], None]


class Stepper(Protocol):
    """What a line feeds frames to: the pipeline, or something that only follows."""

    def step(self, frame: Frame) -> Step:
        """Take in one frame."""
        ...

    def finish(self, now_ns: int) -> list[Decision]:
        """Decide about what is left when the pictures end."""
        ...


@dataclass(frozen=True)
class LineSummary:
    """What a run of the line comes to; `as_dict` is `summary.json`.

    `failure` is what ended it early, a source that broke; its words are among `notices`.
    """

    source: str
    frames: dict[str, int]
    fruits: int
    verdicts: dict[str, int]
    labels: dict[str, int]
    latency_ms: dict[str, dict[str, float]]
    seconds: float
    notices: tuple[str, ...]
    failure: RipelineError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": self.source,
            "frames": self.frames,
            "fruits": self.fruits,
            "verdicts": self.verdicts,
            "labels": self.labels,
            "latency_ms": self.latency_ms,
            "seconds": round(self.seconds, 3),
            "notices": list(self.notices),
        }


class Tally:
    """Counts what a line does, and its latencies.

    Args:
        labels: Of the model.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.frames = 0
        self.verdicts: Counter[str] = Counter(dict.fromkeys(Verdict, 0))
        self.labels: Counter[str] = Counter(dict.fromkeys(labels, 0))
        # Taken at once: a line that grows for hours looks like one that leaks.
        self._times = np.full((len(STAGES), _KEPT_TIMES), np.nan, np.float32)
        self._counts = dict.fromkeys(STAGES, 0)
        self._slowest: dict[str, float] = {}

    def frame(self, step: Step) -> None:
        """Take in a frame."""
        self.frames += 1
        for stage, milliseconds in step.milliseconds.items():
            self._times[STAGES.index(stage), self._counts[stage] % _KEPT_TIMES] = milliseconds
            self._counts[stage] += 1
            self._slowest[stage] = max(milliseconds, self._slowest.get(stage, 0.0))

    def decision(self, decision: Decision) -> None:
        """Take in a decision."""
        self.verdicts[decision.verdict] += 1
        self.labels[decision.label] += 1

    def latency_ms(self, stages: Sequence[str] = STAGES) -> dict[str, dict[str, float]]:
        """p50 and p99 over the last 100,000 frames in which the stage did something, and the largest of all.

        Costs some milliseconds a stage: while a line runs, ask for no more than are shown.
        """
        found = {}
        for stage in stages:
            if kept := min(self._counts[stage], _KEPT_TIMES):
                p50, p99 = np.percentile(self._times[STAGES.index(stage), :kept], (50, 99))
                figures = {"p50": float(p50), "p99": float(p99), "max": self._slowest[stage]}
                found[stage] = {name: round(value, 3) for name, value in figures.items()}
        return found


def run_line(
    camera: Camera,
    encoder: Encoder | None,
    pipeline: Stepper,
    reporters: Iterable[Reporter],
    *,
    labels: Sequence[str],
    duration_s: float | None = None,
    stop: Event | None = None,
    on_frame: OnFrame = lambda _frame, _step: None,
) -> LineSummary:
    """Feed frames to the pipeline until the source ends, `duration_s` has passed or `stop` is set.

    Args:
        camera: Closed at the end, whatever happens.
        encoder: Fills in belt positions of frames that come without one; None for a line without an encoder.
        pipeline: Decides.
        reporters: Each gets every decision, in order.
        labels: Of the model, so that the summary lists also those that never occurred.
        duration_s: Length by the frames' own time: recorded time for files, real time for live sources.
        stop: Set from outside, for example by a signal handler, which closes the camera too.
        on_frame: Called after each frame with what it led to; for pictures and progress.

    Returns:
        The summary, also of a source that broke: then `failure` says how, and all decisions until then are reported.
    """
    tally = Tally(labels)
    reporters = tuple(reporters)
    begun, first_ns, now_ns, read_ns = time.perf_counter(), None, 0, 0
    failure: RipelineError | None = None

    def report(decisions: Sequence[Decision]) -> list[Decision]:
        known_ns = time.monotonic_ns() if camera.live else read_ns
        decisions = [replace(decision, decided_ns=known_ns) for decision in decisions]
        for decision in decisions:
            tally.decision(decision)
            for reporter in reporters:
                reporter.report(decision)
        return list(decisions)

    try:
        for frame in camera.frames():
            if encoder is not None and frame.belt_mm is None:
                frame = replace(frame, belt_mm=encoder.position_mm(frame.captured_ns))  # noqa: PLW2901
            first_ns, now_ns = first_ns if first_ns is not None else frame.captured_ns, frame.captured_ns
            if duration_s is not None and now_ns - first_ns >= duration_s * 1e9:
                break
            read_ns = frame.readable_ns
            step = pipeline.step(frame)
            tally.frame(step)
            step = replace(step, decisions=report(step.decisions))
            on_frame(frame, step)
            if stop is not None and stop.is_set():
                break
    except CameraError as error:
        failure = error
    finally:
        camera.close()
        report(pipeline.finish(now_ns))
    truncated: str | None = getattr(camera, "truncated", None)
    return LineSummary(
        source=camera.name,
        frames={"read": tally.frames + camera.dropped, "processed": tally.frames, "dropped": camera.dropped},
        fruits=sum(tally.verdicts.values()),
        verdicts=dict(tally.verdicts),
        labels=dict(tally.labels),
        latency_ms=tally.latency_ms(),
        seconds=time.perf_counter() - begun,
        notices=tuple(text for text in (truncated, failure.what if failure else None) if text),
        failure=failure,
    )
