"""What is the whole runtime worth on a moving line?

Runs a bundle through the scenarios that ship, scores it against the truth and prints one table. Short by default (about
20 s of belt each); `--fruit 3000` is the long form: as many seconds of each scenario as bring so many fruit.

    python benchmarks/line_truth.py [--bundle BUNDLE] [--fruit N] [--scenario NAME] [--quick] [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from overhead import make_bundle
from record import arguments, publish

from simulator.scenario import load_scenario, scenario_names

_SHORT_S, _QUICK_S = 20.0, 8.0
_SEED = 11


def main() -> None:
    """Run, score, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: a small one made now, alpha 0.35 at 160 px"}),
        ("--fruit", {"type": int, "help": "how many of each scenario, about"}),
        ("--scenario", {"action": "append", "help": "only this one; may be repeated"}),
    )
    with tempfile.TemporaryDirectory() as scratch:
        bundle = options.bundle or make_bundle(Path(scratch))
        rows = []
        for name in options.scenario or scenario_names():
            seconds = _QUICK_S if options.quick else _SHORT_S
            if options.fruit is not None:
                seconds = options.fruit / load_scenario(name).fruit.per_second + _SHORT_S
            rows.append(measure(bundle, name, seconds, Path(scratch) / name))
    names = list(rows[0])
    table = [[name.replace("_", " ") for name in names], *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
    publish("line_truth", {"seed": _SEED, "rows": rows}, "\n".join(lines), options)


def measure(bundle: Path, name: str, seconds: float, output: Path) -> dict[str, Any]:
    """One scenario: the commands that a user would type, and the figures that matter."""
    source = f"sim:{name}?seed={_SEED}"
    summary = _ripeline("run", bundle, "--source", source, "-o", output, "--trace", "--duration", round(seconds, 1))
    figures = _ripeline("score", output, output)
    counting, grading, acting = figures["counting"], figures["grading"], figures["acting"] or {}
    return {
        "scenario": name,
        "fruit": counting["true"],
        "unseen": counting["unseen"],
        "found": counting["found"]["share"],
        **{kind: counting[kind]["k"] for kind in ("missed", "merged", "split", "doubled", "spurious")},
        "accuracy": grading["accuracy"]["share"],
        "accuracy_ci95": grading["accuracy"]["ci95"],
        **{kind: grading[kind]["share"] for kind in ("escapes", "false_rejects", "undecided")},
        **{kind: acting.get(kind, {}).get("share") for kind in ("hit_own", "hit_neighbour", "hit_nothing", "late")},
        "error_p99_mm": (acting.get("position_error_mm") or {}).get("p99"),
        "frame_p99_ms": summary["latency_ms"]["frame"]["p99"],
    }


def _ripeline(*words: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{value[0]:.2f}–{value[1]:.2f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
