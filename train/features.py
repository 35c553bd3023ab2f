"""What the frozen part of the network makes of pictures: activations where it may be cut, and pooled features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import numpy.typing as npt

from train.augment import augmented_view
from train.engine import BATCH, Engine, Outputs, engine_for
from train.model import scaling
from train.pictures import Pictures


class FrozenPart:
    """A backbone that does not change, run once over each view of each picture.

    Attributes:
        shapes: Of one picture's outputs: the activations at each cut, then the pooled features.
    """

    def __init__(self, backbone: keras.Model, cuts: Sequence[int], pictures: int) -> None:
        """Prepare for about that many pictures.

        Args:
            backbone: `[N, size, size, 3]` scaled pixels to `[N, h, w, channels]`; as it is now.
            cuts: Places from `train.boundary.single_tensor_cut`; outputs come in this order.
            pictures: How many will be seen, which decides what engine pays.
        """
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
        inner = keras.Model(backbone.input, [*(backbone.layers[cut - 1].output for cut in cuts), pooled])
        image = keras.Input(backbone.input_shape[1:], dtype="uint8")
        outputs = inner(scaling()(image), training=False)
        self.shapes = tuple(tuple(output.shape[1:]) for output in outputs)
        self._engine: Engine = engine_for(keras.Model(image, outputs), pictures)

    def __call__(self, batch: npt.NDArray[np.uint8]) -> Outputs:
        """Outputs for up to `BATCH` pictures, uint8 RGB; safe to call from many threads."""
        return self._engine(batch)


def pooled_features(
    backbone: keras.Model, pictures: Pictures, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> npt.NDArray[np.float32]:
    """Global average of the backbone's last activations, `[N, channels]` float32, in the order of the pictures.

    `on_progress` is told (done, N) in the calling thread.
    """
    frozen = FrozenPart(backbone, (), len(pictures))
    features = np.empty((len(pictures), *frozen.shapes[-1]), np.float32)

    def work(rows: Sequence[int]) -> None:
        features[rows[0] : rows[-1] + 1] = frozen(pictures.read(rows))[-1]

    n = len(pictures)
    in_threads(work, batches(range(n)), lambda pieces: on_progress(min(pieces * BATCH, n), n))
    return features


def view_of(plain: npt.NDArray[np.uint8], rows: Sequence[int], view: int, seed: int) -> npt.NDArray[np.uint8]:
    """One view of each of some pictures; view 0 is the picture itself.

    Args:
        plain: The pictures, `[n, size, size, 3]` uint8 RGB.
        rows: Their places in the data set, which decide together with `view` and `seed` what the view looks like,
            whichever pictures are asked for at once.
        view: From 0.
        seed: Of the run.
    """
    if view == 0:
        return plain
    return np.concatenate(
        [
            augmented_view(one[None], np.random.default_rng((seed, view, row)))
            for one, row in zip(plain, rows, strict=True)
        ]
    )


def batches(rows: Sequence[int]) -> list[Sequence[int]]:
    """Rows in pieces that the frozen part takes at once."""
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


def in_threads(
    work: Callable[[Sequence[int]], None],
    pieces: Iterable[Sequence[int]],
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Do the pieces on all cores; `done` hears from this thread, in order, how many pieces are finished."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(work, pieces), start=1):
            done(number)
