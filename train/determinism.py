"""The same weights, bit for bit, from the same seed on the same machine."""

from __future__ import annotations

import os
from contextlib import suppress

import keras
import tensorflow as tf


def make_deterministic(seed: int) -> int:
    """Fix every source of chance; returns the number of threads, which the weights depend on."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # TensorFlow has started already, with the threads of an earlier call
        tf.config.threading.set_intra_op_parallelism_threads(os.cpu_count() or 1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return int(tf.config.threading.get_intra_op_parallelism_threads())
