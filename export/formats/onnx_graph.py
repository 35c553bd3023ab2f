"""Keras to an ONNX graph whose bytes do not depend on the process that wrote them."""

from __future__ import annotations

from typing import Any

OPSET = 17


def onnx_from_keras(model: Any, input_dtype: Any) -> Any:
    """Convert by tf2onnx: input `image` `[N, size, size, 3]` of a TensorFlow dtype, output `logits` `[N, labels]`."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), input_dtype, name="image")]
    converted, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    put_in_order(converted.graph)
    keep_own_operators(converted)
    return converted


def keep_own_operators(model: Any) -> None:
    """Drop the operator sets that no node uses: an engine that does not know them refuses the file."""
    used = {node.domain for node in model.graph.node}
    kept = [_copy(one) for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def put_in_order(graph: Any) -> None:
    """Name and arrange everything by its place on the way from the output back to the input.

    tf2onnx takes names and order from sets of strings, which Python shuffles anew in each process: the same model would
    give other bytes, and its bundle another identity, each time.
    """
    maker = {output: node for node in graph.node for output in node.output}
    constants = {constant.name: constant for constant in graph.initializer}
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    nodes: list[Any] = []
    used: list[Any] = []
    visited: set[str] = set()

    def visit(tensor: str) -> None:
        if tensor in constants and tensor not in names:
            names[tensor] = f"constant_{len(used)}"
            used.append(constants[tensor])
        node = maker.get(tensor)
        if node is None or node.output[0] in visited:
            return
        visited.add(node.output[0])
        for source in node.input:
            visit(source)
        node.name = f"{node.op_type}_{len(nodes)}"
        nodes.append(node)
        for place, output in enumerate(node.output):
            names.setdefault(output, f"{node.name}:{place}")

    for value in graph.output:
        visit(value.name)
    for constant in used:
        constant.name = names[constant.name]
    for node in nodes:
        node.input[:] = [names.get(source, source) for source in node.input]
        node.output[:] = [names[output] for output in node.output]
    arranged, kept = [_copy(node) for node in nodes], [_copy(constant) for constant in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(arranged)
    graph.initializer.extend(kept)


def _copy(message: Any) -> Any:
    twin = type(message)()
    twin.CopyFrom(message)
    return twin
