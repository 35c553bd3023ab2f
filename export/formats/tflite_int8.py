"""TFLite full-integer int8: weights per channel, uint8 in, float32 logits out, scaling folded into the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from export.graph import OFFSET, SCALE, without_rescaling
from export.quiet import quietly
from export.rounding import round_weights


def convert(logits_model: Any, samples: npt.NDArray[np.uint8], file: Path) -> dict[str, JsonValue]:
    """Quantise with weights rounded to suit, and activation ranges seen on, `samples` (uint8 `[n, size, size, 3]`)."""
    import tensorflow as tf

    scaled = samples.astype(np.float32) * SCALE + OFFSET

    def representative_dataset() -> Iterator[list[npt.NDArray[np.float32]]]:
        # One sample at each end of the scale pins the input's parameters to those of x / 127.5 - 1.
        yield [np.full((1, *samples.shape[1:]), -1, np.float32)]
        yield [np.full((1, *samples.shape[1:]), 1, np.float32)]
        for start in range(len(scaled)):
            yield [scaled[start : start + 1]]

    with quietly():
        converter = tf.lite.TFLiteConverter.from_keras_model(round_weights(without_rescaling(logits_model), scaled))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        file.write_bytes(converter.convert())
    return {
        "converter": f"tf.lite {tf.__version__}",
        "call": "from_keras_model",
        "optimizations": "DEFAULT",
        "supported_ops": "TFLITE_BUILTINS_INT8",
        "rounding": "gptq",
        "quantization_samples": len(samples),
    }
