"""What is the whole runtime worth on a moving line?

Runs a bundle through the scenarios that ship, scores each run against the truth and prints one table. Three forms:

- `--quick`: 8 s of belt a scenario; nothing is kept.
- by default: each scenario as it ships.
- `--fruit 3000`: as long as it takes for so many fruit. To bring them in little time, scenarios with fewer lanes get as
  many as fit, fruit follow each other at close to the least spacing, and the camera takes 15 frames a second.

With `--keep DIR` each run stays in DIR as it ends, and the same command goes on from there where it was broken off.

With `--photographs`, `--weights` and `--belt` one more: real strawberries, which no training saw, cut out and laid on
a frame of real footage, sorted by a model that was trained on the rest of them. `--gate` exits with 1 where a scenario
falls below the figures of that file.

    python benchmarks/line_truth.py [--bundle BUNDLE] [--fruit N] [--scenario NAME] [--gate FILE] [--keep DIR]
        [--photographs DATA --weights WEIGHTS --belt FILE] [--quick] [--json]
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import arguments, publish

from simulator.gate import Gate, failures
from simulator.scenario import Scenario, parse_scenario, scenario_names
from simulator.score_page import comparison
from simulator.world import LARGEST_MM

QUICK_S = 8.0
SEED = 11
RUNS_AT_A_TIME = 2
LONG_FORM_HZ = 15.0
LONG_FORM_SPACING_MM = 110.0
"""A fruit's least distance from the next is 75 mm in most scenarios; random gaps come on top."""

REAL = "real_strawberries"
_GATE_SAID_NO = 1
_ONE_FORMAT = ("--formats", "tflite-fp32")

Changes = dict[str, dict[str, Any]]
"""Sections of a scenario with the keys that differ from the one that ships."""


@dataclass(frozen=True)
class Job:
    """One run: a bundle on a line. `source` is what `run --source` takes."""

    name: str
    bundle: Path
    source: str
    seconds: float


