"""`ripeline run`: wires camera, encoder, engine and reporters into one line."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ripeline import console, line_source, trust

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle
    from edge_runtime.config import LineConfig
    from edge_runtime.decide import Policy
    from edge_runtime.ejectors.virtual_time import EjectionInVirtualTime
    from edge_runtime.line import LineSummary
    from edge_runtime.pipeline import Step
    from edge_runtime.records import Frame
    from edge_runtime.reporters.crops import CropFolder
    from simulator.line import SimulatedLine


@click.command(
    "run",
    epilog="""\b
Examples:
  ripeline run bundle --source belt.mp4 -o out --annotate
  ripeline run bundle --source 0 --config line.toml -o out --duration 3600   # first camera, one hour
  ripeline run bundle --source 0 -o out --require-signature K.pub --min-created 2026-05-31
  ripeline run bundle --source rtsp://camera.local/stream -o out
  ripeline run bundle --source sim:calm -o out --duration 20""",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="Video file, folder of images, camera index, URL, or sim:NAME.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for decisions and summary."
)
@click.option("--config", type=click.Path(path_type=Path), help="line.toml. Default: the one beside the recording.")
@click.option("--encoder", type=click.Path(path_type=Path), help="encoder.csv. Default: the one beside the recording.")
@click.option(
    "--engine", default="auto", show_default=True, help="auto measures on this machine and takes the fastest."
)
@click.option("--artefact", help="Which converted model. Default: the fastest that proves itself.")
@click.option("--annotate", is_flag=True, help="Also write annotated.mp4 with boxes and verdicts.")
@click.option("--trace", is_flag=True, help="Also write tracks.csv and, on a line with ejectors, firings.jsonl.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds after which a source is left.")
@trust.require_signature
@trust.min_created
@console.force
@console.as_json
def verb(
    bundle: Path,
    source: str,
    output: Path,
    config: Path | None,
    encoder: Path | None,
    engine: str,
    artefact: str | None,
    annotate: bool,
    trace: bool,
    duration: float | None,
    require_signature: Path | None,
    min_created: datetime | None,
    force: bool,
    as_json: bool,
) -> None:
    """Decide about every fruit that SOURCE shows, once each.

    Writes decisions.jsonl (one line a fruit, as it is decided) and summary.json. A live source ends on Ctrl-C or
    --duration, with its summary written.
    """
    console.check_output(output, marker="decisions.jsonl", force=force)
    from edge_runtime.bundle import open_bundle
    from edge_runtime.line import run_line
    from edge_runtime.manifest import Result
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.reporters.jsonl import JsonlReporter
    from edge_runtime.reporters.tracks import TracksFile
    from edge_runtime.reporters.video import AnnotatedVideo
    from edge_runtime.select import select_engine

    if require_signature or min_created:
        trust.verify(bundle, require_signature, min_created)
    opened = open_bundle(bundle)
    if opened.manifest.result is Result.INCONCLUSIVE:
        console.notice("the parity of this bundle is INCONCLUSIVE: it was judged on too few pictures.")
    settings = line_source.settings(source, config)
    policy = _policy(opened, settings, config)
    selection = select_engine(opened, artefact=artefact, engine=engine)
    console.say(f"{selection.artefact} on {selection.engine.name}, bundle {opened.manifest.bundle_id}")
    camera, positions, settings, simulated = line_source.open_source(source, encoder, settings, duration)
    pipeline = Pipeline(
        opened.manifest, selection.engine, selection.temperature, policy, settings, selection.energy_limit
    )
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(camera.close)
        console.new_folder(output, marker="decisions.jsonl", force=force)
        reporter = stack.enter_context(JsonlReporter(output / "decisions.jsonl"))
        video = (
            stack.enter_context(AnnotatedVideo(output / "annotated.mp4", camera.frame_rate_hz)) if annotate else None
        )
        tracks = stack.enter_context(TracksFile(output / "tracks.csv")) if trace else None
        unfamiliar = stack.enter_context(_unfamiliar(output, source, opened, settings))
        ejection = _ejection(stack, output, simulated, policy) if trace else None
        stack.enter_context(line_source.ending_on_signals(stop, camera, duration if camera.live else None))

        def on_frame(frame: Frame, step: Step) -> None:
            unfamiliar.add_unfamiliar(frame, step)
            if video:
                video.add(frame, step)
            if tracks:
                tracks.add(frame, step.tracked)
            if ejection:
                ejection.advance(frame.captured_ns, step.tracked)

        summary = run_line(
            camera,
            positions,
            pipeline,
            [reporter, ejection] if ejection else [reporter],
            labels=opened.manifest.labels,
            duration_s=duration,
            stop=stop,
            on_frame=on_frame,
        )
    document = summary.as_dict() | {
        "bundle_id": opened.manifest.bundle_id,
        "artefact": selection.artefact,
        "engine": selection.engine.name,
        "policy": policy.origin,
        "costs": {label: costs.model_dump() for label, costs in policy.costs.items()},
    }
    (output / "summary.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if simulated is not None:
        simulated.write_truth(output)
    if summary.failure is not None:
        raise summary.failure
    _tell(summary, output)
    console.emit(document, as_json=as_json)


def _tell(summary: LineSummary, output: Path) -> None:
    for text in summary.notices:
        console.notice(text)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in summary.verdicts.items())
    frames = summary.frames
    console.say(f"{summary.fruits} fruit in {frames['processed']} frames ({frames['dropped']} dropped): {verdicts}")
    if (times := summary.latency_ms.get("frame")) is not None:
        console.say(f"A frame takes {times['p50']:.1f} ms (median), {times['p99']:.1f} ms (p99). Wrote {output}")


def _policy(bundle: Bundle, settings: LineConfig, config: Path | None) -> Policy:
    """The bundle's cost table, unless the line has its own."""
    if settings.policy is None:
        return bundle.manifest.policy
    return settings.policy.policy(bundle.manifest.labels, str(config or "line.toml"))


def _unfamiliar(output: Path, source: str, bundle: Bundle, settings: LineConfig) -> CropFolder:
    """Where pictures of fruit go that look like nothing the model learned from."""
    from edge_runtime.reporters.crops import CropFolder

    return CropFolder(
        output / "unfamiliar",
        source=source,
        run=output.resolve().name,
        margin=bundle.manifest.input.margin,
        budget_mb=settings.decide.unfamiliar_mb,
    )


def _ejection(
    stack: ExitStack, output: Path, simulated: SimulatedLine | None, policy: Policy
) -> EjectionInVirtualTime | None:
    """The ejectors of a simulated line in virtual time; whatever waits at the end is still fired."""
    if simulated is None or simulated.camera.live:
        return None
    from edge_runtime.ejectors.virtual_time import EjectionInVirtualTime

    return stack.enter_context(
        EjectionInVirtualTime(
            output / "firings.jsonl",
            simulated.encoder,
            simulated.ejector,
            simulated.ejectors(),
            policy,
            delay_ms=simulated.world.scenario.camera.delay_ms,
        )
    )
