"""Where an integer artefact loses what the float network knew: layer by layer, on the same pictures.

Each layer's output in the artefact is held against that of the Keras network, channel by channel: a step that is fine
for the widest channel can be all that a narrow one has. What a layer loses beyond the layers that it reads is its own
doing (the per-layer view of TensorFlow's quantisation debugger, here for every quantiser).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from export.graph import OFFSET, SCALE
from export.layers import Place, layers_of, onnx_operators, places, tflite_operators
from export.rounding import backbone_of

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LOOKED_AT = 16
"""Pictures that layers are compared on: each has thousands of places."""

_STILL = 1e-3
"""A channel that varies less than this share of what is usual in its layer carries nothing that could be lost."""


class LayerError(BaseModel):
    """What became of one layer's output, as shares of its signal: 0 nothing is lost, 1 nothing is left.

    `lost` is the mean over channels of squared error / variance, at most 1 each; `added` what is lost beyond the worst
    of the layers it reads.
    """

    model_config = ConfigDict(frozen=True)

    layer: str
    lost: float
    added: float


def layer_errors(network: Any, artefact: Path, images: Images) -> tuple[LayerError, ...]:
    """Compare an integer artefact with the network it was made of, layers that add the most first.

    Args:
        network: Keras, float32 pixels in -1..1 `[N, size, size, 3]` to logits, with a backbone inside.
        artefact: TFLite or ONNX, uint8 in.
        images: `[n, size, size, 3]` RGB; a few will do.

    Returns:
        The layers found in both; none when nothing can be matched, or the artefact cannot be looked into.
    """
    try:
        return _compared(network, artefact, images)
    except Exception:  # an explanation of what has failed already; without one the export still has its say
        return ()


def _compared(network: Any, artefact: Path, images: Images) -> tuple[LayerError, ...]:
    import keras

    layers = layers_of(network)
    probe = keras.Model(backbone_of(network).input, {layer.name: layer.output for layer in layers})
    read = tflite_activations if artefact.suffix == ".tflite" else onnx_activations
    sums: dict[str, _Sums] = {}
    for image, found in zip(images, read(artefact, images), strict=True):
        expected = probe(image[None].astype(np.float32) * SCALE + OFFSET, training=False)
        for layer in layers:
            if layer.place in found:
                one = _Sums.of(np.asarray(expected[layer.name], np.float64), found[layer.place].astype(np.float64))
                sums[layer.name] = sums[layer.name].plus(one) if layer.name in sums else one
    lost = {name: one.lost() for name, one in sums.items()}
    return worst_first(lost, {layer.name: layer.reads for layer in layers})


def worst_first(lost: Mapping[str, float], reads: Mapping[str, Sequence[str]]) -> tuple[LayerError, ...]:
    """Layers by what they add to the losses of those that they read."""
    errors = [
        LayerError(layer=name, lost=share, added=share - max((lost.get(one, 0.0) for one in reads[name]), default=0.0))
        for name, share in lost.items()
    ]
    return tuple(sorted(errors, key=lambda one: one.added, reverse=True))


class _Sums:
    """Over places, `[channels]` each: the float output's first and second power, the squared error."""

    def __init__(self, count: int, total: Floats, squares: Floats, errors: Floats) -> None:
        self.count, self.total, self.squares, self.errors = count, total, squares, errors

    @classmethod
    def of(cls, expected: Floats, found: Floats) -> _Sums:
        channels = expected.shape[-1]
        one, other = expected.reshape(-1, channels), found.reshape(-1, channels)
        return cls(len(one), one.sum(axis=0), np.square(one).sum(axis=0), np.square(one - other).sum(axis=0))

    def plus(self, other: _Sums) -> _Sums:
        return _Sums(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.errors + other.errors,
        )

    def lost(self) -> float:
        """Mean over channels of the share of their variance that the error amounts to."""
        variance = np.maximum(self.squares / self.count - np.square(self.total / self.count), 0)
        alive = variance > max(_STILL * float(np.median(variance)), np.finfo(np.float64).tiny)
        if not alive.any():
            return 0.0
        return float(np.minimum(self.errors[alive] / self.count / variance[alive], 1).mean())


def tflite_activations(artefact: Path, images: Images) -> Iterator[dict[Place, npt.NDArray[np.float32]]]:
    """For each image the output of every layer, `[1, …, channels]`, from plain kernels that keep all tensors."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    outputs = {place: int(one.outputs[0]) for place, one in places(tflite_operators(artefact.read_bytes())).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(
            str(artefact),
            num_threads=os.cpu_count(),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    interpreter.allocate_tensors()
    steps = {one["index"]: one["quantization"] for one in interpreter.get_tensor_details()}
    picture = interpreter.get_input_details()[0]["index"]
    for image in images:
        interpreter.set_tensor(picture, image[None])
        interpreter.invoke()
        yield {place: _dequantized(interpreter.get_tensor(at), *steps[at]) for place, at in outputs.items()}


def _dequantized(values: Any, scale: float, zero_point: int) -> npt.NDArray[np.float32]:
    real: npt.NDArray[np.float32] = values.astype(np.float32)
    return real if values.dtype == np.float32 else (real - np.float32(zero_point)) * np.float32(scale)


def onnx_activations(artefact: Path, images: Images) -> Iterator[dict[Place, npt.NDArray[np.float32]]]:
    """The same from a QDQ graph: what comes out of the DequantizeLinear behind each layer."""
    import onnx
    import onnxruntime

    model = onnx.load(str(artefact))
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def end(tensor: str) -> str:
        while len(readers.get(tensor, ())) == 1 and readers[tensor][0].op_type in (
            "Clip",
            "Relu",
            "QuantizeLinear",
            "DequantizeLinear",
        ):
            tensor = readers[tensor][0].output[0]
        return tensor

    outputs = {place: end(one.outputs[0]) for place, one in places(onnx_operators(model.graph)).items()}
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(outputs.values()) if name not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (picture,) = session.get_inputs()
    for image in images:
        values = session.run(list(outputs.values()), {picture.name: image[None]})
        yield {
            place: np.moveaxis(value, 1, -1) if value.ndim == 4 else value
            for place, value in zip(outputs, values, strict=True)
        }
