"""What becomes of a model on a line that it has never seen?

Each source of pictures is left out in turn: everything is trained on the others and tested on it. Compared, for
several seeds: a head on a frozen backbone, the plain recipe (both in `plain_recipe.py`), and `ripeline train` as it
ships, all from the same pictures (those that a run puts aside for testing are nobody's). Bars: as shipped beats both on
average by more than the seeds differ, and on no source does the paired 95 % interval against the frozen head lie wholly
below zero. Sources with under 30 pictures or one label are not left out.

`adapting.py` shows what becomes of it with a handful of pictures from there.

    python benchmarks/new_line.py --data DATA --weights WEIGHTS [--alpha 0.35] [--labels A,B,C] [--quick] [--json]
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from record import ON_PICTURES, arguments, publish

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Dataset, Item, label_indices, load_inputs, read_dataset
from evaluation.intervals import cluster_bootstrap
from evaluation.metrics import balanced_accuracy, confusion, recalls
from evaluation.split import Split
from train import Run, TrainConfig, train_run
from train.folds import obstacles

LABELS = "unripe,turning,ripe"
SEEDS = (0, 1, 2)
FROZEN, PLAIN, SHIPPED = "frozen head", "plain recipe", "ripeline train"
METHODS = (FROZEN, PLAIN, SHIPPED)

Indices = npt.NDArray[np.int64]


def main() -> None:
    """Train and test for every source and seed; publish."""
    options = arguments(__doc__ or "", *ON_PICTURES, ("--labels", {"default": LABELS}))
    began = time.perf_counter()
    data = read_dataset(options.data, options.labels.split(","))
    seeds = SEEDS[:1] if options.quick else SEEDS
    answers: dict[str, dict[str, list[Indices]]] = defaultdict(lambda: defaultdict(list))
    left_out = sources_to_leave_out(data)
    for source in left_out:
        for seed in seeds:
            given = one_seed(data, source, seed, str(options.weights), options.alpha)
            for method in METHODS:
                answers[source][method].append(given[method])
            print(f"{time.perf_counter() - began:5.0f} s  {source}, seed {seed} done", file=sys.stderr)
    rows = [row for source in left_out for row in compare(data, source, answers[source])]
    average = averages(rows)
    figures = {"seeds": seeds, "left_out": left_out, "rows": rows, "average": average, "bars": bars(rows, average)}
    figures["seconds"] = round(time.perf_counter() - began)
    publish("new_line", figures, table(data.labels, rows, average, figures["bars"]), options)


def sources_to_leave_out(data: Dataset) -> tuple[str, ...]:
    """Those that can be a test of their own."""
    found = obstacles([item.source for item in data.items], data.label_indices())
    return tuple(source for source, obstacle in found.items() if obstacle is None)


def one_seed(data: Dataset, source: str, seed: int, weights: str, alpha: float) -> dict[str, Indices]:
    """What each method, trained without `source`, takes that source's pictures for: label indices by method."""
    items = [item for item in data.items if item.source == source]
    with tempfile.TemporaryDirectory() as scratch:
        others = without(data, source, Path(scratch) / "data")
        config = TrainConfig(data=others, labels=data.labels, weights=weights, alpha=alpha, seed=seed)
        run = train_run(config, Path(scratch) / "run")
        # TensorFlow comes in with the run, after the data have been found fit to train on.
        from plain_recipe import train_plainly

        from train import load_keras_model, predict_keras

        inputs = load_inputs(items, InputSpec(size_px=config.size_px))
        items_shown, truth = training_part(run, others)
        shown = load_inputs(items_shown, run.record.input)
        plain = train_plainly(weights, alpha, shown, truth, inputs, seed)
        shipped = predict_keras(load_keras_model(run), inputs).probabilities
    given = {FROZEN: plain.frozen_head, PLAIN: plain.fine_tuned, SHIPPED: shipped}
    return {method: one.argmax(axis=1).astype(np.int64) for method, one in given.items()}


def without(data: Dataset, source: str, folder: Path) -> Path:
    """A folder of links to the pictures of all other sources, with a manifest."""
    rows: list[Sequence[object]] = [["file", "label", "group", "source", "box_px"]]
    for item in data.items:
        if item.source != source:
            place = folder / item.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(item.path.resolve())
            box = item.box and f"{item.box.x_px} {item.box.y_px} {item.box.width_px} {item.box.height_px}"
            rows.append([item.file, item.label, item.group, item.source, box])
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder


