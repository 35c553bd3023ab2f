"""The runs behind `line_truth`: scenarios made as long or as dense as asked, bundles for them, one run scored."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from argparse import Namespace
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
from line_crops import write_line_crops

from edge_runtime.bundles.bundle import open_bundle
from edge_runtime.bundles.manifest import Result
from edge_runtime.cameras import open_camera
from evaluation.picture import PICTURE_SUFFIXES
from simulator.scenario import Scenario, parse_scenario, scenario_names
from simulator.world import LARGEST_MM

QUICK_S = 8.0
SEED = 11
LONG_FORM_HZ = 15.0
LONG_FORM_SPACING_MM = 110.0
"""A fruit's least distance from the next is 75 mm in most scenarios; random gaps come on top."""

LEARNT_LINES = ("calm", "crowded", "dirty_lens", "dusk", "ramps", "worst_day")
LEARNT_FRUIT = 400

LEARNT_SEED = 101
"""Far from `SEED`: no fruit that is judged was learnt from."""

REAL = "real_strawberries"
_GATE_SAID_NO = 1
_LONGEST_S = 3600.0
_ONE_FORMAT = ("--formats", "tflite-fp32")
_NEARLY_ALL_OF_IT = ("--fine-tune-at", "block_2_expand", "--fine-tune-rate", 7e-4, "--fine-tune-epochs", 12,
                     "--fine-tune-schedule", "cosine")  # fmt: skip
"""For many fruit of the lines themselves (`docs/recipe.md`, "A rate that falls")."""

Changes = dict[str, dict[str, Any]]
"""Sections of a scenario with the keys that differ from the one that ships."""


class RunFailedError(Exception):
    """A command that a run needs did not end well; its last words."""


@dataclass(frozen=True)
class Job:
    """One run: a bundle on a line.

    `scenario` is its file, `source` what `run --source` takes, `work` how long it takes beside others, in megapixels.
    """

    name: str
    bundle: Path
    scenario: Path
    source: str
    seconds: float
    work: float


def drawn_jobs(options: Namespace, folder: Path) -> list[Job]:
    """The wanted scenarios that ship, as files, and the bundle for them.

    Raises:
        RunFailedError: There is no bundle to run.
    """
    wanted = [name for name in options.scenario or scenario_names() if name != REAL]
    if not wanted:
        return []
    bundle = fit_to_run(options.bundle) if options.bundle else simulated_bundle(folder, quick=options.quick)
    return [job_of(name, name, {}, bundle, options, folder) for name in wanted]


def real_job(options: Namespace, folder: Path) -> Job:
    """Real strawberries on `calm`, with a bundle that was trained on others.

    Raises:
        RunFailedError: There is no bundle to run.
    """
    bundle, fruit = real_bundle(folder, options.photographs, options.weights)
    belt = one_picture(options.belt, folder)
    changes = {"belt": {"picture": str(belt.absolute())}, "fruit": {"lanes": 3, "per_second": 4.0}}
    job = job_of(REAL, "calm", changes, bundle, options, folder)
    return replace(job, source=f"{job.source}&fruit-images={fruit.absolute()}")


def one_picture(belt: Path, folder: Path) -> Path:
    """The belt as a photograph: a film shows what lies on it too, which would be found there, and rightly."""
    if belt.suffix.lower() in PICTURE_SUFFIXES:
        return belt
    with closing(open_camera(str(belt))) as camera:
        first = next(iter(camera.frames()))
    cv2.imwrite(str(folder / "belt.png"), cv2.cvtColor(first.image, cv2.COLOR_RGB2BGR))
    return folder / "belt.png"


def job_of(name: str, base: str, changes: Changes, bundle: Path, options: Namespace, folder: Path) -> Job:
    """A scenario that ships, with changes, in the form that was asked for."""
    scenario = parse_scenario(as_toml(base, changes), name)
    seconds = QUICK_S if options.quick else scenario.seconds
    if options.fruit:
        denser, seconds = dense(scenario, options.fruit)
        changes = {**changes, "fruit": denser, "camera": {"frame_rate_hz": LONG_FORM_HZ}}
        scenario = parse_scenario(as_toml(base, changes), name)
    file = folder / f"{name}.toml"
    file.write_text(as_toml(base, changes), "utf-8")
    camera = scenario.camera
    work = seconds * camera.frame_rate_hz * camera.width_px * camera.height_px / 1e6
    return Job(name, bundle, file, f"sim:{file.absolute()}?seed={SEED}", seconds, work)


