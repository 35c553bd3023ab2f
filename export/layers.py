"""The same layer in three writings: Keras, a TFLite flatbuffer, an ONNX graph.

Converters fuse, rename and rearrange, but they keep the order of convolutions: the k-th of a kind is the k-th of that
kind everywhere. So layers are matched by kind and number, not by names that each converter makes up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from export.inspect import tflite_graph
from export.rounding import backbone_of

Kind = Literal["convolution", "depthwise", "add", "dense"]
Place = tuple[Kind, int]

_TFLITE: dict[str, Kind] = {
    "CONV_2D": "convolution",
    "DEPTHWISE_CONV_2D": "depthwise",
    "ADD": "add",
    "FULLY_CONNECTED": "dense",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the Keras network.

    Attributes:
        name: Of its convolution, addition or dense layer.
        place: Where it is found in a converted file.
        output: Symbolic tensor after the batch normalisation and activation that converters fuse into it.
        reads: Names of the layers whose outputs it takes.
    """

    name: str
    place: Place
    output: Any
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """One of a converted graph, in order of execution; `kind` is None for what has no layer of its own."""

    kind: Kind | None
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def layers_of(network: Any) -> list[Layer]:
    """Layers of the backbone of a Keras network, in order."""
    import keras

    kinds: tuple[tuple[type, Kind], ...] = (
        (keras.layers.DepthwiseConv2D, "depthwise"),  # not a Conv2D in Keras 3, and to stay so here
        (keras.layers.Conv2D, "convolution"),
        (keras.layers.Add, "add"),
    )
    found: dict[str, Layer] = {}
    owner: dict[str, str] = {}
    counts: Counter[Kind] = Counter()
    for layer in backbone_of(network).layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        reads = tuple(owner[name] for one in inputs if (name := one._keras_history.operation.name) in owner)
        kind = next((kind for cls, kind in kinds if isinstance(layer, cls)), None)
        if kind is not None:
            found[layer.name] = Layer(layer.name, (kind, counts[kind]), layer.output, reads)
            owner[layer.name] = layer.name
            counts[kind] += 1
        elif reads:
            owner[layer.name] = reads[0]
            if isinstance(layer, keras.layers.BatchNormalization | keras.layers.ReLU):
                before = found[reads[0]]
                found[reads[0]] = Layer(before.name, before.place, layer.output, before.reads)
    return list(found.values())


def tflite_operators(content: bytes) -> list[Operator]:
    """Of a flatbuffer; tensors are named by their index."""
    graph, placed, _ = tflite_graph(content)
    return [
        Operator(
            _TFLITE.get(name),
            ";".join(graph.tensors[tensor].name.decode() for tensor in operator.outputs),
            tuple(str(tensor) for tensor in operator.inputs),
            tuple(str(tensor) for tensor in operator.outputs),
        )
        for name, operator in placed
    ]


def onnx_operators(graph: Any) -> list[Operator]:
    """Of an ONNX graph, quantised or not."""
    constants = {constant.name for constant in graph.initializer}
    stored = constants | {node.output[0] for node in graph.node if set(node.input) <= constants}

    def kind(node: Any) -> Kind | None:
        if node.op_type == "Conv":
            groups = next((one.i for one in node.attribute if one.name == "group"), 1)
            return "depthwise" if groups > 1 else "convolution"
        if node.op_type == "Add" and not stored.intersection(node.input):
            return "add"
        return "dense" if node.op_type in ("Gemm", "MatMul") else None

    return [Operator(kind(node), node.name, tuple(node.input), tuple(node.output)) for node in graph.node]


def places(operators: Sequence[Operator]) -> dict[Place, Operator]:
    """Each operator that is a layer, by kind and number."""
    found: dict[Place, Operator] = {}
    counts: Counter[Kind] = Counter()
    for one in operators:
        if one.kind is not None:
            found[one.kind, counts[one.kind]] = one
            counts[one.kind] += 1
    return found


def touching(operators: Sequence[Operator], wanted: Collection[Place]) -> list[Operator]:
    """Who must compute in float so that the outputs of these layers stay float: the layers, and all that read them."""
    kept = [one for place, one in places(operators).items() if place in wanted]
    tensors = {output for one in kept for output in one.outputs}
    touched = {id(one) for one in kept}
    for one in operators:
        if tensors.intersection(one.inputs):
            touched.add(id(one))
            if one.kind is None:  # an activation, a padding: the layer's output goes on through it
                tensors.update(one.outputs)
    return [one for one in operators if id(one) in touched]
