"""TFLite float32: the reference that every other artefact of a bundle is held against on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from export.quiet import quietly


def convert(logits_model: Any, samples: npt.NDArray[np.uint8], file: Path) -> dict[str, JsonValue]:  # noqa: ARG001
    """Write the model with its scaling in the graph; `samples` are not needed.

    `from_keras_model`, never `from_concrete_functions`: the latter leaves variables unfrozen without a word.
    """
    import tensorflow as tf

    with quietly():
        file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(logits_model).convert())
    return {"converter": f"tf.lite {tf.__version__}", "call": "from_keras_model"}
