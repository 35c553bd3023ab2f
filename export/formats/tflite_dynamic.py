"""TFLite dynamic-range: int8 weights, activations quantised anew for every picture; no samples needed."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from export.graph import Network
from export.quiet import quietly


def convert(network: Network, file: Path) -> dict[str, JsonValue]:
    """Write the model with its scaling in the graph and int8 weights, per channel but for the dense layer.

    A dense layer per channel would be FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not know.
    """
    import tensorflow as tf

    with quietly():
        converter = tf.lite.TFLiteConverter.from_keras_model(network.logits)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        file.write_bytes(converter.convert())
    return {
        "converter": f"tf.lite {tf.__version__}",
        "call": "from_keras_model",
        "optimizations": "DEFAULT",
        "dense_layers": "per tensor",
    }
