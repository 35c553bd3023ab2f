"""What `ripeline adapt` makes of a run with a handful of pictures of a source that the run has never seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.metrics import balanced_accuracy, confusion
from train import Run, load_keras_model
from train.adapt import NEW_VIEWS, OLD_VIEWS
from train.features import pooled_features, view_of
from train.model import PROBABILITIES, backbone_of
from train.new_line import fit_to_line
from train.pictures import InMemory
from train.refit import Head, Shown

PICTURES_A_LABEL = (5, 10, 20, 40)

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class Draw(NamedTuple):
    """Rows of a source: those given to `adapt`, and those of groups that it has seen nothing of."""

    shown: Indices
    test: Indices


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
