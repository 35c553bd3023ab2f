"""The classifier: pixels in, probabilities out, scaling and softmax inside."""

from __future__ import annotations

import keras

IMAGE = "image"
PROBABILITIES = "probabilities"


def build_model(backbone: keras.Model, head: keras.layers.Dense, dropout: float) -> keras.Model:
    """The whole network: `[N, size, size, 3]` uint8 RGB to `[N, labels]` float32 probabilities.

    It shares its layers with `backbone` and `head`, so that training those trains it.
    """
    size_px = backbone.input_shape[1]
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name=IMAGE)
    features = backbone(scaling()(image), training=False)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    dropped = keras.layers.Dropout(dropout, name="dropout")(pooled)
    return keras.Model(image, head(dropped), name="ripeness")


def build_head(labels: int) -> keras.layers.Dense:
    """The one layer that is learned from nothing."""
    return keras.layers.Dense(labels, activation="softmax", name=PROBABILITIES)


def backbone_of(model: keras.Model) -> keras.Model:
    """The feature extractor inside a whole network: scaled pixels to activations."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def scaling() -> keras.layers.Rescaling:
    """MobileNetV2's own input scaling, 0..255 to -1..1."""
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")


def logits_model(model: keras.Model) -> keras.Model:
    """The same network, same weights, with its softmax cut off: `[N, labels]` float32 logits."""
    head = model.get_layer(PROBABILITIES)
    linear = keras.layers.Dense(head.units, name="logits")
    output = linear(head.input)
    linear.set_weights(head.get_weights())
    return keras.Model(model.input, output, name="ripeness_logits")
