"""A head that moves to a new line: as far as the evidence goes, and not where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.train.clouds import DECAY, drawn, fitted_to, names, right
from train.gain import mean_and_error
from train.new_line import WEIGHTS, Fitted, assign_folds, fit_to_line
from train.refit import Head, Shown


@pytest.fixture(scope="module")
def old() -> Shown:
    return drawn(150, seed=1)


@pytest.fixture(scope="module")
def head(old: Shown) -> Head:
    return fitted_to(old)


def fitted(head: Head, old: Shown, new: Shown, groups: Sequence[str] | None = None) -> Fitted:
    return fit_to_line(head, old, new, groups or names(new), seed=0, decay=DECAY)


def test_a_handful_from_a_place_that_differs_helps_there_and_costs_little_at_home(head: Head, old: Shown) -> None:
    there, here = drawn(400, seed=2, shift=0.6), drawn(400, seed=3)
    found = fitted(head, old, drawn(10, seed=4, shift=0.6, views=4))
    assert found.weight > 0
    assert right(head, there) < 0.7
    assert right(found.head, there) > right(head, there) + 0.1
    assert right(found.head, here) > right(head, here) - 0.1


def test_a_clear_shift_gets_a_higher_weight_than_none(head: Head, old: Shown) -> None:
    far = fitted(head, old, drawn(20, seed=4, shift=1.2)).weight
    near = fitted(head, old, drawn(20, seed=4)).weight
    assert far > near + 0.1


def test_cross_validation_tells_what_to_expect(head: Head, old: Shown) -> None:
    there = drawn(400, seed=2, shift=0.6)
    promised, found = [], []
    for seed in range(10, 16):
        few = drawn(10, seed=seed, shift=0.6)
        made = fitted(head, old, few)
        promised.append((made.expected.logits.argmax(axis=1) == few.truth).mean())
        found.append(right(made.head, there))
    assert np.mean(promised) == pytest.approx(np.mean(found), abs=0.05)


def test_what_is_promised_of_a_picture_does_not_depend_on_its_own_label(
    head: Head, old: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the heads that answer it nor their shares in the average have seen it."""
    few = drawn(6, seed=41, shift=0.6)
    fold = np.arange(len(few.truth)) % 5
    monkeypatch.setattr("train.new_line.assign_folds", lambda *_: fold)  # labels decide about folds, too
    other = Shown(few.features, np.where(fold == 2, (few.truth + 1) % 3, few.truth))
    promised, with_others = (fitted(head, old, one).expected.logits for one in (few, other))
    np.testing.assert_array_equal(promised[fold == 2], with_others[fold == 2])
    assert not np.array_equal(promised[fold != 2], with_others[fold != 2])


def test_where_nothing_differs_the_head_hardly_loses(head: Head, old: Shown) -> None:
    here = drawn(400, seed=3)
    losses = [right(head, here) - right(fitted(head, old, drawn(5, seed=20 + seed)).head, here) for seed in range(6)]
    assert max(losses) < 0.02


def test_labels_drawn_by_lot_do_little_harm(head: Head, old: Shown) -> None:
    few, here = drawn(30, seed=5), drawn(400, seed=3)
    found = fitted(head, old, Shown(few.features, np.random.default_rng(0).permutation(few.truth)))
    assert right(found.head, here) > right(head, here) - 0.03


def test_labels_that_contradict_the_old_ones_are_believed_where_they_are_many(head: Head, old: Shown) -> None:
    """Another grader, who takes the second label for the third and the third for the second."""
    few, there = drawn(30, seed=5), drawn(400, seed=3)
    here = [Shown(one.features, np.array([0, 2, 1])[one.truth]) for one in (few, there)]
    found = fitted(head, old, here[0])
    assert right(found.head, here[1]) > right(head, here[1]) + 0.2


def test_one_label_alone_leaves_the_head_as_it_is(head: Head, old: Shown) -> None:
    found = fitted(head, old, drawn(20, seed=5, shift=0.6, labels=(1,)))
    assert found.head is head
    assert found.expected.better_by == 0


def test_a_single_picture_of_each_label_is_no_error(head: Head, old: Shown) -> None:
    found = fitted(head, old, drawn(1, seed=5, shift=0.6))
    assert np.isfinite(found.expected.losses).all()


def test_every_weight_is_told_of_and_the_old_head_comes_first(head: Head, old: Shown) -> None:
    few = drawn(6, seed=6)
    found = fitted(head, old, few)
    assert [one.weight for one in found.tried] == list(WEIGHTS)
    assert sum(one.share for one in found.tried) == pytest.approx(1)
    assert found.tried[0].answered.better_by == 0
    np.testing.assert_allclose(found.tried[0].answered.logits, head.logits(few.features[:, 0]), atol=1e-4)


def test_a_head_from_other_old_pictures_knows_nothing_of_those_left_out(head: Head, old: Shown) -> None:
    """Half of the old pictures carry one label more often than not; a head that has not seen them cannot know."""
    few = drawn(10, seed=4, shift=0.6)
    half = np.arange(len(old.truth)) % 2 == 0
    found = fitted(head, old, few)
    swapped = Shown(old.features, np.where(half, old.truth, (old.truth + 1) % 3))
    again = fitted(head, swapped, few).on_other_old_pictures(swapped.of(half), few, decay=DECAY)
    assert right(again, drawn(400, seed=2, shift=0.6)) > right(found.head, drawn(400, seed=2, shift=0.6)) - 0.1


def test_pictures_of_one_group_are_judged_together() -> None:
    truth = np.repeat([0, 1], 12).astype(np.int64)
    groups = [f"g{i // 3}" for i in range(24)]
    fold = assign_folds(truth, groups, seed=0)
    for group in set(groups):
        assert len({int(f) for f, g in zip(fold, groups, strict=True) if g == group}) == 1
    assert len(np.unique(fold)) == 5


def test_a_head_never_judges_a_group_that_it_saw(head: Head, old: Shown) -> None:
    """Every picture twice under one group: a head that saw the twin would know the answer."""
    few = drawn(6, seed=30, shift=0.6)
    nonsense = np.random.default_rng(1).permutation(few.truth)
    twice = Shown(np.repeat(few.features, 2, axis=0), np.repeat(nonsense, 2))
    together = fitted(head, old, twice, [str(i // 2) for i in range(len(twice.truth))])
    apart = fitted(head, old, twice)
    assert together.tried[-1].answered.losses.mean() > apart.tried[-1].answered.losses.mean() + 0.3
    assert together.expected.losses.mean() > apart.expected.losses.mean() + 0.3


def test_errors_count_groups_not_pictures() -> None:
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 10)
    mean, error = mean_and_error(values, [str(i // 10) for i in range(40)])
    assert mean == 0.5
    assert error == pytest.approx(np.sqrt(1 / 3) / 2)
    assert mean_and_error(values, ["one"] * 40)[1] == np.inf
