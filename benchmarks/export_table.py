"""What does each format cost and keep on each engine?

For each run, all formats (tflite-int8 by both quantisers) on every engine here: size; agreement with Keras, difference
of accuracy with its one-sided 95 % bounds and share of verdicts that flip, as `ripeline export` found them on the
held-out pictures; and, measured here in turn, round after round, each in a process of its own and on one thread: p50
and p99 of one image, peak memory, and cold start (importing NumPy and the engine, loading, first answer; files in the
page cache).

    python benchmarks/export_table.py --runs RUN [RUN ...] [--data DATA] [--bundles FOLDER] [--quick] [--json]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export_time import export
from record import arguments, publish

QUANTIZERS = ("tflite-converter", "ai-edge-quantizer")
_ROUNDS, _QUICK_ROUNDS = 3, 1
_WARM_UP, _RUNS, _BUDGET_S = 10, 200, 1.0


@dataclass
class Pair:
    """One artefact on one engine; times in milliseconds, memory in MB, one entry a round."""

    file: Path
    golden: Path
    found: dict[str, Any]
    times_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Once more, in a process of its own."""
        words = ["--measure", str(self.file), self.found["engine"], str(self.golden)]
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
        one = json.loads(done.stdout.splitlines()[-1])
        self.times_ms += one["times_ms"]
        self.cold_ms.append(one["cold_ms"])
        self.peak_mb.append(one["peak_mb"])

    def row(self) -> dict[str, Any]:
        """All figures."""
        import numpy as np

        p50, p99 = np.quantile(self.times_ms, [0.5, 0.99])
        return self.found | {
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "cold_start_ms": round(float(np.median(self.cold_ms)), 1),
            "peak_mb": round(float(np.median(self.peak_mb)), 1),
        }


def main() -> None:
    """Export each run, measure in turn, publish."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))))
        return
    options = arguments(
        __doc__ or "",
        ("--runs", {"type": Path, "nargs": "+", "required": True, "help": "finished runs"}),
        ("--data", {"type": Path, "help": "their pictures, if these have moved"}),
        ("--bundles", {"type": Path, "help": "keep the bundles in this folder, and use those that lie there already"}),
    )
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.bundles or Path(scratch)
        exported = [export_run(run, options.data, folder / run.name) for run in options.runs]
        for number in range(rounds):
            for pair in (pair for _, pairs in exported for pair in pairs):
                pair.measure()
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    runs = [{"name": name, "rows": [pair.row() for pair in pairs]} for name, pairs in exported]
    lines = [
        line
        for run in runs
        for line in [f"{run['name']}, {run['rows'][0]['n']} held-out pictures", *table(run["rows"]), ""]
    ]
    publish("export_table", {"rounds": rounds, "runs": runs}, "\n".join(lines), options)


def export_run(run: Path, data: Path | None, folder: Path) -> tuple[str, list[Pair]]:
    """Every (artefact, engine) of a run, by both quantisers."""
    config = json.loads((run / "run.json").read_text("utf-8"))["config"]
    name = f"alpha {config['alpha']} @{config['size_px']}"
    pairs = []
    for quantizer, formats in zip(QUANTIZERS, ("all", "tflite-int8"), strict=True):
        bundle = folder / quantizer
        if not bundle.exists():
            export(run, bundle, data, "--formats", formats, "--quantizer", quantizer)
        for one in json.loads((bundle / "parity.json").read_text("utf-8"))["artefacts"]:
            if formats in ("all", one["name"]):
                shown = f"{one['name']} ({quantizer})" if one["name"] == "tflite-int8" else one["name"]
                pairs.append(Pair(next(bundle.glob(f"{one['name']}.*")), bundle / "golden.npz", _found(one, shown)))
        print(f"{name}: exported by {quantizer}", file=sys.stderr)
    return name, pairs


def _found(one: dict[str, Any], name: str) -> dict[str, Any]:
    parity, accuracy = one["parity"], one["parity"]["accuracy"]
    return {
        "artefact": name,
        "engine": one["engine"],
        "bytes": one["bytes"],
        "n": parity["n"],
        "agreement": parity["agreement"],
        "accuracy": accuracy["candidate"],
        "difference": accuracy["difference"],
        "lower_bound": accuracy["lower_bound"],
        "upper_bound": accuracy["upper_bound"],
        "verdict_flips": one["decisions"]["flips"],
        "max_abs_diff": parity["max_abs_diff"],
        "result": parity["result"],
    }


def measure(file: Path, engine: str, golden: Path) -> dict[str, Any]:
    """Times of single images on one thread, cold start, and the peak memory of this process."""
    begun = time.perf_counter()
    import numpy as np

    from edge_runtime.engines import open_engine

    blank = np.zeros((1, *_input_shape(golden)), np.uint8)
    loaded = open_engine(engine, file)
    loaded.logits(blank)
    cold_ms = (time.perf_counter() - begun) * 1000
    with np.load(golden) as arrays:
        images = arrays["inputs"]
    times: list[float] = []
    for number in range(_WARM_UP + _RUNS):
        image = np.ascontiguousarray(images[number % len(images)][None])
        start = time.perf_counter()
        loaded.logits(image)
        if number >= _WARM_UP:
            times.append((time.perf_counter() - start) * 1000)
        if sum(times) > _BUDGET_S * 1000:
            break
    return {
        "times_ms": [round(one, 4) for one in times],
        "cold_ms": cold_ms,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _input_shape(golden: Path) -> tuple[int, int, int]:
    manifest = json.loads((golden.parent / "manifest.json").read_text("utf-8"))
    size = manifest["input"]["size_px"]
    return size, size, 3


def table(rows: list[dict[str, Any]]) -> list[str]:
    """For the terminal and for `docs/`."""
    header = ["artefact", "engine", "MB", "agreement", "Δ accuracy", "bounds", "verdicts flipped", "p50 ms", "p99 ms",
              "peak MB", "cold ms"]  # fmt: skip
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [
        " | ".join(
            [
                row["artefact"],
                row["engine"],
                f"{row['bytes'] / 1e6:.2f}",
                f"{row['agreement']:.1%}",
                f"{row['difference']:+.1%}",
                f"{row['lower_bound']:+.1%} to {row['upper_bound']:+.1%}",
                f"{row['verdict_flips']:.1%}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['peak_mb']:.0f}",
                f"{row['cold_start_ms']:.0f}",
            ]
        )
        for row in rows
    ]
    return [f"| {line} |" for line in lines]


if __name__ == "__main__":
    main()
