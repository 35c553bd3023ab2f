"""The head fitted to its end: on more pictures, judged by sources it did not learn from, and honest there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.cache import Examples, StoredViews
from train.finish import finish_head
from train.folds import Folds, by_source, by_validation
from train.head import Heads
from train.loss import cross_entropy

CHANNELS, LABELS, VIEWS = 16, 2, 2
SOURCES = ("north", "south", "west")
DIRECTION = np.random.default_rng(3).normal(size=CHANNELS).astype(np.float32)


def drawn(per_source: int, seed: int) -> tuple[Examples, list[str]]:
    """Two labels on both sides of a plane; each source a little elsewhere."""
    rng = np.random.default_rng(seed)
    sources = [source for source in SOURCES for _ in range(per_source)]
    truth = rng.integers(0, LABELS, len(sources))
    places = np.array([SOURCES.index(source) for source in sources])
    shift = np.random.default_rng(4).normal(size=(len(SOURCES), CHANNELS))[places]
    middle = np.where(truth, 0.5, -0.5)[:, None] * DIRECTION + 0.3 * shift
    views = middle[:, None] + rng.normal(size=(len(truth), VIEWS, CHANNELS))
    return Examples(StoredViews(views.astype(np.float32)), truth.astype(np.int64)), sources


@pytest.fixture
def case() -> tuple[Heads, Examples, Examples, Folds]:
    """Heads that point the right way but were stopped far too early."""
    (train, sources), (validation, others) = drawn(60, seed=1), drawn(20, seed=2)
    folds = by_source(sources, others, SOURCES)
    kernel = np.stack([-DIRECTION, DIRECTION], axis=1) * 0.01 + np.eye(CHANNELS, LABELS, dtype=np.float32) * 0.05
    kernels = np.repeat(kernel[None], len(SOURCES) + 1, axis=0).astype(np.float32)
    heads = Heads(kernels, np.zeros((len(kernels), LABELS), np.float32), (), 0.6, 0.6, 5)
    return heads, train, validation, folds


def test_it_gains_at_sources_it_has_not_seen(case: tuple[Heads, Examples, Examples, Folds]) -> None:
    heads, train, validation, folds = case
    finished = finish_head(heads, train, validation, folds, decay=1e-2)
    assert finished is not None
    assert finished.loss < finished.loss_before
    fresh, _ = drawn(200, seed=9)
    features = fresh.views.gather(np.zeros(600, np.int64), np.arange(600))
    before = features @ heads.kernels[0] + heads.biases[0]
    after = finished.head.logits(features)
    assert (after.argmax(1) == fresh.truth).mean() > (before.argmax(1) == fresh.truth).mean()
    honest = cross_entropy(after / np.float32(finished.temperature), fresh.truth).mean()
    assert honest < cross_entropy(before, fresh.truth).mean()


def test_the_validation_pictures_are_learned_from(case: tuple[Heads, Examples, Examples, Folds]) -> None:
    heads, train, validation, folds = case
    plain = finish_head(heads, train, validation, folds, decay=1e-2)
    flipped = finish_head(heads, train, replace(validation, truth=1 - validation.truth), folds, decay=1e-2)
    assert plain is not None
    assert flipped is None or not np.allclose(plain.head.kernel, flipped.head.kernel, atol=1e-3)


def test_a_source_is_judged_by_a_head_that_saw_none_of_it(case: tuple[Heads, Examples, Examples, Folds]) -> None:
    """Nonsense labels in one source: a head that had seen them would know them, one that had not is at its worst."""
    heads, train, validation, folds = case
    rng = np.random.default_rng(0)
    west_train, west_validation = folds.judges[2].train_rows, folds.judges[2].validation_rows
    on_train, on_validation = train.truth.copy(), validation.truth.copy()
    on_train[west_train] = rng.integers(0, 2, len(west_train))
    on_validation[west_validation] = rng.integers(0, 2, len(west_validation))
    only_west = replace(folds, judges=(folds.judges[2], replace(folds.judges[2], name="again")))
    finished = finish_head(
        heads, replace(train, truth=on_train), replace(validation, truth=on_validation), only_west, decay=1e-2
    )
    assert finished is None or finished.loss > 0.65


def test_a_head_that_gets_worse_there_is_not_taken(case: tuple[Heads, Examples, Examples, Folds]) -> None:
    heads, train, validation, folds = case
    good = finish_head(heads, train, validation, folds, decay=1e-2)
    assert good is not None
    best = replace(
        heads, kernels=np.repeat(good.head.kernel[None], 4, axis=0), biases=np.repeat(good.head.bias[None], 4, 0)
    )
    upside_down = replace(train, truth=1 - train.truth)
    judged = replace(folds, judges=tuple(replace(judge, train_rows=judge.train_rows[:0]) for judge in folds.judges))
    assert finish_head(best, upside_down, validation, judged, decay=1e-2) is None


def test_without_held_out_sources_nothing_happens(case: tuple[Heads, Examples, Examples, Folds]) -> None:
    heads, train, validation, _ = case
    assert finish_head(heads, train, validation, by_validation(180, 60), decay=1e-2) is None
