"""What is the whole runtime worth on a moving line?

Runs a bundle through the scenarios that ship, scores each run against the truth and prints one table. Three forms:

- `--quick`: 8 s of belt a scenario; nothing is kept.
- by default: each scenario as it ships.
- `--fruit 3000`: as long as it takes for so many fruit. To bring them in little time, scenarios with fewer lanes get as
  many as fit, fruit follow each other at close to the least spacing, and the camera takes 15 frames a second.

Two scenarios run at a time, the longest first. One that fails does not end the others; it is named, and the exit code
is 1. With `--keep DIR` each run stays in DIR as it ends, `DIR/line_truth.json` holds what has ended so far, and the
same command goes on from there where it was broken off. The results file is written where all scenarios ended well.

With `--photographs`, `--weights` and `--belt` one more: real strawberries, which no training saw, cut out and laid on
a frame of real footage, sorted by a model that was trained on the rest of them. `--gate` exits with 1 where a scenario
falls below the figures of that file. `--table` runs nothing: it prints the tables of `docs/line_truth.md` from a
results file.

    python benchmarks/line_truth.py [--bundle BUNDLE] [--fruit N] [--scenario NAME] [--gate FILE] [--keep DIR]
        [--photographs DATA --weights WEIGHTS --belt FILE] [--quick] [--json]
    python benchmarks/line_truth.py --table [--results FILE]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from line_jobs import REAL, SEED, Job, RunFailedError, drawn_jobs, measure, measured, real_job
from record import RESULTS, arguments, publish

from edge_runtime.errors import RipelineError
from simulator.gate import Gate, failures
from simulator.score_page import comparison

RUNS_AT_A_TIME = 2

Scores = dict[str, dict[str, Any]]
"""`score.json` of each scenario, by name."""


def main() -> None:
    """Run, score, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: one made now from simulated fruit"}),
        ("--fruit", {"type": int, "help": "how many of each scenario, at least"}),
        ("--scenario", {"action": "append", "help": "only this one, and no results file; may be repeated"}),
        ("--gate", {"type": Path, "help": "TOML, a table a scenario: [calm.at_least], [calm.at_most]"}),
        ("--keep", {"type": Path, "help": "folder for the runs and their pages, gone on with if it exists"}),
        ("--photographs", {"type": Path, "help": "labelled strawberries: unripe, turning, ripe"}),
        ("--weights", {"type": Path, "help": "of the backbone for them"}),
        ("--belt", {"type": Path, "help": "photograph or film of a belt for them to ride on"}),
        ("--table", {"action": "store_true", "help": "print the tables for the documentation, run nothing"}),
        ("--results", {"type": Path, "default": RESULTS / "line_truth.json", "help": "of --table"}),
    )
    if options.table:
        rows = json.loads(options.results.read_text("utf-8"))["scenarios"]
        print(as_markdown({one["scenario"]: one for one in sorted(rows, key=lambda one: in_order(one["scenario"]))}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        failed: dict[str, str] = {}
        try:
            jobs = drawn_jobs(options, folder)
        except (RunFailedError, RipelineError) as error:
            sys.exit(str(error))
        if options.photographs and REAL in (options.scenario or [REAL]):
            try:
                jobs.append(real_job(options, folder))
            except (RunFailedError, RipelineError) as error:
                failed[REAL] = str(error)  # the drawn lines are still worth their time
        scores = run_all(jobs, folder, failed)
    said = [f"{name} failed: {text}" for name, text in failed.items()]
    said += judge(options.gate, scores) if options.gate else []
    header, rows = comparison(scores)
    figures = {"seed": SEED, "fruit_at_least": options.fruit, "scenarios": [row(name, scores[name]) for name in scores]}
    options.quick |= bool(options.scenario or failed)  # a table with holes does not replace a whole one
    publish("line_truth", figures, in_columns([header, *([str(cell) for cell in line] for line in rows)]), options)
    if said:
        sys.exit("\n".join(said))


def run_all(jobs: Sequence[Job], folder: Path, failed: dict[str, str]) -> Scores:
    """Measure all, the longest first; what goes wrong with one is noted in `failed` under its name."""
    scores: Scores = {job.name: one for job in jobs if (one := measured(job, folder)) is not None}
    longest_first = sorted((job for job in jobs if job.name not in scores), key=lambda job: job.work, reverse=True)
    wanted = len(jobs) + len(failed)
    total, done, begun = sum(job.work for job in longest_first), 0.0, time.monotonic()
    with ThreadPoolExecutor(RUNS_AT_A_TIME) as pool:
        running = {pool.submit(measure, job, folder): job for job in longest_first}
        for future in as_completed(running):
            job = running[future]
            try:
                scores[job.name] = future.result()
            except Exception as error:  # whatever it was, the other lines are still worth their time
                failed[job.name] = str(error) or type(error).__name__
            done += job.work
            kept = [row(name, one) for name, one in scores.items()]
            (folder / "line_truth.json").write_text(json.dumps({"scenarios": kept, "failed": failed}), "utf-8")
            to_go_s = (time.monotonic() - begun) * (total - done) / done
            tell(job.name, len(scores), failed, wanted, to_go_s=to_go_s)
    return {name: scores[name] for name in sorted(scores, key=in_order)}


def in_order(name: str) -> tuple[bool, str]:
    """Drawn lines by name, then the real fruit."""
    return name == REAL, name


def tell(name: str, well: int, failed: dict[str, str], all_of_them: int, *, to_go_s: float) -> None:
    """One line of progress; the end is expected at the pace so far."""
    ends = time.strftime("%H:%M", time.localtime(time.time() + to_go_s))
    word = f"FAILED, {failed[name].splitlines()[0]}" if name in failed else "done"
    left = all_of_them - well - len(failed)
    to_go = f"; about {to_go_s / 60:.0f} min to go, until {ends}" if left else ""
    print(f"{well + len(failed)} of {all_of_them}: {name} {word}{to_go}", file=sys.stderr, flush=True)


def row(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a score: totals, without labels, lanes and minutes."""
    kept = ("counting", "identity", "grading", "streams", "acting", "timing", "errors")
    worst = [{key: wrong[key] for key in ("what", "fruit_id", "frame")} for wrong in one["worst"][:3]]
    return {"scenario": name, **{key: one[key] for key in kept}, "worst": worst}


def judge(gate: Path, scores: Scores) -> list[str]:
    """What a gate with a table a scenario says no to."""
    tables = tomllib.loads(gate.read_text("utf-8"))
    missing = [f"{name}: no such scenario was run" for name in tables if name not in scores]
    return missing + [
        f"{name}: {text}"
        for name, table in tables.items()
        if name in scores
        for text in failures(Gate.model_validate(table), scores[name])
    ]


def as_markdown(scores: Scores) -> str:
    """The tables of `docs/line_truth.md`."""
    header = [
        "run",
        "seen in two good frames",
        "count error",
        "merged + split",
        "doubled",
        "about nothing",
        "undecided",
    ]
    header += ["promised right", "right", "p99.9, mm", "largest, mm", "neighbour hit", "sparable"]
    return "\n\n".join(
        "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * len(head), *rows])
        for head, rows in (comparison(scores), (header, [_asked(name, one) for name, one in scores.items()]))
    )


def _asked(name: str, one: dict[str, Any]) -> list[str]:
    """What was asked of counting, deciding and acting."""
    counting, grading, acting = one["counting"], one["grading"], one["acting"] or {}
    seen = counting["true"] - counting["unseen"]
    place, neighbour = acting.get("position_error_mm"), acting.get("hit_neighbour")
    promised, right, undecided = grading["promised_error"], grading["accuracy"]["share"], grading["undecided"]["share"]
    return [
        name,
        str(seen),
        _percent(counting["count_error"]["share"], "+.2%"),
        _percent((counting["merged"]["k"] + counting["split"]["k"]) / seen if seen else None, ".2%"),
        str(counting["doubled"]["k"]),
        str(counting["spurious"]["k"]),
        _percent(undecided),
        _percent(1 - promised["mean"] if promised else None),
        _percent(right),
        *([f"{place[at]:.1f}" for at in ("p99.9", "max")] if place else ["–", "–"]),
        f"{neighbour['k']} of {neighbour['n']}" if neighbour else "–",
        str(acting["hit_sparable"]["k"]) if neighbour else "–",
    ]


def _percent(value: float | None, form: str = ".1%") -> str:
    return "–" if value is None else format(value, form)


def in_columns(table: list[list[str]]) -> str:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


if __name__ == "__main__":
    main()
