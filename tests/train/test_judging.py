"""The thinking behind the recipe's decisions, without a network."""

from __future__ import annotations

import numpy as np
import pytest

from train.folds import Verdict, by_source, held_out_sources
from train.loss import cross_entropy
from train.plateau import Plateau
from train.search import paired_gain


def test_a_plateau_ends_after_patience_without_enough_gain_and_keeps_the_best() -> None:
    plateau = Plateau(patience=3, min_delta=0.1)
    better = [plateau.see(epoch, loss) for epoch, loss in enumerate([1.0, 0.8, 0.75, 0.72, 0.71], start=1)]
    assert better == [True] * 5
    assert plateau.ended  # 0.8 was the last real progress, three epochs ago
    assert (plateau.best_epoch, plateau.best_loss) == (5, 0.71)


def test_slow_but_steady_progress_is_no_plateau() -> None:
    plateau = Plateau(patience=3, min_delta=0.1)
    for epoch, loss in enumerate([1.0, 0.95, 0.89, 0.85, 0.78, 0.75, 0.67], start=1):
        plateau.see(epoch, loss)
        assert not plateau.ended


def test_nothing_beats_a_start_that_was_better_and_nothing_beats_with_nan() -> None:
    plateau = Plateau(patience=2, min_delta=0.0, best_loss=0.5)
    assert not plateau.see(1, 0.6)
    assert not plateau.see(2, float("nan"))
    assert (plateau.best_epoch, plateau.ended) == (None, True)


def test_only_sources_that_can_be_judged_are_held_out() -> None:
    plenty = [("a", i % 2) for i in range(40)] + [("b", i % 2) for i in range(30)] + [("c", i % 2) for i in range(31)]
    small, uniform, alone = [("d", i % 2) for i in range(29)], [("e", 0)] * 50, [("f", 1 + i % 2) for i in range(40)]
    unknown: list[tuple[str | None, int]] = [(None, 0)] * 40
    rows = [*plenty, *small, *uniform, *alone, *unknown]
    truth = np.array([label for _, label in rows])
    assert held_out_sources([source for source, _ in rows], truth) == ("a", "b", "c")


def test_every_fold_is_blind_to_its_source_and_judged_by_all_of_it() -> None:
    train, validation = ["a", "b", None, "b", "c"], ["b", "a", "b"]
    folds = by_source(train, validation, ("a", "b"))
    assert folds.learns.tolist() == [[True] * 5, [False, True, True, True, True], [True, False, True, False, True]]
    assert [(j.name, j.fold, j.train_rows.tolist(), j.validation_rows.tolist()) for j in folds.judges] == [
        ("a", 1, [0], [1]),
        ("b", 2, [1, 3], [0, 2]),
    ]


def test_gain_is_paired_over_sources_or_over_the_pictures_of_one_judge() -> None:
    def said(*losses: float) -> Verdict:
        return Verdict(np.array(losses), np.ones(len(losses), bool))

    gain, noise = paired_gain([said(1.0, 2.0, 3.0)], [said(1.5, 2.5, 3.5)])
    assert (gain, noise) == (0.5, 0.0)
    before, after = [said(1.0), said(2.0, 2.0), said(3.0)], [said(0.9), said(1.7, 1.7), said(2.5)]
    gain, noise = paired_gain(after, before)
    assert gain == pytest.approx(0.3)
    assert noise == pytest.approx(0.2 / np.sqrt(3))
    assert paired_gain([said(1.0)], [said(2.0)]) == (1.0, float("inf"))


def test_cross_entropy_is_that_of_the_softmax_and_survives_huge_logits() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [1000.0, 0.0, 0.0]], np.float32)
    expected = -np.log(np.exp(2) / np.exp([2.0, 0.0, -1.0]).sum())
    assert cross_entropy(logits, np.array([0, 1])).tolist() == pytest.approx([expected, 1000.0])
    assert cross_entropy(logits[:, None], np.array([0, 1])).shape == (2, 1)
