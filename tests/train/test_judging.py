"""The thinking behind the recipe's decisions, without a network."""

from __future__ import annotations

import numpy as np
import pytest

from train.folds import Verdict, by_source, deal_sources, obstacles, tempered
from train.gain import in_words, paired_gain
from train.loss import cross_entropy
from train.plateau import Plateau


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
    found = obstacles([source for source, _ in rows], truth)
    assert [source for source, obstacle in found.items() if obstacle is None] == ["a", "b", "c"]
    assert found["d"] == "29 pictures in train and validation, 30 are needed"
    assert [found["e"], found["f"]] == ["only one label", "a label that no other source has"]


def test_few_sources_are_held_out_alone_and_many_in_lots_of_about_one_size() -> None:
    truth = np.arange(40) % 2
    names = [f"day {i:02}" for i in range(60)]
    few = [one for one in names[:8] for _ in truth]
    assert deal_sources(few, np.tile(truth, 8), names[:8]) == tuple((one,) for one in names[:8])
    sizes = {name: 40 + 7 * (i % 11) for i, name in enumerate(names)}
    many = [name for name in names for _ in range(sizes[name])]
    labels = np.arange(len(many)) % 2
    lots = deal_sources(many, labels, names)
    assert deal_sources(many, labels, names) == lots
    assert sorted(name for lot in lots for name in lot) == names
    assert len(lots) == 8
    pictures = [sum(sizes[name] for name in lot) for lot in lots]
    assert max(pictures) - min(pictures) <= 40
    folds = by_source(many, many[:50], lots)
    assert folds.learns.shape == (9, len(many))
    assert folds.sources[0] == ", ".join(lots[0])
    learned = [{many[row] for row in np.flatnonzero(learns)} for learns in folds.learns[1:]]
    assert learned == [set(names) - set(lot) for lot in lots]
    assert [len(judge.train_rows) for judge in folds.judges] == pictures


def test_what_is_held_out_together_leaves_every_label_to_learn_from() -> None:
    """Only the two smallest of nine sources have the third label; by size alone they would share a lot."""
    sources = [f"{i}" for i in range(7) for _ in range(100)] + ["7"] * 40 + ["8"] * 30
    truth = np.concatenate([np.arange(700) % 2, np.arange(40) % 3, np.arange(30) % 3])
    lots = deal_sources(sources, truth, [f"{i}" for i in range(9)])
    assert sorted(name for lot in lots for name in lot) == [f"{i}" for i in range(9)]
    assert not any({"7", "8"} <= set(lot) for lot in lots)


def test_every_fold_is_blind_to_its_source_and_judged_by_all_of_it() -> None:
    train, validation = ["a", "b", None, "b", "c"], ["b", "a", "b"]
    folds = by_source(train, validation, (("a",), ("b",)))
    assert folds.learns.tolist() == [[True] * 5, [False, True, True, True, True], [True, False, True, False, True]]
    assert [(j.name, j.fold, j.train_rows.tolist(), j.validation_rows.tolist()) for j in folds.judges] == [
        ("a", 1, [0], [1]),
        ("b", 2, [1, 3], [0, 2]),
    ]


def said(*losses: float) -> Verdict:
    """Pictures of the first of two labels, answered so that their cross-entropies are these."""
    margins = np.log(np.expm1(losses))
    return Verdict(np.stack([np.zeros(len(losses)), margins], axis=1).astype(np.float32), np.zeros(len(losses), int))


def test_gain_is_paired_over_sources_or_over_the_pictures_of_one_judge() -> None:
    gain = paired_gain([said(1.0, 2.0, 3.0)], [said(1.5, 2.5, 3.5)])
    assert (gain.mean, gain.noise, gain.units) == (pytest.approx(0.5), pytest.approx(0, abs=1e-6), 3)
    before, after = [said(1.0), said(2.0, 2.0), said(3.0)], [said(0.9), said(1.7, 1.7), said(2.5)]
    gain = paired_gain(after, before)
    assert (gain.mean, gain.noise, gain.units) == (pytest.approx(0.3), pytest.approx(0.2 / np.sqrt(3)), 3)
    alone = paired_gain([said(1.0)], [said(2.0)])
    assert (alone.mean, alone.noise, alone.needed(1)) == (pytest.approx(1.0), float("inf"), float("inf"))
    assert [in_words(0.0123), in_words(-0.0070)] == ["better by 0.0123", "worse by 0.0070"]


def test_pictures_of_one_group_are_one_piece_of_news() -> None:
    gains = [0.5, 0.1, 0.3, -0.1]
    groups = [f"fruit {i // 10}" for i in range(40)]
    before = [said(*[2.0] * 40)]
    gain = paired_gain([said(*[2.0 - gains[i // 10] for i in range(40)])], before, groups)
    assert (gain.mean, gain.units) == (pytest.approx(0.2), 4)
    assert gain.noise == pytest.approx(np.std(gains, ddof=1) / 2)
    assert gain.needed(1) == pytest.approx(gain.noise * 2.3534, rel=1e-4)  # Student's t with three degrees of freedom
    judges = paired_gain([said(1.0)] * 3, [said(1.5)] * 3, None)
    assert (judges.mean, judges.units) == (pytest.approx(0.5), 3)


@pytest.mark.parametrize("sources", [3, 4, 8])
def test_a_search_among_things_that_change_nothing_seldom_takes_one(sources: int) -> None:
    """Three candidates whose gains at few sources are pure noise: the best must win in one search in twenty at most."""
    rng = np.random.default_rng(sources)
    before = [said(1.0)] * sources
    taken = 0
    for _ in range(1000):
        gains = [paired_gain([said(loss) for loss in rng.normal(1.0, 0.05, sources)], before) for _ in range(3)]
        taken += any(gain.mean > gain.needed(3) for gain in gains)
    assert 10 < taken < 75  # two standard errors each would take one in up to four


def test_being_too_sure_of_everything_is_no_demerit_once_the_temperature_is_right() -> None:
    plain = [said(0.3, 0.2, 1.5), said(0.4, 1.2)]
    sure = [Verdict(one.logits * 2, one.truth) for one in plain]
    assert tempered(sure).loss == pytest.approx(tempered(plain).loss, abs=1e-4)
    assert tempered(sure).temperature == pytest.approx(2 * tempered(plain).temperature, rel=1e-3)
    assert tempered(plain).losses.shape == (2,)


def test_cross_entropy_is_that_of_the_softmax_and_survives_huge_logits() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [1000.0, 0.0, 0.0]], np.float32)
    expected = -np.log(np.exp(2) / np.exp([2.0, 0.0, -1.0]).sum())
    assert cross_entropy(logits, np.array([0, 1])).tolist() == pytest.approx([expected, 1000.0])
    assert cross_entropy(logits[:, None], np.array([0, 1])).shape == (2, 1)
