"""A linear head at its optimum, in whatever frame it is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.clouds import CHANNELS, DECAY, drawn, fitted_to, right
from train.loss import cross_entropy
from train.refit import Frame, Head, Part, Shown, refit


@pytest.fixture(scope="module")
def old() -> Shown:
    return drawn(150, seed=1)


@pytest.fixture(scope="module")
def head(old: Shown) -> Head:
    return fitted_to(old)


def test_the_gradient_is_that_of_the_loss(head: Head, old: Shown) -> None:
    """At the minimum no small step in any direction loses less, measured on the loss as it is written down."""
    few = drawn(10, seed=4, shift=0.6)
    weight = 0.5
    spread = float(old.features.std(axis=(0, 1)).mean())
    centre = old.features.mean(axis=(0, 1))

    def loss(one: Head) -> float:
        total = DECAY * float(((one.kernel.astype(np.float64) * spread) ** 2).sum())
        for part, share in ((old, 1 - weight), (few, weight)):
            views = part.features.shape[1]
            features, truth = part.features.reshape(-1, CHANNELS), np.repeat(part.truth, views)
            total += share * float(cross_entropy(one.logits(features), truth).mean())
        return total

    best = refit(head, old, few, weight, decay=DECAY)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = 0.05 * rng.normal(size=best.kernel.shape).astype(np.float32) / spread
        moved = Head(best.kernel + step, best.bias - centre @ step)
        assert loss(moved) > loss(best)


def test_a_label_without_new_pictures_keeps_what_it_knew(head: Head, old: Shown) -> None:
    few = drawn(20, seed=8, shift=0.6, labels=(0, 1))
    adapted = refit(head, old, few, 0.75, decay=DECAY)
    third = drawn(400, seed=9, labels=(2,))
    assert right(adapted, third) > right(head, third) - 0.05


def test_a_head_is_the_same_in_any_frame(head: Head, old: Shown) -> None:
    frame = Frame.of(old.features).along(head, [old.features], 6)
    assert frame.directions is not None
    assert frame.directions.shape == (CHANNELS, 6 + 3)
    np.testing.assert_allclose(frame.directions.T @ frame.directions, np.eye(9), atol=1e-5)
    back = frame.head(frame.weights(head))
    np.testing.assert_allclose(back.logits(old.features[:, 0]), head.logits(old.features[:, 0]), atol=1e-4)
    inside = frame.rows(old.features[:, 0]) @ frame.weights(head).astype(np.float32)
    np.testing.assert_allclose(inside, head.logits(old.features[:, 0]), atol=1e-4)


def test_labels_count_by_their_shares_and_not_by_how_many_were_picked() -> None:
    rows = np.ones((4, 2, 3), np.float32)
    part = Part.of(rows, np.array([0, 2, 2, 2]), np.array([0.6, 0.1, 0.3]))
    assert part.importance.sum() == pytest.approx(1)
    assert part.importance[:2].sum() == pytest.approx(0.6 / 0.9)  # of the labels that are there
    assert Part.of(rows, np.array([0, 2, 2, 2])).importance == pytest.approx(np.full(8, 1 / 8))
