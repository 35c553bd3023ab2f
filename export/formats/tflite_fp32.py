"""TFLite float32: the reference that every other artefact of a bundle is held against on a device."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from export.graph import Network
from export.quiet import quietly


def convert(network: Network, file: Path) -> dict[str, JsonValue]:
    """Write the model with its scaling in the graph.

    `from_keras_model`, never `from_concrete_functions`: the latter leaves variables unfrozen without a word.
    """
    import tensorflow as tf

    with quietly():
        file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network.logits).convert())
    return {"converter": f"tf.lite {tf.__version__}", "call": "from_keras_model"}
