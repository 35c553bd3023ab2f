"""What does `ripeline adapt` make of a run with a handful of pictures of a source that the run has never seen?

Each source is left out in turn, as in `new_line.py`; `ripeline train` learns from the others, and adapts to 5, 10, 20
and 40 pictures a label of the left-out one (fewer where it has not twice as many), 20 draws each, tested on groups of
which it was shown nothing. Beside it, on the same pictures: the run as it was, and a linear head fitted by hand. Bar:
on average over the sources, adapted is better than both for every number of pictures.

    python benchmarks/adapting.py --data DATA --weights WEIGHTS [--alpha 0.35] [--labels A,B,C] [--draws 20]
        [--quick] [--json]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from new_line import LABELS, sources_to_leave_out, training_part, without
from record import ON_PICTURES, arguments, publish
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Dataset, label_indices, load_inputs, read_dataset
from evaluation.metrics import balanced_accuracy, confusion
from train import Run, TrainConfig, load_keras_model, train_run
from train.adapt import NEW_VIEWS, OLD_VIEWS
from train.features import pooled_features, view_of
from train.model import PROBABILITIES, backbone_of
from train.new_line import fit_to_line
from train.pictures import InMemory
from train.refit import Head, Shown

PICTURES_A_LABEL = (5, 10, 20, 40)
DRAWS, QUICK_DRAWS = 20, 4
WAYS = ("before", "by_hand", "after")

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class Draw(NamedTuple):
    """Rows of a source: those given to `adapt`, and those of groups that it has seen nothing of."""

    shown: Indices
    test: Indices


def main() -> None:
    """Train without every source, adapt to it many times; publish."""
    options = arguments(
        __doc__ or "",
        *ON_PICTURES,
        ("--labels", {"default": LABELS}),
        ("--draws", {"type": int, "default": DRAWS, "help": "for each number of pictures"}),
    )
    began = time.perf_counter()
    data = read_dataset(options.data, options.labels.split(","))
    left_out = sources_to_leave_out(data)
    draws = QUICK_DRAWS if options.quick else options.draws
    rows: list[dict[str, Any]] = []
    for source in left_out:
        adapted = one_source(data, source, str(options.weights), options.alpha, draws)
        rows += [{"source": source} | row for row in adapted]
        print(f"{time.perf_counter() - began:5.0f} s  {source} done", file=sys.stderr)
    average = averages(rows)
    figures = {"left_out": left_out, "rows": rows, "average": average, "bars": bars(average)}
    publish("adapting", figures, table(rows), options)


def one_source(data: Dataset, source: str, weights: str, alpha: float, draws: int) -> list[dict[str, Any]]:
    """The rows of `after_adapting` for a run of seed 0 that never saw `source`."""
    items = [item for item in data.items if item.source == source]
    with tempfile.TemporaryDirectory() as scratch:
        others = without(data, source, Path(scratch) / "data")
        config = TrainConfig(data=others, labels=data.labels, weights=weights, alpha=alpha)
        run = train_run(config, Path(scratch) / "run")
        shown, truth = training_part(run, others)
        old = load_inputs(shown, run.record.input), truth
        mine = label_indices(items, data.labels)
        new = load_inputs(items, InputSpec(size_px=config.size_px)), mine
        return after_adapting(run, old, new, [item.group for item in items], draws)


def after_adapting(
    run: Run, old: tuple[Pixels, Indices], source: tuple[Pixels, Indices], groups: Sequence[str], draws: int
) -> list[dict[str, Any]]:
    """A row for each number of pictures a label: means over draws, before and after, on the same test pictures.

    Beside them a linear head fitted by hand, that is by logistic regression on the frozen features of the new pictures
    alone, and what `adapt` promised. The features are computed once; each draw then goes through the same functions as
    `ripeline adapt`.

    Args:
        run: Trained without the source.
        old: Pictures that the run learned from, `[N, size, size, 3]` uint8 RGB, and their label indices.
        source: Those of the source.
        groups: Of the source's pictures.
        draws: How many for each number.
    """
    model = load_keras_model(run)
    head = Head(*model.get_layer(PROBABILITIES).get_weights())
    seed, decay = run.record.config.seed, run.record.config.head_decay
    names, truth = np.asarray(groups), source[1]

    def features(pixels: Pixels, views: int) -> npt.NDArray[np.float32]:
        rows = range(len(pixels))
        seen = np.concatenate([view_of(pixels, rows, view, seed) for view in range(views)])
        flat = pooled_features(backbone_of(model), InMemory(seen))
        return flat.reshape(views, len(pixels), -1).transpose(1, 0, 2)

    known = Shown(features(old[0], OLD_VIEWS), old[1])
    new = Shown(features(source[0], NEW_VIEWS), truth)

    def one(number: int, size: int) -> dict[str, float]:
        shown, test = draw(truth, names, size, np.random.default_rng((seed, size, number)))
        given = Shown(new.features[shown], truth[shown])
        fitted = fit_to_line(head, known, given, names[shown].tolist(), seed=number, decay=decay)
        figures = {"shown": float(len(shown)), "n": float(len(test)), "weight": fitted.weight}
        promised = confusion(truth[shown], fitted.expected.logits.argmax(axis=1), len(head.bias))
        figures["balanced_accuracy_promised"] = balanced_accuracy(promised)
        by_hand = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        by_hand.fit(new.features[shown, 0], truth[shown])
        given_by = {
            name: one.logits(new.features[test, 0]).argmax(axis=1)
            for name, one in (("before", head), ("after", fitted.head))
        }
        given_by["by_hand"] = by_hand.predict(new.features[test, 0])
        for name, answers in given_by.items():
            figures[f"accuracy_{name}"] = float((answers == truth[test]).mean())
            figures[f"balanced_accuracy_{name}"] = balanced_accuracy(confusion(truth[test], answers, len(head.bias)))
        return figures

    rows = []
    for size in PICTURES_A_LABEL:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            figures = list(pool.map(one, range(draws), [size] * draws))
        gains = np.array([row["accuracy_after"] - row["accuracy_before"] for row in figures])
        rows.append(
            {"pictures_a_label": size, "draws": draws, "draws_that_lost": int((gains < 0).sum())}
            | {name: mean(row[name] for row in figures) for name in figures[0]}
        )
    return rows


def draw(truth: Indices, groups: npt.NDArray[np.str_], size: int, rng: np.random.Generator) -> Draw:
    """Up to `size` pictures of each label, from groups in random order, at most half of the groups of any label."""
    shown: list[int] = []
    for label in np.unique(truth):
        mine = rng.permutation(np.unique(groups[truth == label]))
        inside = [np.flatnonzero((groups == group) & (truth == label)) for group in mine[: len(mine) // 2]]
        shown += np.concatenate([np.empty(0, np.int64), *inside])[:size].tolist()
    return Draw(np.array(sorted(shown)), np.flatnonzero(~np.isin(groups, groups[shown])))


def averages(rows: Sequence[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Means over sources by number of pictures a label."""
    found = {}
    for size in PICTURES_A_LABEL:
        of_size = [row for row in rows if row["pictures_a_label"] == size]
        found[size] = {name: mean(row[name] for row in of_size) for name in of_size[0] if "accuracy" in name}
    return found


def bars(average: Mapping[int, Mapping[str, float]]) -> dict[str, bool]:
    """Which bars are met."""
    return {
        f"{size} a label: better than {words}": one["accuracy_after"] > one[f"accuracy_{way}"]
        for size, one in average.items()
        for way, words in (("before", "as trained"), ("by_hand", "a head fitted by hand"))
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'':41} accuracy: as trained, by hand, adapted / balanced"]

    def figures(row: Mapping[str, float]) -> str:
        return " / ".join(
            " ".join(f"{row[f'{name}_{way}']:.3f}" for way in WAYS) for name in ("accuracy", "balanced_accuracy")
        )

    lines += [
        f"{row['source'][:24]:24} {row['pictures_a_label']:3} a label {row['n']:4.0f}  {figures(row)}  "
        f"lost in {row['draws_that_lost']} of {row['draws']} draws"
        for row in rows
    ]
    average = averages(rows)
    lines += [f"{'mean over sources':24} {size:3} a label {'':4}  {figures(one)}" for size, one in average.items()]
    return "\n".join([*lines, *(f"{'met ' if passed else 'MISSED'}: {bar}" for bar, passed in bars(average).items())])


if __name__ == "__main__":
    main()
