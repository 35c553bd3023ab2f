"""`ripeline simulate dataset` and `ripeline simulate clip`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ripeline import console

# How a folder was made, and by that a sign that it was: labels.txt and the rest may as well be somebody's own.
_DATASET, _CLIP = "simulated-dataset.json", "simulated-clip.json"


_SCENARIOS = "calm, crowded, demo, dirty_lens, dusk, flaky_camera, ramps, stop_and_go, worst_day"


@click.group(
    "simulate",
    epilog="""\b
Examples:
  ripeline simulate dataset data --per-class 200
  ripeline simulate clip clip --seconds 20 --belt-speed 250
  ripeline run BUNDLE --source sim:crowded -o out --trace && ripeline score out out   # a line, without its film""",
)
def verb() -> None:
    """Draw labelled crops, or a moving belt with known truth."""


@verb.command(
    "dataset",
    short_help="Draw labelled crops, to train on.",
    epilog="""\b
Examples:
  ripeline simulate dataset data --per-class 200 --seed 1
  ripeline simulate dataset data --surroundings any     # for a model that is to know fruit in photographs, too""",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--per-class", type=click.IntRange(1), default=200, show_default=True, help="Pictures of each label.")
@click.option(
    "--image-size", "size_px", type=click.IntRange(32, 1024), default=192, show_default=True, help="Side in pixels."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other fruit.")
@click.option(
    "--surroundings",
    type=click.Choice(["belt", "any"]),
    default="belt",
    show_default=True,
    help="any: also among leaves and other fruit, and in any light.",
)
@console.force
@console.as_json
def dataset(
    folder: Path, per_class: int, size_px: int, seed: int, surroundings: str, force: bool, as_json: bool
) -> None:
    """Draw labelled crops in FOLDER/<label>/*.jpg, as a line's camera would give them.

    Writes labels.txt (from least to most acceptable) and manifest.csv (which pictures show the same fruit) beside them.
    """
    from evaluation.aside import filled_aside
    from simulator.dataset import write_dataset

    console.check_output(folder, marker=_DATASET, force=force)
    with filled_aside(folder) as aside, console.progress("drawing crops") as progress:
        summary = write_dataset(
            aside,
            per_class=per_class,
            image_size_px=size_px,
            seed=seed,
            surroundings=surroundings,
            progress=progress,
        )
        _note(aside / _DATASET, per_class=per_class, image_size_px=size_px, seed=seed, surroundings=surroundings)
    console.say(f"{summary.images} pictures of {', '.join(summary.labels)} in {folder}")
    console.say(f"Next: ripeline train {folder} -o RUN --weights starter")
    console.emit(
        {"folder": str(folder), "pictures": summary.images, "labels": list(summary.labels), "seed": seed},
        as_json=as_json,
    )


@verb.command(
    "clip",
    short_help="Film a belt with fruit on it, to run on.",
    epilog="""\b
Examples:
  ripeline simulate clip clip --seconds 20 --fps 30 --belt-speed 250
  ripeline simulate clip clip --scenario crowded
  ripeline simulate clip clip --fruit-images photos    # your own photographs, cut out, on the belt""",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--scenario", default="calm", show_default=True, help=f"{_SCENARIOS}, or a TOML file.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Length. Default: the scenario's own.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), help="Frames a second. Default: the scenario's own.")
@click.option(
    "--belt-speed",
    type=click.FloatRange(0, min_open=True),
    help="Millimetres a second. Default: the scenario's own.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other fruit.")
@click.option("--fruit-images", type=click.Path(path_type=Path), help="Labelled photographs whose fruit ride instead.")
@console.force
@console.as_json
def clip(
    folder: Path,
    scenario: str,
    seconds: float | None,
    fps: float | None,
    belt_speed: float | None,
    seed: int,
    fruit_images: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Film a belt with fruit on it: clip.mp4, encoder.csv, truth.jsonl and line.toml in FOLDER."""
    from evaluation.aside import filled_aside
    from simulator.clip import write_clip

    console.check_output(folder, marker=_CLIP, force=force)
    # Aside, so that a setting or photograph that cannot be used costs nobody an earlier clip.
    with filled_aside(folder) as aside, console.progress("filming the belt") as progress:
        summary = write_clip(
            aside,
            scenario=scenario,
            seconds=seconds,
            frame_rate_hz=fps,
            belt_speed_mm_s=belt_speed,
            seed=seed,
            fruit_images=fruit_images,
            progress=progress,
        )
        _note(
            aside / _CLIP,
            scenario=scenario,
            seconds=seconds,
            frame_rate_hz=fps,
            belt_speed_mm_s=belt_speed,
            seed=seed,
            fruit_images=None if fruit_images is None else str(fruit_images),
        )
    source = folder / summary.source.name
    for text in summary.notices:
        console.notice(text)
    labels = ", ".join(f"{count} {label}" for label, count in summary.labels.items())
    console.say(f"{summary.frames} frames with {summary.fruits} fruit{f' ({labels})' * bool(labels)} in {folder}")
    console.say(f"Next: ripeline run BUNDLE --source {source} -o OUT --annotate")
    console.emit(
        {
            "folder": str(folder),
            "source": str(source),
            "frames": summary.frames,
            "fruits": summary.fruits,
            "labels": summary.labels,
            "seed": seed,
        },
        as_json=as_json,
    )


def _note(file: Path, **settings: float | str | None) -> None:
    file.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
