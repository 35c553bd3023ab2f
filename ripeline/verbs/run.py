"""`ripeline run`: from a bundle and a source to decisions."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ripeline import console, earlier_result, line_source, trust
from ripeline.asked import MARKER, Asked
from ripeline.policy import of_line

if TYPE_CHECKING:
    from edge_runtime.bundles.bundle import Bundle
    from edge_runtime.line import LineSummary
    from edge_runtime.settings.config import LineConfig


@click.command(
    "run",
    epilog="""\b
Examples:
  ripeline run bundle --source belt.mp4 -o out --annotate
  ripeline run bundle --source 0 --config line.toml -o out --duration 3600   # first camera, one hour
  ripeline run bundle --source 0 -o out --require-signature K.pub --min-created 2026-05-31
  ripeline run bundle --source rtsp://camera.local/stream -o out
  ripeline run bundle --source sim:calm -o out --duration 20
  ripeline run bundle --source 'sim:calm?clock=real' -o out   # as a real line, in processes""",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--source",
    envvar="RIPELINE_SOURCE",
    help="Video file, folder of images, camera index or device file, URL, or sim:NAME. Default: RIPELINE_SOURCE in the "
    "environment, then source in line.toml.",
)
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
@click.option("--trace", is_flag=True, help="Also write tracks.csv and, on a simulated line, firings.jsonl.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds after which a source is left.")
@click.option(
    "--processes/--one-process",
    default=None,
    help="Run camera, vision, ejectors and reports apart, so that each can fail alone. Default: for live sources.",
)
@trust.require_signature
@trust.min_created
@console.force
@console.as_json
def verb(
    bundle: Path,
    source: str | None,
    output: Path,
    config: Path | None,
    encoder: Path | None,
    engine: str,
    artefact: str | None,
    annotate: bool,
    trace: bool,
    duration: float | None,
    processes: bool | None,
    require_signature: Path | None,
    min_created: datetime | None,
    force: bool,
    as_json: bool,
) -> None:
    """Decide about every fruit that SOURCE shows, once each.

    Writes decisions.jsonl (one line a fruit, as it is decided) and summary.json. A live source runs until Ctrl-C,
    SIGTERM or --duration, whatever its camera does, and drives the ejectors of line.toml.
    """
    earlier_result.check(output, marker=MARKER, force=force)
    from edge_runtime.bundles.bundle import open_bundle, proof
    from edge_runtime.bundles.engine_choice import choose_engine
    from edge_runtime.bundles.manifest import Result
    from ripeline import in_one_process, in_processes

    if source is None and config is None:
        raise line_source.no_source()
    proven = proof(bundle)  # before anything is verified, so that what is run is what was
    if require_signature or min_created:
        trust.verify(bundle, require_signature, min_created)
    opened = open_bundle(bundle)
    if opened.manifest.result is Result.INCONCLUSIVE:
        console.notice("the parity of this bundle is INCONCLUSIVE: it was judged on too few pictures.")
    settings, source = line_source.settings_and_source(source, config)
    line_source.check(source)
    policy = of_line(opened.manifest, settings, config)
    _refuse_unknown_labels(opened, settings, config)
    choice = choose_engine(opened, artefact=artefact, engine=engine)
    selection = choice.selection
    how = ", as measured here before" if choice.remembered else ""
    console.say(f"{selection.artefact} on {selection.engine.name}, bundle {opened.manifest.bundle_id}{how}")
    asked = Asked(source, encoder, output, annotate, trace, duration, force, proven)
    apart = line_source.is_live(source) if processes is None else processes
    run = in_processes.run if apart else in_one_process.run
    summary = run(asked, opened, settings, policy, selection)
    document = summary.as_dict() | {
        "bundle_id": opened.manifest.bundle_id,
        "artefact": selection.artefact,
        "engine": selection.engine.name,
        "policy": policy.origin,
        "costs": {label: costs.model_dump() for label, costs in policy.costs.items()},
        "line_id": line_source.line_id(source, output),
    }
    _keep(document, output / "summary.json")
    if summary.failure is not None:
        raise summary.failure
    _tell(summary, output)
    console.emit(document, as_json=as_json)
    if apart:
        console.leave()


def _keep(document: dict[str, Any], file: Path) -> None:
    """Whole or not at all; a disk that is full by the end takes nothing from what was decided, and is told."""
    aside = file.with_name(f".{file.name}")
    try:
        aside.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        aside.replace(file)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        console.notice(f"{file} cannot be written ({error.strerror}): what it would say stands below, and only there.")


def _tell(summary: LineSummary, output: Path) -> None:
    for text in summary.notices:
        console.notice(text)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in summary.verdicts.items())
    frames = summary.frames
    if not frames["processed"]:
        console.notice(
            "no picture arrived before the line ended: its camera lost them all, or, by the real clock, this machine "
            "took longer to start than the line runs."
        )
    console.say(f"{summary.fruits} fruit in {frames['processed']} frames ({frames['dropped']} dropped): {verdicts}")
    if (times := summary.latency_ms.get("frame")) is not None:
        console.say(f"A frame takes {times['p50']:.1f} ms (median), {times['p99']:.1f} ms (p99). Wrote {output}")


def _refuse_unknown_labels(bundle: Bundle, settings: LineConfig, config: Path | None) -> None:
    """An ejector for a label that no fruit will ever get would stand idle without a word."""
    from edge_runtime.errors import InputError

    known = bundle.manifest.labels
    for number, ejector in enumerate(settings.ejector, start=1):
        if unknown := [label for label in ejector.labels or () if label not in known]:
            raise InputError(
                f"Ejector {number} of {config or 'line.toml'} takes {', '.join(unknown)}: the model knows none such.",
                expected=f"labels out of {', '.join(known)}",
            )
