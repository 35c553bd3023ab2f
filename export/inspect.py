"""Read from the converted file itself, never from the converter's word, that it is what its name says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import RipelineError
from export.graph import OFFSET, SCALE

_SCALING_TOLERANCE = 0.02  # of a grey level in scale, 1 level in zero point

_WEIGHTS = {"float32": "float32", "float16": "float16", "dynamic": "int8", "int8": "int8"}
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_BORDERS = ("QUANTIZE", "DEQUANTIZE")
_ONNX_REARRANGING = ("Transpose", "Squeeze", "Reshape", "Flatten")
_ONNX_BORDERS = ("QuantizeLinear", "DequantizeLinear")

TFLITE_RUNTIME_2_14 = {
    "ADD": 5,
    "CAST": 5,
    "CONV_2D": 7,
    "DEPTHWISE_CONV_2D": 7,
    "DEQUANTIZE": 5,
    "FULLY_CONNECTED": 10,
    "MEAN": 3,
    "MUL": 7,
    "PAD": 4,
    "QUANTIZE": 3,
    "RELU6": 3,
    "RESHAPE": 1,
    "SUB": 5,
}
"""Newest version of each operator that tflite-runtime 2.14 loads, found by asking it (as a test does).

An operator that is not in the table counts as one that it does not know.
"""


class ConversionError(RipelineError):
    """A converter wrote a file that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds: operator counts, dtypes as numpy names, input quantisation (0, 0 for none).

    Attributes:
        operators: How often each operator occurs.
        versions: TFLite only: the version of each operator, which an older interpreter may not know.
        input_dtype: Of the picture.
        output_dtype: Of the logits.
        input_scale: Step of the quantised picture.
        input_zero_point: Its zero.
        weights: Dtypes of the convolutions' weights.
        per_tensor: Convolutions whose integer weights share one scale instead of having one for each channel.
        float_islands: Operators that compute in float, in order; a quantised file should have none.
    """

    operators: dict[str, int]
    versions: dict[str, int]
    input_dtype: str
    output_dtype: str
    input_scale: float
    input_zero_point: int
    weights: frozenset[str]
    per_tensor: int
    float_islands: tuple[str, ...]


def tflite_graph(content: bytes) -> tuple[Any, list[tuple[str, Any]], dict[str, int]]:
    """By TensorFlow's own schema: a file's one subgraph, its operators in order by name, and each one's version.

    Raises:
        ConversionError: There are several subgraphs.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1:
        raise ConversionError(f"A TFLite file holds {len(model.subgraphs)} subgraphs.", expected="one")
    graph, names = model.subgraphs[0], _names(schema.BuiltinOperator)
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    placed = [(codes[operator.opcodeIndex], operator) for operator in graph.operators]
    return graph, placed, {name: code.version for name, code in zip(codes, model.operatorCodes, strict=True)}


def inspect_tflite(file: Path) -> Inspection:
    """Read a flatbuffer."""
    from tensorflow.lite.python import schema_py_generated as schema

    graph, placed, versions = tflite_graph(file.read_bytes())
    type_names = _names(schema.TensorType)
    scale, zero_point = _quantization(graph.tensors[graph.inputs[0]])

    def dtype(tensor: int) -> str:
        return type_names[graph.tensors[tensor].type].lower()

    # Weights kept as float16 reach their convolution through a DEQUANTIZE.
    widened = {operator.outputs[0]: operator.inputs[0] for name, operator in placed if name == "DEQUANTIZE"}
    weights = [operator.inputs[1] for name, operator in placed if name in _CONVOLUTIONS]
    return Inspection(
        operators=dict(Counter(name for name, _ in placed)),
        versions=versions,
        input_dtype=dtype(graph.inputs[0]),
        output_dtype=dtype(graph.outputs[0]),
        input_scale=scale,
        input_zero_point=zero_point,
        weights=frozenset(dtype(widened.get(tensor, tensor)) for tensor in weights),
        per_tensor=sum(
            dtype(operator.inputs[1]) == "int8"
            and _scales(graph.tensors[operator.inputs[1]]) < graph.tensors[operator.outputs[0]].shape[-1]
            for name, operator in placed
            if name in _CONVOLUTIONS
        ),
        float_islands=tuple(
            name
            for name, operator in placed
            if name not in _BORDERS and any(dtype(tensor) == "float32" for tensor in operator.outputs)
        ),
    )


def inspect_onnx(file: Path) -> Inspection:
    """Read an ONNX graph."""
    import onnx

    model = onnx.load(str(file))
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    image = graph.input[0].name

    def dtype(element: int) -> str:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element)).name

    def constant(name: str) -> Any:
        return onnx.numpy_helper.to_array(constants[name])

    foreign = {one.domain for one in (*graph.node, *model.opset_import)} - {"", "ai.onnx"}
    if foreign:
        raise ConversionError(
            f"{file.name} needs operators of {', '.join(sorted(foreign))}.", expected="ONNX's own operators"
        )
    dequantizers = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    first = next((node for node in dequantizers if _origin(node.input[0], maker) == image), None)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = [_stored(node.input[1], maker) for node in convolutions]
    quantized = [maker[node.input[1]] for node in convolutions if _is_dequantized(node.input[1], maker)]
    return Inspection(
        operators=dict(Counter(node.op_type for node in graph.node)),
        versions={},
        input_dtype=dtype(graph.input[0].type.tensor_type.elem_type),
        output_dtype=dtype(graph.output[0].type.tensor_type.elem_type),
        input_scale=float(constant(first.input[1])) if first else 0.0,
        input_zero_point=int(constant(first.input[2])) if first else 0,
        weights=frozenset(dtype(constants[name].data_type) for name in weights if name in constants),
        per_tensor=sum(constant(node.input[1]).size < constant(node.input[0]).shape[0] for node in quantized),
        float_islands=tuple(
            node.op_type
            for node in graph.node
            if node.op_type not in (*_ONNX_REARRANGING, *_ONNX_BORDERS)
            and not all(name in constants or _is_dequantized(name, maker) for name in node.input)
        ),
    )


