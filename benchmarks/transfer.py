"""Does a model that has seen only simulated fruit know real ones?

For each seed: crops are drawn, `train` learns from them on ImageNet weights, `evaluate` judges on photographs. Bars, on
the mean over seeds: balanced accuracy 0.75 on unripe, turning, ripe and 0.97 on unripe, ripe.

    python benchmarks/transfer.py --data DATA --weights WEIGHTS [--seeds N] [--quick] [--json]
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

BARS = {"unripe,turning,ripe": 0.75, "unripe,ripe": 0.97}
PER_CLASS = 150


def main() -> None:
    """Draw, train, judge, publish."""
    options = arguments(
        __doc__ or "",
        ("--data", {"type": Path, "required": True, "help": "photographs, one folder a label"}),
        ("--weights", {"type": Path, "required": True, "help": "of MobileNetV2 0.35, trained on ImageNet"}),
        ("--seeds", {"type": int, "default": 3}),
    )
    rows = []
    for seed in range(1 if options.quick else options.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            rows += one_seed(Path(scratch), options.data, options.weights, seed)
            print(f"seed {seed} done", file=sys.stderr)
    means = {labels: mean(row["real"] for row in rows if row["labels"] == labels) for labels in BARS}
    lines = [f"{'seed':>4} {'labels':20} {'drawn':>6} {'real':>6}  recall on photographs"]
    for row in rows:
        recall = ", ".join(f"{label} {share:.2f}" for label, share in row["recall"].items())
        lines.append(f"{row['seed']:4} {row['labels']:20} {row['drawn']:6.3f} {row['real']:6.3f}  {recall}")
    lines += [
        f"{'met ' if means[labels] >= bar else 'MISSED'}: {labels} {means[labels]:.3f}, bar {bar}"
        for labels, bar in BARS.items()
    ]
    publish("transfer", {"bars": BARS, "per_class": PER_CLASS, "means": means, "rows": rows}, "\n".join(lines), options)


def one_seed(folder: Path, photographs: Path, weights: Path, seed: int) -> list[dict[str, Any]]:
    """Balanced accuracy on drawn test pictures and on photographs, for both sets of labels."""
    data, rows = folder / "data", []
    ripeline("simulate", "dataset", data, "--per-class", PER_CLASS, "--seed", seed, "--surroundings", "any")
    for number, labels in enumerate(BARS):
        run = folder / f"run{number}"
        words = ["--labels", labels, "--weights", weights, "--alpha", 0.35, "--seed", seed]
        trained = ripeline("train", data, "-o", run, *words)
        judged = ripeline("evaluate", run, photographs)
        rows.append(
            {
                "seed": seed,
                "labels": labels,
                "drawn": trained["test"]["balanced_accuracy"],
                "real": judged["balanced_accuracy"],
                "real_n": judged["n"],
                "recall": judged["recall"],
            }
        )
    return rows


def ripeline(*words: object) -> dict[str, Any]:
    """The document of one verb."""
    command = [sys.executable, "-m", "ripeline.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    main()
