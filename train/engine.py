"""The frozen part of the network through TensorFlow Lite, whose CPU kernels (XNNPACK) outrun Keras several times.

The one file of `train` that knows of TFLite. What it returns is checked against Keras; where it cannot be had or
differs, Keras itself does the work. Which of the two it is follows from the model and the number of pictures alone,
never from a stopwatch: a busy machine would take the other one, and the same seed would give other weights.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edge_runtime.quiet import native_stderr_silenced

BATCH = 16
LARGEST_DIFFERENCE = 1e-4
"""Of any output from Keras's, as a share of the tensor's largest value (at least 1)."""
WORTH_CONVERTING = 1000
"""Below this many pictures the conversion (about 3 s) takes longer than it saves."""

Outputs = tuple[npt.NDArray[np.float32], ...]
Engine = Callable[[npt.NDArray[np.uint8]], Outputs]
"""`[n, size, size, 3]` uint8 RGB to float32 outputs of n rows each; safe to call from many threads."""


def engine_for(model: keras.Model, pictures: int) -> Engine:
    """What to run `model` with over that many pictures: TFLite where it pays and agrees, else Keras's own graph.

    The model's weights are taken as they are now.

    Args:
        model: uint8 pictures in, one or more float32 tensors out.
        pictures: How many it will see.
    """
    signature = tf.TensorSpec((BATCH, *model.input_shape[1:]), tf.uint8)
    # Frozen: later changes do not show, and the converter would silently leave variables in what it is given.
    graph = convert_variables_to_constants_v2(
        tf.function(lambda batch: model(batch, training=False)).get_concrete_function(signature)
    )
    slow = _tensorflow_engine(graph)
    fast = _tflite_engine(graph) if pictures >= WORTH_CONVERTING else None
    if fast is None:
        return slow
    size_px = model.input_shape[1]
    sample = np.random.default_rng(0).integers(0, 256, (BATCH, size_px, size_px, 3), np.uint8)
    return fast if _agree(fast(sample), slow(sample)) else slow


def _tensorflow_engine(graph: Any) -> Engine:
    def run(batch: npt.NDArray[np.uint8]) -> Outputs:
        padded, n = _padded(batch)
        return tuple(output.numpy()[:n] for output in graph(tf.constant(padded)))

    return run


def _tflite_engine(graph: Any) -> Engine | None:
    """One single-threaded interpreter for each core, handed out to whoever calls; None if it cannot be converted."""
    try:
        with native_stderr_silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the interpreter's move to another package
            content = tf.lite.TFLiteConverter.from_concrete_functions([graph]).convert()
            interpreters = [
                tf.lite.Interpreter(model_content=content, num_threads=1) for _ in range(os.cpu_count() or 1)
            ]
            for interpreter in interpreters:
                interpreter.allocate_tensors()
    except (ValueError, RuntimeError, AttributeError):
        return None
    free: SimpleQueue[Any] = SimpleQueue()
    for interpreter in interpreters:
        free.put(interpreter)

    def run(batch: npt.NDArray[np.uint8]) -> Outputs:
        padded, n = _padded(batch)
        interpreter = free.get()
        try:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], padded)
            interpreter.invoke()
            return tuple(interpreter.get_tensor(one["index"])[:n] for one in interpreter.get_output_details())
        finally:
            free.put(interpreter)

    return run


def _padded(batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """Filled up to `BATCH`, so that there is one graph and one result whatever the number of pictures."""
    n = len(batch)
    return (batch, n) if n == BATCH else (np.concatenate([batch, np.zeros((BATCH - n, *batch.shape[1:]), np.uint8)]), n)


def _agree(found: Outputs, expected: Outputs) -> bool:
    return len(found) == len(expected) and all(
        one.shape == other.shape and np.abs(one - other).max() <= LARGEST_DIFFERENCE * max(1.0, np.abs(other).max())
        for one, other in zip(found, expected, strict=True)
    )
