"""The model as converters want it: logits out and, for integers, the backbone's scaling taken out of the graph."""

from __future__ import annotations

from typing import Any

SCALE = 1 / 127.5
OFFSET = -1.0
"""MobileNetV2's own scaling of pixels, x / 127.5 - 1."""


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