def assert_sound(file: Path, *, precision: str, float_layers: bool = False) -> Inspection:
    """Inspect a converted file and raise ConversionError unless it keeps the contract of its format.

    uint8 in, float32 out, built-in operators only, in versions that tflite-runtime 2.14 knows, no variable left
    unfrozen, weights stored as the format's name says; int8 also with weights per channel, no float arithmetic, and the
    backbone's scaling in the input's quantisation parameters.

    Args:
        file: What a converter wrote.
        precision: `float32`, `float16`, `dynamic` or `int8`.
        float_layers: Whether some layers of an integer file were meant to stay float; `float_islands` tells which.
    """
    found = inspect_tflite(file) if file.suffix == ".tflite" else inspect_onnx(file)
    problems = []
    if (found.input_dtype, found.output_dtype) != ("uint8", "float32"):
        problems.append(f"{found.input_dtype} in and {found.output_dtype} out, not uint8 and float32")
    foreign = [name for name in found.operators if name in ("CUSTOM", "READ_VARIABLE", "VAR_HANDLE") or "FLEX" in name]
    if {"READ_VARIABLE", "VAR_HANDLE"} & set(found.operators):
        problems.append("variables were left unfrozen, so that the weights did not reach the file")
    if foreign:
        problems.append(f"operators that a device cannot run: {', '.join(foreign)}")
    newer = [
        f"{name} version {number}"
        for name, number in found.versions.items()
        if name not in foreign and number > TFLITE_RUNTIME_2_14.get(name, 0)
    ]
    if newer:
        problems.append(f"operators newer than tflite-runtime 2.14 knows: {', '.join(newer)}")
    # The dynamic-range quantiser leaves layers of under 1,024 weights as they are.
    wanted = found.weights - {"float32"} if precision == "dynamic" or float_layers else found.weights
    if wanted != {_WEIGHTS[precision]}:
        problems.append(f"weights stored as {', '.join(sorted(found.weights)) or 'nothing'}, not {_WEIGHTS[precision]}")
    if precision == "int8":
        problems += _integer_problems(found, float_layers=float_layers)
    if problems:
        raise ConversionError(
            f"The converted file {file.name} is not what was asked for: {'; '.join(problems)}.",
            remedy="this is a converter's silent failure; use the versions in requirements/dev.txt",
        )
    return found


def _integer_problems(found: Inspection, *, float_layers: bool) -> Iterator[str]:
    if found.per_tensor:
        yield f"weights of {found.per_tensor} convolutions not quantised per channel"
    floating = [name for name in ("CAST", "MUL") if name in found.operators]
    extra = found.operators.get("DEQUANTIZE", 1) != 1 or found.operators.get("QUANTIZE", 0) > 1
    if floating or (not float_layers and (extra or found.float_islands)):
        places = f", in {', '.join(found.float_islands)}" if found.float_islands else ""
        yield f"float arithmetic inside the integer graph{places}: {found.operators}"
    if abs(found.input_scale / SCALE - 1) > _SCALING_TOLERANCE or abs(found.input_zero_point + OFFSET / SCALE) > 1:
        yield (
            f"input scale {found.input_scale:.5f} and zero point {found.input_zero_point}, "
            "not those of x / 127.5 - 1: quantisation samples were not scaled pixels"
        )


def _stored(tensor: str, maker: dict[str, Any]) -> str:
    """The constant behind a tensor, through its DequantizeLinear where it has one."""
    node = maker.get(tensor)
    return str(node.input[0]) if node is not None and node.op_type == "DequantizeLinear" else tensor


def _is_dequantized(tensor: str, maker: dict[str, Any]) -> bool:
    """Whether a tensor comes out of a DequantizeLinear, perhaps only rearranged since."""
    node = maker.get(_origin(tensor, maker))
    return node is not None and node.op_type == "DequantizeLinear"


def _origin(tensor: str, maker: dict[str, Any]) -> str:
    """The tensor that was rearranged, if it was, into this one."""
    while tensor in maker and maker[tensor].op_type in _ONNX_REARRANGING:
        tensor = maker[tensor].input[0]
    return tensor


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _scales(tensor: Any) -> int:
    """How many steps a tensor has: one for each channel, one for all, or none."""
    parameters = tensor.quantization
    return 0 if parameters is None or parameters.scale is None else len(parameters.scale)


def _quantization(tensor: Any) -> tuple[float, int]:
    parameters = tensor.quantization
    if _scales(tensor) == 0:
        return 0.0, 0
    return float(parameters.scale[0]), int(parameters.zeroPoint[0])
