"""Does a line sort worse when it runs in processes?

The very same line twice (scenario, seed, length, density of the long form of `line_truth.py`): by `run` in one process
in virtual time, where no picture is dropped, and in processes by the real clock, the newest picture first. Both are
scored against the same truth. Fruit that the live camera could not see whole, because the processes were still starting
or had ended, count in neither. By the real clock the machine matters: a busy one drops pictures, and says so.

    python benchmarks/line_truth_processes.py [--bundle BUNDLE] [--fruit N] [--scenario NAME] [--keep DIR]
        [--quick] [--json]
"""

from __future__ import annotations

import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from line_jobs import Job, RunFailedError, fit_to_run, job_of, ripeline, simulated_bundle
from line_truth import in_columns
from record import arguments, publish

from edge_runtime.errors import RipelineError
from simulator.evidence import Row, read_evidence
from simulator.line_score import score
from simulator.matching import match, strokes

SCENARIOS = ("calm", "crowded", "worst_day")
_SHARES = ("found", "label right", "undecided", "yield", "hit")


def main() -> None:
    """Run both forms of each line, score, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: one made now from simulated fruit"}),
        ("--fruit", {"type": int, "default": 300, "help": "how many of each scenario, at least"}),
        ("--scenario", {"action": "append", "help": f"instead of {', '.join(SCENARIOS)}; may be repeated"}),
        ("--keep", {"type": Path, "help": "folder for the runs and their pages; default: not kept"}),
    )
    if options.quick:
        options.fruit = min(options.fruit, 40)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            bundle = fit_to_run(options.bundle) if options.bundle else simulated_bundle(folder, quick=options.quick)
            names = options.scenario or SCENARIOS
            jobs = [job_of(name, name, {}, bundle, options, folder) for name in names]
            lines = [(job.name, *both_ways(job, folder)) for job in jobs]
        except (RunFailedError, RipelineError) as error:
            sys.exit(str(error))
    figures = {
        "fruit_at_least": options.fruit,
        "lines": [{"scenario": name, "one_process": together, "processes": apart} for name, together, apart in lines],
    }
    table = [_HEADER]
    for name, together, apart in lines:
        table += [_cells(f"{name}, one process", together), _cells(f"{name}, processes", apart)]
    options.quick |= bool(options.scenario)
    publish("line_truth_processes", figures, in_columns(table), options)


def both_ways(job: Job, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """`score.json` of a line in one process and in processes.

    Raises:
        RunFailedError: A run or a score did not end well.
    """
    together, apart = folder / f"{job.name}-one", folder / f"{job.name}-processes"
    live = replace(job, source=f"{job.source}&clock=real")
    for one, output in ((live, apart), (job, together)):
        print(f"{output.name}: {job.seconds:.0f} s of belt", file=sys.stderr, flush=True)
        words = [
            "run",
            job.bundle,
            "--source",
            one.source,
            "-o",
            output,
            "--trace",
            "--duration",
            round(job.seconds, 1),
        ]
        ripeline(*words, "--force")
    first, last = frames_of(apart)
    return judged(together, first, last), judged(apart, first, last)


def frames_of(output: Path) -> tuple[int, int]:
    """The first and the last frame in which a run saw fruit."""
    with (output / "tracks.csv").open(encoding="utf-8", newline="") as stream:
        frames = [int(view["frame"]) for view in csv.DictReader(stream)]
    if not frames:
        raise RunFailedError(f"{output} saw no fruit at all")
    return min(frames), max(frames)


def judged(output: Path, first: int, last: int) -> dict[str, Any]:
    """The figures of a run, of fruit that were whole in these frames alone and of what was decided about them."""
    evidence = read_evidence(output, output)
    matched = match(evidence)

    def counts(fruit: Row | None) -> bool:
        return fruit is None or (first <= fruit["first_frame"] and fruit["last_frame"] <= last)

    def is_about_them(row: Row) -> bool:
        return counts(matched.fruit_of.get(row["fruit_id"]))

    part = replace(
        evidence,
        truth=[fruit for fruit in evidence.truth if counts(fruit)],
        decisions=[one for one in evidence.decisions if is_about_them(one)],
        firings=[one for one in evidence.firings if is_about_them(one)],
    )
    about_them = replace(
        matched,
        outcomes=tuple(one for one in matched.outcomes if counts(one.truth)),
        spare=tuple(one for one in matched.spare if counts(one.truth)),
    )
    done = [one for one in strokes(evidence, matched) if is_about_them(one.action)]
    costs = evidence.summary["costs"]
    accepted = [label for label, cost in costs.items() if min(cost, key=lambda verdict: cost[verdict]) == "ACCEPT"]
    figures = score(part, about_them, done, accepted=accepted)
    return {key: figures[key] for key in ("counting", "grading", "streams", "acting", "timing")}


_HEADER = ["run", "frames", "dropped", "fruit", *_SHARES, "merged", "extra", "cost", "late", "error p99, mm"]
_HEADER += ["to decision p50, ms", "p99, ms"]


def _cells(name: str, one: dict[str, Any]) -> list[str]:
    counting, grading, acting, frames = one["counting"], one["grading"], one["acting"] or {}, one["timing"]["frames"]
    shares = [
        counting["found"],
        grading["accuracy"],
        grading["undecided"],
        one["streams"]["yield"],
        acting.get("hit_own"),
    ]
    place, late_ms = acting.get("position_error_mm"), one["timing"]["capture_to_decision_ms"]
    return [
        name,
        str(frames["processed"]),
        str(frames["dropped"]),
        str(counting["true"] - counting["unseen"]),
        *(f"{part['share']:.1%}" if part and part["share"] is not None else "–" for part in shares),
        str(counting["merged"]["k"]),
        str(sum(counting[kind]["k"] for kind in ("split", "doubled", "spurious"))),
        f"{grading['cost']['mean']:.3f}" if grading["cost"] else "–",
        str(acting["late"]["k"]) if acting else "–",
        f"{place['p99']:.1f}" if place else "–",
        *([f"{late_ms[at]:.0f}" for at in ("p50", "p99")] if late_ms else ["–", "–"]),
    ]


if __name__ == "__main__":
    main()