def dense(scenario: Scenario, fruit: int) -> tuple[dict[str, Any], float]:
    """`[fruit]` with as many as the line can carry, and how many seconds it takes to bring so many."""
    across_mm = scenario.camera.height_px * scenario.camera.mm_per_px
    lanes = max(scenario.fruit.lanes, int(across_mm // LARGEST_MM))
    per_second = lanes * scenario.belt.speed_mm_s / LONG_FORM_SPACING_MM
    running = 1.0
    if (stops := scenario.belt.stops) is not None:
        running -= (stops.for_s + stops.ramp_s) / stops.every_s
    # What is on its way when the run ends counts for nothing, and gaps leave a few fruit out.
    return {"lanes": lanes, "per_second": per_second}, 1.05 * fruit / per_second / running + 6.0


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """One scenario: the commands that a user would type; the contents of `score.json`.

    Raises:
        RunFailedError: One of them did not end well.
    """
    output = folder / job.name
    words = ["run", job.bundle, "--source", job.source, "-o", output, "--trace", "--duration", round(job.seconds, 1)]
    summary = ripeline(*words, "--force")
    figures = ripeline("score", output, output)
    figures["timing"]["frame_ms"] = summary["latency_ms"]["frame"]
    _kept(job, folder).write_text(json.dumps({"terms": _terms(job), "figures": figures}), "utf-8")
    return figures


def measured(job: Job, folder: Path) -> dict[str, Any] | None:
    """What the very same run came to before, if it was kept in that folder."""
    try:
        before = json.loads(_kept(job, folder).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    figures: dict[str, Any] = before["figures"]
    return figures if before["terms"] == _terms(job) else None


def _kept(job: Job, folder: Path) -> Path:
    return folder / f"{job.name}.json"


def _terms(job: Job) -> dict[str, Any]:
    scenario = job.scenario.read_text("utf-8")
    return {"bundle": str(job.bundle), "source": job.source, "seconds": round(job.seconds, 1), "scenario": scenario}


def _dense_line(name: str) -> Scenario:
    denser, seconds = dense(parse_scenario(as_toml(name, {}), name), LEARNT_FRUIT)
    changes = {"fruit": denser, "camera": {"frame_rate_hz": LONG_FORM_HZ}}
    return parse_scenario(as_toml(name, changes), name).model_copy(update={"seconds": seconds})


def simulated_bundle(folder: Path, *, quick: bool) -> Path:
    """A small network: trained on what the runtime cuts out of such lines, or, where time is short, on few drawn fruit.

    Raises:
        RunFailedError: It cannot be made, or it failed parity, so that `run` would refuse it.
    """
    data, run, bundle = folder / "data", folder / "run", folder / "bundle"
    if (bundle / "SHA256SUMS").is_file():
        return fit_to_run(bundle)
    if quick:
        ripeline("simulate", "dataset", data, "--per-class", 60, "--force")
    else:
        shutil.rmtree(data, ignore_errors=True)
        write_line_crops(data, {name: _dense_line(name) for name in LEARNT_LINES}, seed=LEARNT_SEED)
    words = () if quick else _NEARLY_ALL_OF_IT
    ripeline("train", data, "-o", run, "--weights", "starter", "--image-size", 96, "--force", *words)
    ripeline("export", run, "-o", bundle, "--accept", "ripe", "--force", *(_ONE_FORMAT if quick else ()))
    return fit_to_run(bundle)


def fit_to_run(bundle: Path) -> Path:
    """The bundle, unless it failed parity; where that was judged on too few pictures, a notice says so.

    Raises:
        RunFailedError: It did.
    """
    result = open_bundle(bundle, allow_rejected=True).manifest.result
    if result is Result.FAIL:
        raise RunFailedError(f"{bundle} failed parity; {bundle / 'parity.html'} says where. No line was run.")
    if result is Result.INCONCLUSIVE:
        print(f"Notice: the parity of {bundle} is INCONCLUSIVE: judged on too few pictures.", file=sys.stderr)
    return bundle


def real_bundle(folder: Path, photographs: Path, weights: Path) -> tuple[Path, Path]:
    """A bundle trained on photographs, and a folder with those of its test split."""
    run, bundle, test = folder / "real-run", folder / "real-bundle", folder / "real-test"
    labels = "unripe,turning,ripe"
    if (bundle / "SHA256SUMS").is_file() and test.is_dir():
        return fit_to_run(bundle), test
    ripeline("train", photographs, "-o", run, "--weights", weights, "--alpha", 0.35, "--labels", labels, "--force")
    ripeline("export", run, "-o", bundle, "--accept", "ripe", "--force")
    shutil.rmtree(test, ignore_errors=True)
    with (run / "splits.csv").open(encoding="utf-8", newline="") as stream:
        for picture in csv.DictReader(stream):
            if picture["split"] == "test":
                (test / picture["file"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(photographs / picture["file"], test / picture["file"])
    (test / "labels.txt").write_text(labels.replace(",", "\n") + "\n", "utf-8")
    return fit_to_run(bundle), test


def ripeline(*words: object) -> dict[str, Any]:
    """The document of one verb, also where a gate said no.

    Raises:
        RunFailedError: Any other end.
    """
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise RunFailedError(f"ripeline {words[0]} did not end within {_LONGEST_S:g} s") from error
    if done.returncode not in (0, _GATE_SAID_NO):
        said = done.stderr.strip()
        why = said[max(0, said.rfind("Error: ")) :][-2000:]
        raise RunFailedError(f"ripeline {words[0]} ended with {done.returncode}: {why}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def as_toml(base: str, changes: Changes) -> str:
    """A scenario that differs from one that ships; JSON's plain values are TOML's too."""
    lines = [f"base = {json.dumps(base)}"]
    for section, values in changes.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
