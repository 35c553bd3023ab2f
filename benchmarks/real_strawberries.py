"""How good is the plain way on real photographs from places that it knows, and does the export keep it?

For each of five splits by group: `train`, `export` and `check` on the labels unripe, turning, ripe; beside it the same
training on a backbone with random weights, and with the label spoiled as well, in one run. Bars: mean test accuracy
0.96, mean balanced accuracy 0.935, mean of the worst label's recall 0.85, agreement of the int8 artefact with Keras
98 % on every engine. What to expect at a new place is the question of `new_line.py`.

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

from record import ON_PICTURES, arguments, publish

BARS = {"accuracy": 0.96, "balanced_accuracy": 0.935, "worst_recall": 0.85, "int8_agreement": 0.98}
LABELS = "unripe,turning,ripe"
FOUR_LABELS = f"{LABELS},spoiled"
SEEDS = (0, 1, 2, 3, 4)
FIGURES = ("accuracy", "balanced_accuracy", "worst_recall")
_RESULTS = {0: "yes", 1: "no"}


def main() -> None:
    """Train, export, check for each seed; publish."""
    options = arguments(
        __doc__ or "",
        *ON_PICTURES,
    )
    rows = []
    for seed in SEEDS[:1] if options.quick else SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(one_seed(Path(scratch), options.data, options.weights, options.alpha, seed))
            print(f"seed {seed} done", file=sys.stderr)
    means = {
        case: {name: mean(row[case][name] for row in rows) for name in FIGURES}
        for case in ("three_labels", "four_labels", "random")
    }
    lines = [f"{'seed':>4} {'':13} {'n':>4} {'accuracy':>9} {'balanced':>9} {'worst recall':>13}  export check"]
    for row in rows:
        lines += [
            f"{row['seed']:4} {case:13} {row[case]['n']:4} {_in_a_row(row[case])}"
            + (f"  {row['export']:6} {row['check']}" if case == "three_labels" else "")
            for case in means
        ]
    lines += [f"mean {case:13} {'':4} {_in_a_row(one)}" for case, one in means.items()]
    lines += [
        f"{'met ' if means['three_labels'][name] >= BARS[name] else 'MISSED'}: {name} {BARS[name]}" for name in FIGURES
    ]
    lines += [
        f"seed {row['seed']}: int8 agreement "
        + ", ".join(f"{share:.2%} on {engine}" for engine, share in row["int8_agreement"].items())
        for row in rows
    ]
    publish("real_strawberries", {"bars": BARS, "means": means, "rows": rows}, "\n".join(lines), options)


def one_seed(folder: Path, data: Path, weights: Path, alpha: float, seed: int) -> dict[str, Any]:
    """Everything about one seed."""
    run, bundle = folder / "run", folder / "bundle"
    common = [data, "--alpha", alpha, "--seed", seed]
    _, trained = ripeline("train", *common, "--labels", LABELS, "--weights", weights, "-o", run)
    _, four = ripeline("train", *common, "--labels", FOUR_LABELS, "--weights", weights, "-o", folder / "four")
    _, random = ripeline("train", *common, "--labels", LABELS, "--weights", "none", "-o", folder / "random")
    exported, export = ripeline("export", run, "-o", bundle, "--accept", "ripe")
    checked, check = ripeline("check", bundle)
    return {
        "seed": seed,
        "three_labels": _figures(trained),
        "four_labels": _figures(four),
        "random": _figures(random),
        "train_s": round(trained["seconds"], 1),
        "export": export["result"],
        "export_passes": _RESULTS[exported],
        "check": check["result"],
        "check_passes": _RESULTS[checked],
        "int8_agreement": {
            one["engine"]: one["agreement"] for one in export["artefacts"] if one["name"] == "tflite-int8"
        },
        "artefacts": export["artefacts"],
    }


def _figures(trained: dict[str, Any]) -> dict[str, Any]:
    test = trained["test"]
    return {name: test[name] for name in ("n", "accuracy", "balanced_accuracy", "recall")} | {
        "worst_recall": min(one for one in test["recall"].values() if one is not None)
    }


def _in_a_row(figures: dict[str, Any]) -> str:
    return f"{figures['accuracy']:9.3f} {figures['balanced_accuracy']:9.3f} {figures['worst_recall']:13.3f}"


def ripeline(*words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and document of one verb; anything but a gate's answer ends the benchmark."""
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in _RESULTS:
        sys.exit(done.stderr)
    return done.returncode, json.loads(done.stdout)


if __name__ == "__main__":
    main()
