"""TFLite full-integer int8: weights per channel, uint8 in, float32 logits out, scaling folded into the input.

Two quantisers do the same with different hands: that of the TFLite converter, and its successor `ai-edge-quantizer`.
Both get the network with its weights already rounded (`export.rounding`), and the same samples. The successor can also
leave single layers in float.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from export.graph import Network
from export.layers import layers_of, tflite_operators, touching
from export.quiet import quietly


def convert(network: Network, file: Path, quantizer: str) -> dict[str, JsonValue]:
    """Quantise with the activation ranges seen on the network's samples."""
    return _write(file, network, quantizer, QUANTIZERS[quantizer])


def convert_partly(network: Network, file: Path, float_layers: Sequence[str]) -> dict[str, JsonValue]:
    """The same by `ai-edge-quantizer`, with the outputs of these layers left in float."""
    done = _write(file, network, AI_EDGE_QUANTIZER, lambda one: _by_ai_edge_quantizer(one, float_layers))
    return {**done, "float_layers": list(float_layers)}


def _write(
    file: Path, network: Network, name: str, quantize: Callable[[Network], tuple[bytes, dict[str, JsonValue]]]
) -> dict[str, JsonValue]:
    with quietly():
        content, options = quantize(network)
    file.write_bytes(content)
    return {**options, "quantizer": name, "rounding": "gptq", "quantization_samples": len(network.samples)}


def _by_tflite_converter(network: Network) -> tuple[bytes, dict[str, JsonValue]]:
    import tensorflow as tf

    def representative_dataset() -> Iterator[list[npt.NDArray[np.float32]]]:
        for sample in network.scaled_samples:
            yield [sample[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(network.rounded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32
    return converter.convert(), {
        "converter": f"tf.lite {tf.__version__}",
        "call": "from_keras_model",
        "optimizations": "DEFAULT",
        "supported_ops": "TFLITE_BUILTINS_INT8",
    }


def _by_ai_edge_quantizer(network: Network, float_layers: Sequence[str] = ()) -> tuple[bytes, dict[str, JsonValue]]:
    """Ranges are the extremes seen, as the converter takes them; the library's moving average clips (logit error x5).

    It leaves weights outside the flatbuffer, where tflite-runtime 2.14 does not look, and its input is float or int8;
    both are put right at the end.
    """
    import tensorflow as tf
    from ai_edge_litert.tools import flatbuffer_utils as litert_flatbuffers
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update
    from tensorflow.lite.python.util import modify_model_io_type
    from tensorflow.lite.tools import flatbuffer_utils

    rounded = network.rounded_but(float_layers)
    float_model = tf.lite.TFLiteConverter.from_keras_model(rounded).convert()
    recipes = RecipeManager()
    recipes.load_quantization_recipe(recipe.static_wi8_ai8())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        recipes.add_quantization_config(".*", border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    places = {layer.place for layer in layers_of(rounded) if layer.name in float_layers}
    for operator in touching(tflite_operators(float_model), places):
        recipes.add_quantization_config(
            f"^{re.escape(operator.name)};$",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    ranges = Calibrator(float_model, num_threads=1, qsv_update_func=min_max_update)
    ranges.calibrate({"serving_default": [{"image": sample[None]} for sample in network.scaled_samples]}, recipes)
    one = quantizer.Quantizer(float_model, recipes.get_quantization_recipe())
    integer = bytes(one.quantize(ranges.get_model_qsvs()).quantized_model)
    whole = flatbuffer_utils.convert_object_to_bytearray(litert_flatbuffers.read_model_from_bytearray(integer))
    content: Any = modify_model_io_type(bytes(whole), tf.uint8, tf.float32)
    return bytes(content), {
        "converter": f"ai-edge-quantizer {version('ai-edge-quantizer')}",
        "float_model": f"tf.lite {tf.__version__}",
        "recipe": "static_wi8_ai8",
        "ranges": "min_max",
    }


TFLITE_CONVERTER, AI_EDGE_QUANTIZER = "tflite-converter", "ai-edge-quantizer"
QUANTIZERS: dict[str, Callable[[Network], tuple[bytes, dict[str, JsonValue]]]] = {
    TFLITE_CONVERTER: _by_tflite_converter,
    AI_EDGE_QUANTIZER: _by_ai_edge_quantizer,
}