def training_part(run: Run, folder: Path) -> tuple[list[Item], Indices]:
    """The pictures that the run may learn from, which are all but those for testing, and their labels' indices."""
    shown = [row for row in run.splits if row.split is not Split.TEST]
    items = [row.item(folder / row.file) for row in shown]
    return items, label_indices(items, run.record.labels)


def compare(data: Dataset, source: str, answers: dict[str, list[Indices]]) -> list[dict[str, Any]]:
    """A row for each method on one source: means over seeds, and the paired difference from the frozen head."""
    inside = [i for i, item in enumerate(data.items) if item.source == source]
    truth, groups = data.label_indices()[inside], [data.items[i].group for i in inside]
    baseline = np.mean([given == truth for given in answers[FROZEN]], axis=0)
    rows = []
    for method in METHODS:
        matrices = [confusion(truth, given, len(data.labels)) for given in answers[method]]
        right = np.array([given == truth for given in answers[method]])
        interval = cluster_bootstrap(right.mean(axis=0) - baseline, groups)
        by_label = np.mean([recalls(matrix) for matrix in matrices], axis=0)
        rows.append(
            {
                "source": source,
                "method": method,
                "n": len(truth),
                "accuracy": float(right.mean()),
                "accuracy_by_seed": right.mean(axis=1).tolist(),
                "balanced_accuracy": mean(map(balanced_accuracy, matrices)),
                "recall": {
                    label: None if np.isnan(one) else float(one)
                    for label, one in zip(data.labels, by_label, strict=True)
                },
                "two_step_errors": float(np.mean([np.abs(given - truth) > 1 for given in answers[method]])),
                "better_than_frozen": float(right.mean() - baseline.mean()),
                "better_than_frozen_ci95": interval,
            }
        )
    return rows


def averages(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over sources by method; `lead` is that of `ripeline train` over it, for each seed."""
    mine = {method: [row for row in rows if row["method"] == method] for method in METHODS}
    by_seed = {method: np.mean([row["accuracy_by_seed"] for row in mine[method]], axis=0) for method in METHODS}
    figures = ("accuracy", "balanced_accuracy", "two_step_errors")
    return {
        method: {name: mean(row[name] for row in mine[method]) for name in figures}
        | {"accuracy_by_seed": by_seed[method].tolist(), "lead": (by_seed[SHIPPED] - by_seed[method]).tolist()}
        for method in METHODS
    }


def bars(rows: Sequence[dict[str, Any]], average: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Which bars are met."""
    leads = {method: average[method]["lead"] for method in (FROZEN, PLAIN)}
    harmed = [row for row in rows if row["method"] == SHIPPED and row["better_than_frozen_ci95"].high < 0]
    return {
        f"beats the {method} by more than the seeds differ": mean(lead) > (stdev(lead) if len(lead) > 1 else 0.0)
        for method, lead in leads.items()
    } | {"worse than the frozen head on no source": not harmed}


def table(
    labels: Sequence[str],
    rows: Sequence[dict[str, Any]],
    average: dict[str, dict[str, Any]],
    met: dict[str, bool],
) -> str:
    """For people."""
    names = " ".join(f"{label:>8}" for label in labels)
    lines = [f"{'source':24} {'n':>4} {'method':15} {'accuracy':>8} {'balanced':>8} {names} {'2 steps':>8}  vs frozen"]
    for row in rows:
        by_label = " ".join("       -" if one is None else f"{one:8.3f}" for one in row["recall"].values())
        low, high = row["better_than_frozen_ci95"]
        lines.append(
            f"{row['source'][:24]:24} {row['n']:4} {row['method']:15} {row['accuracy']:8.3f} "
            f"{row['balanced_accuracy']:8.3f} {by_label} {row['two_step_errors']:8.4f}  "
            f"{row['better_than_frozen']:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    for method, one in average.items():
        lead = one["lead"]
        noise = f" +- {stdev(lead):.4f}" if len(lead) > 1 else ""
        lines.append(
            f"{'mean over sources':29} {method:15} {one['accuracy']:8.3f} {one['balanced_accuracy']:8.3f}"
            f"{one['two_step_errors']:{len(names) + 10}.4f}"
            + (f"  ripeline train leads by {mean(lead):.4f}{noise}" if method != SHIPPED else "")
        )
    return "\n".join([*lines, *(f"{'met ' if passed else 'MISSED'}: {bar}" for bar, passed in met.items())])


if __name__ == "__main__":
    main()
