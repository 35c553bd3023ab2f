"""Transfer learning as the usual Keras tutorial writes it: what `ripeline train` has to beat.

A dropout of 0.2 and a new head on frozen MobileNetV2, 20 epochs of Adam at 1e-3 on pictures that are mirrored at
random; then the last fifth of the backbone unfrozen, 10 epochs at 1e-5. The frozen layers run once over each picture
and its mirror image instead of once an epoch, which gives the same training in less time.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from train.backbone import build_backbone
from train.model import scaling

HEAD_EPOCHS, HEAD_RATE = 20, 1e-3
FINE_TUNE_EPOCHS, FINE_TUNE_RATE = 10, 1e-5
FINE_TUNE_AT = 125
"""First layer of block 14 of MobileNetV2; 29 of 154 layers follow."""
DROPOUT = 0.2
BATCH = 32

Array = npt.NDArray[np.float32]


class PlainPredictions(NamedTuple):
    """Probabilities for the test pictures, `[N, labels]`: after the first phase, and after both."""

    frozen_head: Array
    fine_tuned: Array


def train_plainly(
    weights: str,
    alpha: float,
    inputs: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.int64],
    test_inputs: npt.NDArray[np.uint8],
    seed: int,
) -> PlainPredictions:
    """Both phases on `inputs` `[N, size, size, 3]` uint8 RGB; answers for `test_inputs`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    backbone = build_backbone(inputs.shape[1], alpha, weights)
    border = backbone.layers[FINE_TUNE_AT - 1].output
    bottom = keras.Sequential([keras.Input(inputs.shape[1:]), scaling(), keras.Model(backbone.input, border)])
    top = keras.Model(border, keras.layers.GlobalAveragePooling2D()(backbone.output))
    head = keras.Sequential(
        [keras.layers.Dropout(DROPOUT), keras.layers.Dense(int(truth.max()) + 1, activation="softmax")]
    )

    activations = np.stack([bottom.predict(view, verbose=0) for view in (inputs, inputs[:, :, ::-1])])
    test_activations = bottom.predict(test_inputs, verbose=0)
    features = np.stack([top.predict(view, verbose=0) for view in activations])
    _fit(head, features, truth, HEAD_EPOCHS, HEAD_RATE, rng)
    frozen_head = head.predict(top.predict(test_activations, verbose=0), verbose=0)

    for layer in top.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    whole = keras.Sequential([top, head])
    _fit(whole, activations, truth, FINE_TUNE_EPOCHS, FINE_TUNE_RATE, rng)
    return PlainPredictions(frozen_head, whole.predict(test_activations, verbose=0))


def _fit(
    model: keras.Model,
    mirrored: Array,
    truth: npt.NDArray[np.int64],
    epochs: int,
    rate: float,
    rng: np.random.Generator,
) -> None:
    """`mirrored` `[2, N, ...]`: each epoch sees each picture one way round."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    rows = np.arange(len(truth))
    for _ in range(epochs):
        model.fit(mirrored[rng.integers(2, size=len(rows)), rows], truth, batch_size=BATCH, verbose=0)
