"""ONNX float32 through tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from export.quiet import quietly

OPSET = 17


def convert(logits_model: Any, samples: npt.NDArray[np.uint8], file: Path) -> dict[str, JsonValue]:  # noqa: ARG001
    """Write the model with input `image` `[N, size, size, 3]` uint8 and output `logits` `[N, labels]`."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *logits_model.input_shape[1:]), tf.uint8, name="image")]
    with quietly():
        model, _ = tf2onnx.convert.from_keras(logits_model, input_signature=signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(file))
    return {"converter": f"tf2onnx {tf2onnx.__version__}", "call": "from_keras", "opset": OPSET}