def main() -> None:
    """Run, score, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: one made now from simulated fruit"}),
        ("--fruit", {"type": int, "help": "how many of each scenario, at least"}),
        ("--scenario", {"action": "append", "help": "only this one; may be repeated"}),
        ("--gate", {"type": Path, "help": "TOML, a table a scenario: [calm.at_least], [calm.at_most]"}),
        (
            "--keep",
            {
                "type": Path,
                "help": "folder for the runs and their pages, gone on with if it exists; default: not kept",
            },
        ),
        ("--photographs", {"type": Path, "help": "labelled strawberries: unripe, turning, ripe"}),
        ("--weights", {"type": Path, "help": "of the backbone for them"}),
        ("--belt", {"type": Path, "help": "photograph or film of a belt for them to ride on"}),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        jobs = prepare(options, folder)
        with ThreadPoolExecutor(RUNS_AT_A_TIME) as pool:
            scores = dict(
                zip([job.name for job in jobs], pool.map(lambda job: measure(job, folder), jobs), strict=True)
            )
    said = judge(options.gate, scores) if options.gate else []
    header, rows = comparison(scores)
    figures = {"seed": SEED, "fruit_at_least": options.fruit, "scenarios": [row(name, scores[name]) for name in scores]}
    publish("line_truth", figures, in_columns([header, *([str(cell) for cell in line] for line in rows)]), options)
    if said:
        sys.exit("\n".join(said))


def prepare(options: Namespace, folder: Path) -> list[Job]:
    """Make what the runs need: bundles, and scenarios as files."""
    wanted = options.scenario or [*scenario_names(), *([REAL] if options.photographs else [])]
    jobs = []
    if any(name != REAL for name in wanted):
        bundle = options.bundle or simulated_bundle(folder, quick=options.quick)
        jobs = [_job(name, name, {}, bundle, options, folder) for name in wanted if name != REAL]
    if REAL in wanted:
        bundle, fruit = real_bundle(folder, options.photographs, options.weights)
        changes = {"belt": {"picture": str(options.belt.absolute())}, "fruit": {"lanes": 3, "per_second": 4.0}}
        job = _job(REAL, "calm", changes, bundle, options, folder)
        jobs.append(Job(job.name, job.bundle, f"{job.source}&fruit-images={fruit.absolute()}", job.seconds))
    return jobs


def _job(name: str, base: str, changes: Changes, bundle: Path, options: Namespace, folder: Path) -> Job:
    scenario = parse_scenario(as_toml(base, changes), name)
    seconds = QUICK_S if options.quick else scenario.seconds
    if options.fruit:
        denser, seconds = dense(scenario, options.fruit)
        changes = {**changes, "fruit": denser, "camera": {"frame_rate_hz": LONG_FORM_HZ}}
    file = folder / f"{name}.toml"
    file.write_text(as_toml(base, changes), "utf-8")
    return Job(name, bundle, f"sim:{file.absolute()}?seed={SEED}", seconds)


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
    """One scenario: the commands that a user would type; the contents of `score.json`."""
    output, kept = folder / job.name, folder / f"{job.name}.json"
    terms = {"bundle": str(job.bundle), "source": job.source, "seconds": round(job.seconds, 1)}
    if kept.is_file() and (before := json.loads(kept.read_text("utf-8")))["terms"] == terms:
        earlier: dict[str, Any] = before["figures"]
        return earlier
    words = ["run", job.bundle, "--source", job.source, "-o", output, "--trace", "--duration", round(job.seconds, 1)]
    summary = ripeline(*words, "--force")
    figures = ripeline("score", output, output)
    figures["timing"]["frame_ms"] = summary["latency_ms"]["frame"]
    kept.write_text(json.dumps({"terms": terms, "figures": figures}), "utf-8")
    print(f"{job.name} done", file=sys.stderr, flush=True)
    return figures


def simulated_bundle(folder: Path, *, quick: bool) -> Path:
    """What `make demo` trains, a small network on drawn fruit; smaller still where time is short."""
    data, run, bundle = folder / "data", folder / "run", folder / "bundle"
    per_class, size_px = (60, 96) if quick else (150, 128)
    if (bundle / "SHA256SUMS").is_file():
        return bundle
    ripeline("simulate", "dataset", data, "--per-class", per_class, "--force")
    ripeline("train", data, "-o", run, "--weights", "starter", "--image-size", size_px, "--force")
    ripeline("export", run, "-o", bundle, "--accept", "ripe", "--force", *(_ONE_FORMAT if quick else ()))
    return bundle


def real_bundle(folder: Path, photographs: Path, weights: Path) -> tuple[Path, Path]:
    """A bundle trained on photographs, and a folder with those of its test split."""
    run, bundle, test = folder / "real-run", folder / "real-bundle", folder / "real-test"
    labels = "unripe,turning,ripe"
    if (bundle / "SHA256SUMS").is_file() and test.is_dir():
        return bundle, test
    ripeline("train", photographs, "-o", run, "--weights", weights, "--alpha", 0.35, "--labels", labels, "--force")
    ripeline("export", run, "-o", bundle, "--accept", "ripe", "--force")
    shutil.rmtree(test, ignore_errors=True)
    with (run / "splits.csv").open(encoding="utf-8", newline="") as stream:
        for picture in csv.DictReader(stream):
            if picture["split"] == "test":
                (test / picture["file"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(photographs / picture["file"], test / picture["file"])
    (test / "labels.txt").write_text(labels.replace(",", "\n") + "\n", "utf-8")
    return bundle, test


def row(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a score: totals, without labels, lanes and minutes."""
    kept = ("counting", "identity", "grading", "streams", "acting", "timing", "errors")
    worst = [{key: wrong[key] for key in ("what", "fruit_id", "frame")} for wrong in one["worst"][:3]]
    return {"scenario": name, **{key: one[key] for key in kept}, "worst": worst}


def judge(gate: Path, scores: dict[str, dict[str, Any]]) -> list[str]:
    """What a gate with a table a scenario says no to."""
    tables = tomllib.loads(gate.read_text("utf-8"))
    missing = [f"{name}: no such scenario was run" for name in tables if name not in scores]
    return missing + [
        f"{name}: {text}"
        for name, table in tables.items()
        if name in scores
        for text in failures(Gate.model_validate(table), scores[name])
    ]


def ripeline(*words: object) -> dict[str, Any]:
    """The document of one verb; a gate's no, as of a parity judged on few pictures, does not matter here."""
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, _GATE_SAID_NO):
        sys.exit(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def as_toml(base: str, changes: Changes) -> str:
    """A scenario that differs from one that ships; JSON's plain values are TOML's too."""
    lines = [f"base = {json.dumps(base)}"]
    for section, values in changes.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def in_columns(table: list[list[str]]) -> str:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


if __name__ == "__main__":
    main()
