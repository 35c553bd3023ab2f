"""ONNX float32 through tf2onnx."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from export.formats.onnx_graph import OPSET, onnx_from_keras
from export.graph import Network
from export.quiet import quietly


def convert(network: Network, file: Path) -> dict[str, JsonValue]:
    """Write the model with its scaling in the graph."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    with quietly():
        model = onnx_from_keras(network.logits, tf.uint8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(file))
    return {"converter": f"tf2onnx {tf2onnx.__version__}", "call": "from_keras", "opset": OPSET}
