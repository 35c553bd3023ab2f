"""The head fitted to its end: on more pictures, judged by sources it did not learn from, and honest there."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest

from train.cache import Budget, Examples, StoredViews
from train.finish import COPIES, Finished, finish_head
from train.folds import Folds, Verdict, by_source, by_validation, tempered
from train.head import Heads
from train.loss import cross_entropy

CHANNELS, LABELS, VIEWS = 16, 2, 2
SOURCES = ("north", "south", "west")
DIRECTION = np.random.default_rng(3).normal(size=CHANNELS).astype(np.float32)
PICTURES = 240
ENOUGH_BYTES = COPIES * PICTURES * VIEWS * CHANNELS * 4


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


def plain(examples: Examples) -> np.ndarray:
    rows = np.arange(examples.views.pictures)
    return examples.views.gather(np.zeros_like(rows), rows)


@dataclass(frozen=True)
class Case:
    """Heads that phase one left, `kernel` the same in each fold, and what they learned from."""

    kernel: np.ndarray
    bias: np.ndarray
    train: Examples
    validation: Examples
    folds: Folds

    def heads(self) -> Heads:
        judged = []
        for judge in self.folds.judges:
            features = np.concatenate(
                [plain(self.train)[judge.train_rows], plain(self.validation)[judge.validation_rows]]
            )
            truth = np.concatenate([self.train.truth[judge.train_rows], self.validation.truth[judge.validation_rows]])
            judged.append(Verdict(features @ self.kernel + self.bias, truth))
        folds = len(SOURCES) + 1
        return Heads(
            np.repeat(self.kernel[None], folds, 0), np.repeat(self.bias[None], folds, 0), tuple(judged), 0.6, 5
        )

    def finished(self, *, decay: float = 1e-2, budget_bytes: int = ENOUGH_BYTES) -> Finished | None:
        budget = Budget(budget_bytes)
        return finish_head(self.heads(), self.train, self.validation, self.folds, decay=decay, budget=budget)


@pytest.fixture
def case() -> Case:
    """The heads point the right way, but were stopped far too early."""
    (train, sources), (validation, others) = drawn(60, seed=1), drawn(20, seed=2)
    kernel = np.stack([-DIRECTION, DIRECTION], axis=1) * 0.01 + np.eye(CHANNELS, LABELS, dtype=np.float32) * 0.05
    bias = np.zeros(LABELS, np.float32)
    return Case(kernel.astype(np.float32), bias, train, validation, by_source(sources, others, SOURCES))


def test_it_gains_at_sources_it_has_not_seen(case: Case) -> None:
    finished = case.finished()
    assert finished is not None
    honest = tempered(finished.judged)
    assert honest.loss < tempered(case.heads().judged).loss
    fresh, _ = drawn(200, seed=9)
    before, after = plain(fresh) @ case.kernel + case.bias, finished.head.logits(plain(fresh))
    assert (after.argmax(1) == fresh.truth).mean() > (before.argmax(1) == fresh.truth).mean()
    there = cross_entropy(after / np.float32(honest.temperature), fresh.truth).mean()
    assert there < cross_entropy(before, fresh.truth).mean()


def test_the_validation_pictures_are_learned_from(case: Case) -> None:
    finished = case.finished()
    some = np.arange(60) % 10 == 0
    otherwise = replace(case.validation, truth=np.where(some, 1 - case.validation.truth, case.validation.truth))
    misled = replace(case, validation=otherwise).finished()
    assert finished is not None
    assert misled is not None
    assert np.abs(finished.head.kernel - misled.head.kernel).max() > 0.01


def test_a_source_is_judged_by_heads_that_saw_none_of_it(case: Case) -> None:
    """What its pictures are called changes every other source's heads, and not its own."""
    west = case.folds.judges[2]
    on_train, on_validation = case.train.truth.copy(), case.validation.truth.copy()
    for truth, rows in ((on_train, west.train_rows), (on_validation, west.validation_rows)):
        truth[rows[::5]] = 1 - truth[rows[::5]]
    renamed = replace(
        case, train=replace(case.train, truth=on_train), validation=replace(case.validation, truth=on_validation)
    )
    first, second = case.finished(), renamed.finished()
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.judged[2].logits, second.judged[2].logits)
    for place in (0, 1):
        assert np.abs(first.judged[place].logits - second.judged[place].logits).max() > 0.1


def test_a_head_that_gets_worse_there_is_not_taken(case: Case) -> None:
    good = case.finished()
    assert good is not None
    judges = tuple(replace(judge, train_rows=judge.train_rows[:0]) for judge in case.folds.judges)
    upside_down = replace(case.train, truth=1 - case.train.truth)
    best = replace(case, kernel=good.head.kernel, bias=good.head.bias)
    assert replace(best, train=upside_down, folds=replace(case.folds, judges=judges)).finished() is None


def test_without_held_out_sources_nothing_happens(case: Case) -> None:
    assert replace(case, folds=by_validation(180, 60)).finished() is None


def test_the_penalty_is_the_one_that_was_asked_for(case: Case) -> None:
    loose, tight = case.finished(decay=1e-3), case.finished(decay=1e-1)
    assert loose is not None
    assert tight is not None
    assert np.linalg.norm(tight.head.kernel) < 0.7 * np.linalg.norm(loose.head.kernel)


def test_with_less_memory_fewer_views_are_learned_from_and_with_too_little_none(case: Case) -> None:
    whole, fewer = case.finished(), case.finished(budget_bytes=ENOUGH_BYTES - 1)
    plain_alone = replace(
        case,
        train=replace(case.train, views=StoredViews(case.train.views.array[:, :1])),
        validation=replace(case.validation, views=StoredViews(case.validation.views.array[:, :1])),
    ).finished()
    assert whole is not None
    assert fewer is not None
    assert plain_alone is not None
    np.testing.assert_array_equal(fewer.head.kernel, plain_alone.head.kernel)
    assert np.abs(whole.head.kernel - fewer.head.kernel).max() > 0.01
    assert case.finished(budget_bytes=ENOUGH_BYTES // VIEWS - 1) is None


def test_fitting_holds_no_more_copies_of_the_features_than_it_reckons_with(case: Case) -> None:
    """Channels that say nothing, as many as a backbone has, so that only features weigh."""
    rng = np.random.default_rng(5)

    def wide(examples: Examples) -> Examples:
        more = rng.normal(size=(*examples.views.array.shape[:2], 1024 - CHANNELS)).astype(np.float32)
        return replace(examples, views=StoredViews(np.concatenate([examples.views.array, more], axis=2)))

    kernel = np.pad(case.kernel, ((0, 1024 - CHANNELS), (0, 0)))
    large = replace(case, kernel=kernel, train=wide(case.train), validation=wide(case.validation))
    size_bytes = PICTURES * VIEWS * 1024 * 4
    tracemalloc.start()
    finished = large.finished(decay=0.1, budget_bytes=COPIES * size_bytes)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert finished is not None
    assert 2 * size_bytes < peak_bytes < COPIES * size_bytes
