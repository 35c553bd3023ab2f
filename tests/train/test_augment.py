from __future__ import annotations

import numpy as np

from train.augment import augmented_view


def test_views_differ_from_the_picture_and_each_other_and_follow_the_seed() -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    before = inputs.copy()
    first, second = (augmented_view(inputs, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(inputs, before)
    assert (first != inputs).any(axis=(1, 2, 3)).all()
    assert (augmented_view(inputs, np.random.default_rng(2)) != first).any()


def test_no_view_moves_a_colour() -> None:
    colour = np.array([180, 120, 60])
    inputs = np.broadcast_to(colour.astype(np.uint8), (40, 48, 48, 3)).copy()
    views = augmented_view(inputs, np.random.default_rng(0)).astype(np.float64)
    brightness = views.mean(axis=(1, 2, 3)) / colour.mean()
    assert brightness.min() > 0.88
    assert brightness.max() < 1.12
    assert brightness.std() > 0.02
    # Only brightness changes: the channels keep their proportions, borders included.
    np.testing.assert_allclose(
        views / views.sum(axis=-1, keepdims=True), np.broadcast_to(colour / 360, views.shape), atol=3e-3
    )
