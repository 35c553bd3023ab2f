"""The loss that everything in training is judged by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cross_entropy(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of each row of logits `[n, ..., labels]` at its label `truth` `[n]`; `[n, ...]`."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1)
    total = top + np.log(np.exp(wide - top[..., None]).sum(axis=-1))
    places = truth.reshape(-1, *[1] * (wide.ndim - 1))
    return np.asarray(total - np.take_along_axis(wide, places, axis=-1)[..., 0])
