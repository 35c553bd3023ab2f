"""TFLite float16: weights stored in half the bytes, arithmetic in float32 on CPUs, in float16 on most GPUs."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from export.graph import Network
from export.quiet import quietly


def convert(network: Network, file: Path) -> dict[str, JsonValue]:
    """Write the model with its scaling in the graph and its weights as float16."""
    import tensorflow as tf

    with quietly():
        converter = tf.lite.TFLiteConverter.from_keras_model(network.logits)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        file.write_bytes(converter.convert())
    return {
        "converter": f"tf.lite {tf.__version__}",
        "call": "from_keras_model",
        "optimizations": "DEFAULT",
        "supported_types": "float16",
    }
