"""A head that moves to a new line: as far as the evidence goes, and not where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from train.loss import cross_entropy
from train.refit import WEIGHTS, Head, Shown, assign_folds, choose, cross_validate, mean_and_error, refit

CHANNELS, LABELS = 24, 3
DECAY = 1e-2
DIRECTIONS = np.random.default_rng(7).normal(size=(LABELS, CHANNELS)).astype(np.float32)


def drawn(per_label: int, seed: int, shift: float = 0.0, labels: tuple[int, ...] = (0, 1, 2), views: int = 2) -> Shown:
    """Clouds around one direction a label; at another place all lie `shift` towards the last label."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(labels, per_label)
    middle = 0.35 * DIRECTIONS[truth] + shift * DIRECTIONS[2]
    noise = rng.normal(size=(len(truth), views, CHANNELS))
    return Shown((middle[:, None] + noise).astype(np.float32), truth.astype(np.int64))


@pytest.fixture(scope="module")
def old() -> Shown:
    return drawn(150, seed=1)


@pytest.fixture(scope="module")
def head(old: Shown) -> Head:
    nothing = Head(np.zeros((CHANNELS, LABELS), np.float32), np.zeros(LABELS, np.float32))
    return refit(nothing, old, old, 0.5, decay=DECAY)


def right(head: Head, shown: Shown) -> float:
    return float((head.logits(shown.features[:, 0]).argmax(axis=1) == shown.truth).mean())


def names(shown: Shown) -> list[str]:
    return [str(i) for i in range(len(shown.truth))]


def test_a_handful_from_a_place_that_differs_helps_there_and_costs_little_at_home(head: Head, old: Shown) -> None:
    there, here = drawn(400, seed=2, shift=0.6), drawn(400, seed=3)
    few = drawn(10, seed=4, shift=0.6, views=4)
    tried = cross_validate(head, old, few, names(few), seed=0, decay=DECAY)
    chosen = choose(tried, names(few))
    adapted = refit(head, old, few, chosen.weight, decay=DECAY)
    assert chosen.weight > 0
    assert right(head, there) < 0.7
    assert right(adapted, there) > right(head, there) + 0.1
    assert right(adapted, here) > right(head, here) - 0.1


def test_cross_validation_tells_what_to_expect(head: Head, old: Shown) -> None:
    there = drawn(400, seed=2, shift=0.6)
    expected, found = [], []
    for seed in range(10, 16):
        few = drawn(10, seed=seed, shift=0.6)
        tried = cross_validate(head, old, few, names(few), seed=0, decay=DECAY)
        chosen = choose(tried, names(few))
        expected.append((chosen.logits.argmax(axis=1) == few.truth).mean())
        found.append(right(refit(head, old, few, chosen.weight, decay=DECAY), there))
    assert np.mean(expected) == pytest.approx(np.mean(found), abs=0.06)


def test_where_nothing_differs_the_head_hardly_loses(head: Head, old: Shown) -> None:
    here = drawn(400, seed=3)
    for seed in range(4):
        few = drawn(5, seed=20 + seed)
        chosen = choose(cross_validate(head, old, few, names(few), seed=0, decay=DECAY), names(few))
        assert right(refit(head, old, few, chosen.weight, decay=DECAY), here) > right(head, here) - 0.02


def test_pictures_with_labels_drawn_by_lot_leave_the_head_alone(head: Head, old: Shown) -> None:
    few = drawn(30, seed=5)
    nonsense = Shown(few.features, np.random.default_rng(0).permutation(few.truth))
    chosen = choose(cross_validate(head, old, nonsense, names(few), seed=0, decay=DECAY), names(few))
    here = drawn(400, seed=3)
    assert right(refit(head, old, nonsense, chosen.weight, decay=DECAY), here) > right(head, here) - 0.03


def test_weight_0_is_the_old_head_itself(head: Head, old: Shown) -> None:
    assert refit(head, old, drawn(5, seed=6), 0.0, decay=DECAY) is head
    few = drawn(5, seed=6)
    unchanged = cross_validate(head, old, few, names(few), seed=0, decay=DECAY)[0]
    assert (unchanged.weight, unchanged.better_by) == (0.0, 0.0)
    np.testing.assert_array_equal(unchanged.logits, head.logits(few.features[:, 0]))


def test_a_label_without_new_pictures_keeps_what_it_knew(head: Head, old: Shown) -> None:
    few = drawn(20, seed=8, shift=0.6, labels=(0, 1))
    adapted = refit(head, old, few, 0.75, decay=DECAY)
    third = drawn(400, seed=9, labels=(2,))
    assert right(adapted, third) > right(head, third) - 0.05


def test_the_gradient_is_that_of_the_loss(head: Head, old: Shown) -> None:
    """At the minimum no small step in any direction loses less, measured on the loss as it is written down."""
    few = drawn(10, seed=4, shift=0.6)
    weight = 0.5
    spread = float(old.features.std(axis=(0, 1)).mean())
    centre = old.features.mean(axis=(0, 1))

    def loss(one: Head) -> float:
        total = 1e-2 * float(((one.kernel.astype(np.float64) * spread) ** 2).sum())
        for part, share in ((old, 1 - weight), (few, weight)):
            features, truth = part.flat()
            total += share * float(cross_entropy(one.logits(features), truth).mean())
        return total

    best = refit(head, old, few, weight, decay=DECAY)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = 0.05 * rng.normal(size=best.kernel.shape).astype(np.float32) / spread
        moved = Head(best.kernel + step, best.bias - centre @ step)
        assert loss(moved) > loss(best)


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
    groups = [str(i // 2) for i in range(len(twice.truth))]
    together = cross_validate(head, old, twice, groups, seed=0, decay=DECAY)[-1]
    apart = cross_validate(head, old, twice, names(twice), seed=0, decay=DECAY)[-1]
    assert together.losses.mean() > apart.losses.mean() + 0.3


def test_errors_count_groups_not_pictures() -> None:
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 10)
    mean, error = mean_and_error(values, [str(i // 10) for i in range(40)])
    assert mean == 0.5
    assert error == pytest.approx(np.sqrt(1 / 3) / 2)
    assert mean_and_error(values, ["one"] * 40)[1] == np.inf


def test_the_smallest_weight_that_is_as_good_as_the_best_is_taken(head: Head, old: Shown) -> None:
    few = drawn(10, seed=4, shift=0.6)
    tried = cross_validate(head, old, few, names(few), seed=0, decay=DECAY)
    chosen = choose(tried, names(few))
    best = min(tried, key=lambda one: one.losses.mean())
    assert 0 < chosen.weight <= best.weight
    assert chosen.better_by > 0
    assert [one.weight for one in tried] == list(WEIGHTS)
