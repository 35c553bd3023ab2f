"""ONNX int8 in QDQ form: every operator between a dequantised input and a quantised output, weights per channel."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from export.formats.onnx_graph import OPSET, keep_own_operators, onnx_from_keras, put_in_order
from export.graph import Network
from export.layers import layers_of, onnx_operators, touching
from export.quiet import quietly


def convert(network: Network, file: Path, float_layers: Sequence[str] = ()) -> dict[str, JsonValue]:
    """Quantise with the activation ranges seen on the network's samples; outputs of `float_layers` stay float.

    uint8 activations and int8 weights: the pair that onnxruntime is fastest at on x86. The scaling of pixels ends up in
    the parameters of the first DequantizeLinear, which takes the picture itself.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as scratch, quietly():
        plain, prepared, quantized = (Path(scratch) / f"{stage}.onnx" for stage in ("plain", "prepared", "quantized"))
        rounded = network.rounded_but(float_layers)
        onnx.save_model(onnx_from_keras(rounded, tf.float32), str(plain))
        # Symbolic shapes need sympy and find nothing here; what matters is that batch normalisation is folded.
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        places = {layer.place for layer in layers_of(rounded) if layer.name in float_layers}
        kept = touching(onnx_operators(onnx.load_model(str(prepared)).graph), places)
        quantize_static(
            str(prepared),
            str(quantized),
            _samples_reader(network.scaled_samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[node.name for node in kept],
        )
        model = onnx.load_model(str(quantized))
    _take_pixels(model.graph)
    put_in_order(model.graph)
    keep_own_operators(model)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(file))
    done: dict[str, JsonValue] = {
        "converter": f"tf2onnx {tf2onnx.__version__}",
        "call": "from_keras",
        "opset": OPSET,
        "quantizer": f"onnxruntime {version('onnxruntime')}",
        "format": "QDQ, activations uint8, weights int8 per channel",
        "ranges": "min_max",
        "rounding": "gptq",
        "quantization_samples": len(network.samples),
    }
    return {**done, "float_layers": list(float_layers)} if float_layers else done


def _samples_reader(samples: npt.NDArray[np.float32]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            sample = next(self._left, None)
            return None if sample is None else {"image": sample[None]}

    return Reader()


def _take_pixels(graph: Any) -> None:
    """Let the uint8 picture itself be the first quantised tensor: the QuantizeLinear of scaled pixels goes."""
    import onnx

    (image,) = graph.input
    carrier = image.name
    while True:
        (reader,) = (node for node in graph.node if carrier in node.input)
        if reader.op_type == "QuantizeLinear":
            break
        carrier = reader.output[0]  # the Transpose to channels first, which minds no type
    for node in graph.node:
        node.input[:] = [carrier if name == reader.output[0] else name for name in node.input]
    graph.node.remove(reader)
    image.type.tensor_type.elem_type = onnx.TensorProto.UINT8
