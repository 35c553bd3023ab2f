"""Read from the converted file itself, never from the converter's word, that it is what its name says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import RipelineError
from export.graph import OFFSET, SCALE

_SCALING_TOLERANCE = 0.02  # of a grey level in scale, 1 level in zero point


class ConversionError(RipelineError):
    """A converter wrote a file that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds: operator counts, dtypes as numpy names, input quantisation (0, 0 for none)."""

    operators: dict[str, int]
    input_dtype: str
    output_dtype: str
    input_scale: float
    input_zero_point: int
    per_channel_tensors: int


def inspect_tflite(file: Path) -> Inspection:
    """Read a flatbuffer with TensorFlow's own schema."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    if len(model.subgraphs) != 1:
        raise ConversionError(f"{file.name} holds {len(model.subgraphs)} subgraphs.", expected="one")
    graph = model.subgraphs[0]
    operator_names = _names(schema.BuiltinOperator)
    type_names = _names(schema.TensorType)
    codes = [operator_names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    source, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    scale, zero_point = _quantization(source)
    return Inspection(
        operators=dict(Counter(codes[operator.opcodeIndex] for operator in graph.operators)),
        input_dtype=type_names[source.type].lower(),
        output_dtype=type_names[target.type].lower(),
        input_scale=scale,
        input_zero_point=zero_point,
        per_channel_tensors=sum(
            tensor.quantization is not None
            and tensor.quantization.scale is not None
            and len(tensor.quantization.scale) > 1
            for tensor in graph.tensors
        ),
    )


def inspect_onnx(file: Path) -> Inspection:
    """Read an ONNX graph."""
    import onnx

    graph = onnx.load(str(file)).graph

    def dtype(value: Any) -> str:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name

    domains = {node.domain for node in graph.node}
    if domains - {"", "ai.onnx"}:
        raise ConversionError(f"{file.name} needs operators of {', '.join(domains)}.", expected="ONNX's own operators")
    return Inspection(
        operators=dict(Counter(node.op_type for node in graph.node)),
        input_dtype=dtype(graph.input[0]),
        output_dtype=dtype(graph.output[0]),
        input_scale=0.0,
        input_zero_point=0,
        per_channel_tensors=0,
    )


def assert_sound(file: Path, *, quantized: bool) -> Inspection:
    """Inspect a converted file and raise ConversionError unless it keeps the contract of every artefact.

    uint8 in, float32 out, built-in operators only, no variable left unfrozen; a quantised one also with weights per
    channel, no float arithmetic, and the backbone's scaling in the input's quantisation parameters.
    """
    found = inspect_tflite(file) if file.suffix == ".tflite" else inspect_onnx(file)
    problems = []
    if (found.input_dtype, found.output_dtype) != ("uint8", "float32"):
        problems.append(f"{found.input_dtype} in and {found.output_dtype} out, not uint8 and float32")
    foreign = [name for name in found.operators if name in ("CUSTOM", "READ_VARIABLE", "VAR_HANDLE") or "FLEX" in name]
    if foreign:
        problems.append(f"operators that a device cannot run: {', '.join(foreign)}")
    if quantized:
        if found.per_channel_tensors == 0:
            problems.append("no weights quantised per channel")
        floating = [name for name in ("CAST", "MUL") if name in found.operators]
        if floating or found.operators.get("DEQUANTIZE", 0) != 1 or found.operators.get("QUANTIZE", 0) > 1:
            problems.append(f"float arithmetic inside the integer graph: {found.operators}")
        if abs(found.input_scale / SCALE - 1) > _SCALING_TOLERANCE or abs(found.input_zero_point + OFFSET / SCALE) > 1:
            problems.append(
                f"input scale {found.input_scale:.5f} and zero point {found.input_zero_point}, "
                "not those of x / 127.5 - 1: quantisation samples were not scaled pixels"
            )
    if problems:
        raise ConversionError(
            f"The converted file {file.name} is not what was asked for: {'; '.join(problems)}.",
            remedy="this is a converter's silent failure; use the versions in requirements/dev.txt",
        )
    return found


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _quantization(tensor: Any) -> tuple[float, int]:
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) == 0:
        return 0.0, 0
    return float(parameters.scale[0]), int(parameters.zeroPoint[0])
