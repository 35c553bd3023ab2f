"""A finished run's Keras model at work."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.deciding.decide import softmax
from edge_runtime.errors import InputError
from train.model import logits_model
from train.pictures import Pictures
from train.run_directory import Run

READ_AT_ONCE = 512
"""Pictures in memory while predicting."""


class KerasPredictions(NamedTuple):
    """Both `[N, labels]` float32."""

    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


def load_keras_model(run: Run) -> keras.Model:
    """The trained model, uint8 RGB to probabilities.

    Raises:
        InputError: The file is damaged.
    """
    try:
        return keras.saving.load_model(run.model_path)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"{run.model_path} cannot be loaded: {str(error).splitlines()[0]}", remedy="Train the run again."
        ) from error


def predict_keras(run: Run | keras.Model, inputs: npt.NDArray[np.uint8], batch_size: int = 64) -> KerasPredictions:
    """Answers of a run's model, or of one already loaded.

    Args:
        run: The run, or its Keras model with the softmax.
        inputs: `[N, size, size, 3]` uint8 RGB from `edge_runtime.preprocess`.
        batch_size: Pictures at a time.
    """
    model = load_keras_model(run) if isinstance(run, Run) else run
    logits = logits_model(model).predict(inputs, batch_size=batch_size, verbose=0)
    return KerasPredictions(logits, softmax(logits).astype(np.float32))


def predict_pictures(model: keras.Model, pictures: Pictures) -> KerasPredictions:
    """Answers of a Keras model with the softmax, for pictures that need not fit in memory together."""
    linear = logits_model(model)
    parts = [
        linear.predict(pictures.read(range(at, min(at + READ_AT_ONCE, len(pictures)))), verbose=0)
        for at in range(0, len(pictures), READ_AT_ONCE)
    ]
    logits = np.concatenate(parts)
    return KerasPredictions(logits, softmax(logits).astype(np.float32))
