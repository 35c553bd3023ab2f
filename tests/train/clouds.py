"""Features as if of pictures: one cloud a label, which lies elsewhere at another place."""

from __future__ import annotations

import numpy as np

from train.refit import Head, Shown, refit

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


def fitted_to(shown: Shown) -> Head:
    """The head that suits these pictures best."""
    nothing = Head(np.zeros((CHANNELS, LABELS), np.float32), np.zeros(LABELS, np.float32))
    return refit(nothing, shown, shown, 0, decay=DECAY)


def right(head: Head, shown: Shown) -> float:
    """Accuracy on the pictures as they are."""
    return float((head.logits(shown.features[:, 0]).argmax(axis=1) == shown.truth).mean())


def names(shown: Shown) -> list[str]:
    """Every picture a group of its own."""
    return [str(i) for i in range(len(shown.truth))]
