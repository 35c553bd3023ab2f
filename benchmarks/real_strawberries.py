"""How good is the plain way on real photographs, and does the export keep it?

For each seed: `train`, `export` and `check` on the labels unripe, turning, ripe; beside it the same training on a
backbone with random weights, in one run. Bars: mean test accuracy 0.95, mean balanced accuracy 0.92, agreement of the
int8 artefact with Keras 98 % on every engine.

    python benchmarks/real_strawberries.py --data DATA --weights WEIGHTS [--alpha 0.35] [--quick] [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from record import arguments, publish

BARS = {"accuracy": 0.95, "balanced_accuracy": 0.92, "int8_agreement": 0.98}
LABELS = "unripe,turning,ripe"
SEEDS = (0, 1, 2)
_RESULTS = {0: "yes", 1: "no"}


def main() -> None:
    """Train, export, check for each seed; publish."""
    options = arguments(
        __doc__ or "",
        ("--data", {"type": Path, "required": True}),
        ("--weights", {"type": Path, "required": True}),
        ("--alpha", {"type": float, "default": 0.35}),
    )
    rows = []
    for seed in SEEDS[:1] if options.quick else SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(one_seed(Path(scratch), options.data, options.weights, options.alpha, seed))
            print(f"seed {seed} done", file=sys.stderr)
    means = {name: mean(row[name] for row in rows) for name in ("accuracy", "balanced_accuracy")}
    means |= {f"random_{name}": mean(row["random"][name] for row in rows) for name in means}
    lines = [
        f"{'seed':>4} {'n':>4} {'accuracy':>9} {'balanced':>9} {'random: accuracy':>17} {'balanced':>9}  export check"
    ]
    lines += [
        f"{row['seed']:4} {row['n']:4} {row['accuracy']:9.3f} {row['balanced_accuracy']:9.3f} "
        f"{row['random']['accuracy']:17.3f} {row['random']['balanced_accuracy']:9.3f}  {row['export']:6} {row['check']}"
        for row in rows
    ]
    lines.append(
        f"mean      {means['accuracy']:9.3f} {means['balanced_accuracy']:9.3f} {means['random_accuracy']:17.3f} "
        f"{means['random_balanced_accuracy']:9.3f}"
    )
    lines += [
        f"seed {row['seed']}: int8 agreement "
        + ", ".join(f"{share:.2%} on {engine}" for engine, share in row["int8_agreement"].items())
        for row in rows
    ]
    publish("real_strawberries", {"bars": BARS, "means": means, "rows": rows}, "\n".join(lines), options)


def one_seed(folder: Path, data: Path, weights: Path, alpha: float, seed: int) -> dict[str, Any]:
    """Everything about one seed."""
    run, bundle = folder / "run", folder / "bundle"
    common = [data, "--labels", LABELS, "--alpha", alpha, "--seed", seed]
    _, trained = ripeline("train", *common, "--weights", weights, "-o", run)
    _, random = ripeline("train", *common, "--weights", "none", "-o", folder / "random")
    exported, export = ripeline("export", run, "-o", bundle, "--accept", "ripe")
    checked, check = ripeline("check", bundle)
    return {
        "seed": seed,
        "n": trained["test"]["n"],
        "accuracy": trained["test"]["accuracy"],
        "balanced_accuracy": trained["test"]["balanced_accuracy"],
        "recall": trained["test"]["recall"],
        "train_s": round(trained["seconds"], 1),
        "random": {name: random["test"][name] for name in ("accuracy", "balanced_accuracy")},
        "export": export["result"],
        "export_passes": _RESULTS[exported],
        "check": check["result"],
        "check_passes": _RESULTS[checked],
        "int8_agreement": {
            one["engine"]: one["agreement"] for one in export["artefacts"] if one["name"] == "tflite-int8"
        },
        "artefacts": export["artefacts"],
    }


def ripeline(*words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and document of one verb; anything but a gate's answer ends the benchmark."""
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in _RESULTS:
        sys.exit(done.stderr)
    return done.returncode, json.loads(done.stdout)


if __name__ == "__main__":
    main()
