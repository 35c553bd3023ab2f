"""The classifier in the forms that converters take: logits out and, for integers, without the scaling of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from export.rounding import restore_weights, round_weights

SCALE = 1 / 127.5
OFFSET = -1.0
"""MobileNetV2's own scaling of pixels, x / 127.5 - 1."""

RANGE_PICTURES = {"black": -1.0, "white": 1.0}
"""Shown to quantisers before the samples: they pin the range of the input to that of x / 127.5 - 1."""


class Network:
    """A trained classifier and the pictures that quantisers may look at; each form is made once, when first needed.

    Attributes:
        logits: Keras model, uint8 `[N, size, size, 3]` to float32 logits `[N, labels]`.
        samples: Training pictures for quantisers, uint8 `[n, size, size, 3]`.
    """

    def __init__(self, logits: Any, samples: npt.NDArray[np.uint8]) -> None:
        self.logits = logits
        self.samples = samples

    @cached_property
    def scaled_samples(self) -> npt.NDArray[np.float32]:
        """What the network without its scaling is fed, float32 `[2 + n, size, size, 3]`.

        `RANGE_PICTURES` come first.
        """
        size = self.samples.shape[1:]
        ends = np.stack([np.full(size, level, np.float32) for level in RANGE_PICTURES.values()])
        return np.concatenate([ends, self.samples.astype(np.float32) * SCALE + OFFSET])

    @cached_property
    def unscaled(self) -> Any:
        """The network without its scaling of pixels."""
        return without_rescaling(self.logits)

    @cached_property
    def rounded(self) -> Any:
        """The network without its scaling, its weights rounded to what int8 per channel holds exactly."""
        return round_weights(self.unscaled, self.scaled_samples[len(RANGE_PICTURES) :])

    def rounded_but(self, float_layers: Sequence[str]) -> Any:
        """The same, with these convolutions as they were: they are not to become integers."""
        return restore_weights(self.rounded, self.unscaled, float_layers) if float_layers else self.rounded


def without_rescaling(logits_model: Any) -> Any:
    """The same network from already scaled pixels, float32 `[N, size, size, 3]` in -1..1, to logits.

    The integer converter then folds the scaling into the quantisation parameters of the input, and no CAST, MUL or
    ADD is left in the graph.

    Raises:
        ValueError: The model does not begin with MobileNetV2's rescaling of uint8 pixels.
    """
    import keras

    scaling = logits_model.layers[1]
    if not isinstance(scaling, keras.layers.Rescaling) or (scaling.scale, scaling.offset) != (SCALE, OFFSET):
        raise ValueError("the model's first layer is not Rescaling(1 / 127.5, offset=-1)")
    scaled = keras.Input(logits_model.input_shape[1:], dtype="float32", name="image")
    tensor = scaled
    for layer in logits_model.layers[2:]:
        tensor = layer(tensor, training=False)
    return keras.Model(scaled, tensor)
