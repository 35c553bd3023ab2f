"""Labelled photographs to a run directory: a trained Keras model with the evidence about it.

Importing this package, or `train.run_directory`, loads no TensorFlow: the names listed in
`_NEEDS_TENSORFLOW` bring it in on first use.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING

# TensorFlow reads these once, when it is imported: errors only, and Keras on TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from edge_runtime.quiet import native_stderr_silenced
from train.config import TrainConfig
from train.run_directory import Run, match_data, read_run
from train.training import resume_run, train_run

logging.getLogger("tensorflow").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from train.model import logits_model
    from train.predict import KerasPredictions, load_keras_model, predict_keras

__all__ = [
    "KerasPredictions",
    "Run",
    "TrainConfig",
    "load_keras_model",
    "logits_model",
    "match_data",
    "predict_keras",
    "read_run",
    "resume_run",
    "train_run",
]

_NEEDS_TENSORFLOW = {
    "KerasPredictions": "train.predict",
    "load_keras_model": "train.predict",
    "logits_model": "train.model",
    "predict_keras": "train.predict",
}


def __getattr__(name: str) -> object:
    if name not in _NEEDS_TENSORFLOW:
        raise AttributeError(f"module 'train' has no attribute '{name}'")
    with native_stderr_silenced():
        importlib.import_module("tensorflow")
    return getattr(importlib.import_module(_NEEDS_TENSORFLOW[name]), name)
