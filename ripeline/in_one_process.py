"""`run` in one process: recordings, and simulated lines in virtual time."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ripeline import line_source
from ripeline.asked import MARKER

if TYPE_CHECKING:
    from edge_runtime.bundles.bundle import Bundle
    from edge_runtime.bundles.select import Selection
    from edge_runtime.deciding.decide import Policy
    from edge_runtime.ejectors.virtual_time import EjectionInVirtualTime
    from edge_runtime.line import LineSummary
    from edge_runtime.pipeline import Step
    from edge_runtime.records import Frame
    from edge_runtime.settings.config import LineConfig
    from ripeline.asked import Asked
    from simulator.line import SimulatedLine


def run(asked: Asked, bundle: Bundle, settings: LineConfig, policy: Policy, selection: Selection) -> LineSummary:
    """Run the source to its end, and leave the truth beside the decisions where it is known.

    Raises:
        InputError: A live source whose `line.toml` names outputs or receivers, which only processes serve.
    """
    import cv2

    from edge_runtime.line import run_line
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.reporters.jsonl import JsonlReporter

    if line_source.is_live(asked.source):
        _refuse_what_nobody_serves(settings)
    cv2.setNumThreads(1)  # pictures are small: threads that wait for one another take longer
    camera, positions, settings, simulated = line_source.open_source(
        asked.source, asked.encoder, settings, asked.duration_s
    )
    pipeline = Pipeline(
        bundle.manifest, selection.engine, selection.temperature, policy, settings, selection.energy_limit
    )
    stop = threading.Event()
    last_frame = -1
    with ExitStack() as stack:
        stack.callback(camera.close)
        begun = stack.enter_context(asked.new_output())
        output = asked.output
        reporter = stack.enter_context(JsonlReporter(output / MARKER))
        look_on = stack.enter_context(asked.outputs(bundle, settings, camera.frame_rate_hz)())
        ejection = _ejection(stack, asked, simulated, settings, policy) if asked.trace else None
        limit_s = asked.duration_s if camera.live else None
        stack.enter_context(line_source.ending_on_signals(stop, camera, limit_s))

        def on_frame(frame: Frame, step: Step) -> None:
            nonlocal last_frame
            last_frame = frame.index
            begun()
            look_on(frame, step)
            if ejection:
                ejection.advance(frame.readable_ns, step.tracked)

        summary = run_line(
            camera,
            positions,
            pipeline,
            [reporter, ejection] if ejection else [reporter],
            labels=bundle.manifest.labels,
            duration_s=asked.duration_s,
            stop=stop,
            on_frame=on_frame,
        )
        if summary.failure is not None and not summary.frames["processed"]:
            raise summary.failure
    if simulated is not None:
        simulated.write_truth(output, until_frame=last_frame if stop.is_set() else None)
    return summary


def _refuse_what_nobody_serves(settings: LineConfig) -> None:
    from edge_runtime.ejectors import output_kind
    from edge_runtime.errors import InputError

    outputs = [*settings.ejector, settings.safety.run_permit, settings.safety.heartbeat]
    named = ["outputs"] * any(one is not None and output_kind(one) for one in outputs)
    named += ["receivers"] * bool(settings.report)
    if named:
        raise InputError(
            f"line.toml names {' and '.join(named)}, and a live line in one process serves none.",
            expected="a line in processes, which throws out, watches itself and reports",
            remedy="leave out --one-process, or take them out of line.toml for a trial",
        )


def _ejection(
    stack: ExitStack, asked: Asked, simulated: SimulatedLine | None, settings: LineConfig, policy: Policy
) -> EjectionInVirtualTime | None:
    """The ejectors of a simulated line in virtual time; whatever waits at the end is still fired."""
    if simulated is None or simulated.camera.live:
        return None
    from edge_runtime.ejectors.virtual_time import EjectionInVirtualTime

    ejectors = settings.ejector or simulated.ejectors()
    return stack.enter_context(
        EjectionInVirtualTime(asked.output / "firings.jsonl", simulated.encoder, simulated.ejector, ejectors, policy)
    )
