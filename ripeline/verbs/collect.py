"""`ripeline collect`: pictures of your own line, ready to be sorted into labels."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ripeline import console, earlier_result, line_source
from ripeline.policy import of_line

if TYPE_CHECKING:
    from edge_runtime.line import Stepper
    from edge_runtime.records import Frame, TrackedDetection
    from edge_runtime.settings.config import LineConfig

_MARKER = "manifest.csv"
_MARGIN = 0.1


@click.command(
    "collect",
    epilog="""\b
Examples:
  ripeline collect --source belt.mp4 -o photos            # then sort photos/unsorted into folders of labels
  ripeline collect --source 0 -o photos --config line.toml --every 60 --duration 600
  ripeline collect --source belt.mp4 -o unsure --unsure bundle    # only what the bundle is least sure of""",
)
@click.option("--source", required=True, help="Video file, folder of images, camera index, URL, or sim:NAME.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the pictures.")
@click.option("--config", type=click.Path(path_type=Path), help="line.toml. Default: the one beside the recording.")
@click.option("--encoder", type=click.Path(path_type=Path), help="encoder.csv. Default: the one beside the recording.")
@click.option(
    "--every",
    type=click.FloatRange(0, min_open=True),
    metavar="MM",
    help="Belt between two pictures of one fruit; needs belt.mm_per_px. Default: a fifth of the picture.",
)
@click.option("--unsure", type=click.Path(path_type=Path), metavar="BUNDLE", help="Keep only fruit it is unsure of.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds after which a source is left.")
@click.option(
    "--budget",
    default=1000.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Most megabytes to write; ends when they are full.",
)
@console.force
@console.as_json
def verb(
    source: str,
    output: Path,
    config: Path | None,
    encoder: Path | None,
    every: float | None,
    unsure: Path | None,
    duration: float | None,
    budget: float,
    force: bool,
    as_json: bool,
) -> None:
    """Cut every fruit that SOURCE shows out of its pictures, as a model would see it. Needs no model.

    Writes unsorted/ and manifest.csv, which keeps the pictures of one fruit together. Move the pictures into a folder
    for each label, delete what is no fruit, and `train` and `adapt` take the whole as it is; what still lies in
    unsorted/ they leave out.
    """
    earlier_result.check(output, marker=_MARKER, force=force)
    from edge_runtime.collecting import Collector
    from edge_runtime.errors import InputError
    from edge_runtime.line import run_line
    from edge_runtime.records import UNSORTED
    from edge_runtime.reporters.crops import CropFolder

    settings = line_source.settings(source, config)
    camera, positions, settings, _ = line_source.open_source(source, encoder, settings, duration)
    if every is not None and settings.belt.mm_per_px is None:
        camera.close()
        raise InputError("--every counts in millimetres, and nothing says how many a pixel has.",
                         remedy="state belt.mm_per_px in line.toml, or leave out --every")  # fmt: skip
    stepper = _stepper(settings, config, unsure)
    stop = threading.Event()
    name = _name(source)
    with ExitStack() as stack:
        stack.callback(camera.close)
        begun = stack.enter_context(earlier_result.replacing(output, marker=_MARKER, force=force))
        folder = stack.enter_context(CropFolder(output, source=name, run=name, margin=_MARGIN, budget_mb=budget))
        stack.enter_context(line_source.ending_on_signals(stop, camera, duration if camera.live else None))

        def keep(frame: Frame, view: TrackedDetection) -> None:
            begun()
            if not folder.add(frame, view):
                stop.set()

        collector = Collector(
            keep,
            every_px=None if every is None or settings.belt.mm_per_px is None else every / settings.belt.mm_per_px,
            until_decided=unsure is not None,
        )
        summary = run_line(
            camera, positions, stepper, [], labels=(), duration_s=duration, stop=stop, on_frame=collector.on_frame
        )
        if summary.failure is not None and not folder.kept:
            raise summary.failure
    for text in summary.notices:
        console.notice(text)
    if folder.refused:
        console.notice(f"ended early: {budget:g} MB are full (--budget).")
    console.say(f"{folder.kept} pictures of {len(folder.fruits)} fruit in {output / UNSORTED}")
    document = {"folder": str(output), "pictures": folder.kept, "fruits": len(folder.fruits), "refused": folder.refused}
    console.emit(document, as_json=as_json)


def _name(source: str) -> str:
    """What a source is called in files, without the name and password by which a camera is reached."""
    url = urlsplit(source)
    text = f"{url.hostname}{url.path}" if "://" in source else Path(source).stem
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "line"


def _stepper(settings: LineConfig, config: Path | None, bundle: Path | None) -> Stepper:
    from edge_runtime.bundles.bundle import open_bundle
    from edge_runtime.bundles.engine_choice import choose_engine
    from edge_runtime.collecting import Follower
    from edge_runtime.pipeline import Pipeline

    if bundle is None:
        return Follower(settings)
    opened = open_bundle(bundle)
    chosen = choose_engine(opened).selection
    policy = of_line(opened.manifest, settings, config)
    return Pipeline(opened.manifest, chosen.engine, chosen.temperature, policy, settings, chosen.energy_limit)
