"""The end of the network on cached activations: what phase two trains, and nothing before it is computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.boundary import single_tensor_cut
from train.cache import Examples
from train.config import TrainConfig
from train.journal import stage_rng
from train.schedule import Rates

CHECK_EVERY_STEPS = 8
"""How often the guard looks, within an epoch."""
EVALUATED_AT_ONCE = 256

Weights = list[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a few steps showed: sums over `pictures` of cross-entropy and of right answers; `step` counts from 1."""

    step: int
    pictures: int
    loss: float
    right: float


class Top:
    """Layers from a cut to the features, and a head, trained from a boundary on.

    What is trainable is exactly what was asked for: the layers from `boundary` on, although the cut may lie earlier.
    Batch normalisation is frozen as a whole. Its moving statistics stand for the pictures that the backbone learned
    from, a few hundred new ones would only blur them; and Keras lets `training=True` of an outer call reach a nested
    model that was called with `training=False`, so that only a frozen layer is sure to leave them alone.
    """

    def __init__(self, backbone: keras.Model, boundary: int, labels: int, config: TrainConfig) -> None:
        """Build the graph; the weights stay the backbone's own.

        Args:
            backbone: Every layer frozen. `begin` unfreezes those from `boundary` on, `freeze` closes them again.
            boundary: First layer that may change.
            labels: Of the head.
            config: Rate, dropout, batch size, seed.
        """
        self._backbone, self._config = backbone, config
        self._opened = [
            layer for layer in backbone.layers[boundary:] if not isinstance(layer, keras.layers.BatchNormalization)
        ]
        self._open(True)
        border = backbone.layers[single_tensor_cut(backbone, boundary) - 1].output
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
        self._features = keras.Model(border, pooled)
        self._kernel = keras.Variable(np.zeros((pooled.shape[-1], labels), np.float32))
        self._bias = keras.Variable(np.zeros(labels, np.float32))
        self.trained: list[Any] = [*self._features.trainable_variables, self._kernel, self._bias]
        """Every variable that steps may change."""
        self._untouched = [variable.numpy() for variable in self._features.trainable_variables]
        self._rates = Rates("constant", config.fine_tune_rate, config.fine_tune_epochs)
        self._adam = keras.optimizers.Adam(config.fine_tune_rate)
        self._adam.build(self.trained)
        shape = tuple(border.shape[1:])
        self._steps = tf.function(
            self._take_steps,
            input_signature=[
                tf.TensorSpec((None, None, *shape), tf.float32),
                tf.TensorSpec((None, None), tf.int64),
                tf.TensorSpec((None, None), tf.float32),
                tf.TensorSpec(2, tf.int64),
            ],
        )
        self._logits = tf.function(self._take_logits, input_signature=[tf.TensorSpec((None, *shape), tf.float32)])
        self._open(False)

    def freeze(self) -> None:
        """Close what was opened, with the weights it has now."""
        self._open(False)

    def put_back(self) -> None:
        """Close what was opened, with the weights it had before."""
        for variable, value in zip(self.trained, self._untouched, strict=False):
            variable.assign(value)
        self._open(False)

    def begin(self, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], rates: Rates) -> None:
        """The backbone as it was, this head, and a fresh Adam at these rates."""
        self._open(True)
        for variable, value in zip(self.trained, [*self._untouched, kernel, bias], strict=True):
            variable.assign(value)
        for variable in self._adam.variables:
            variable.assign(np.zeros(variable.shape))
        self._rates = rates

    def weights(self) -> Weights:
        """Of `trained`."""
        return [variable.numpy() for variable in self.trained]

    def state(self) -> Weights:
        """All that the next step depends on."""
        return [variable.numpy() for variable in (*self.trained, *self._adam.variables)]

    def restore(self, state: Weights) -> None:
        """Take what `weights` or `state` gave."""
        for variable, value in zip((*self.trained, *self._adam.variables), state, strict=False):
            variable.assign(value)

    def epoch(self, examples: Examples, learns: npt.NDArray[np.bool_], stage: str, number: int) -> Iterator[Shown]:
        """One pass over the pictures that `learns` `[N]` names, each in a view drawn anew, a few steps at a time.

        These few have one rate, that of their middle.
        """
        rng = stage_rng(self._config.seed, stage, number)
        order = rng.permutation(examples.views.pictures)
        views = rng.integers(examples.views.views, size=len(order))
        order, views = order[learns[order]], views[learns[order]]
        batch = self._config.batch_size
        at_once = CHECK_EVERY_STEPS * batch
        for at in range(0, len(order), at_once):
            rows, drawn = order[at : at + at_once], views[at : at + at_once]
            n, short = len(rows), -len(rows) % batch
            rows, drawn = np.pad(rows, (0, short), mode="edge"), np.pad(drawn, (0, short), mode="edge")
            counts = np.pad(np.ones(n, np.float32), (0, short))
            parts = [examples.views.gather(drawn, rows), examples.truth[rows], counts]
            self._adam.learning_rate = self._rates.at(number - 1 + (at + n / 2) / len(order))
            chance = tf.constant([self._config.seed, number * 2**32 + at], tf.int64)
            loss, right = self._steps(*(tf.constant(p.reshape(-1, batch, *p.shape[1:])) for p in parts), chance)
            yield Shown((at + len(rows)) // batch, n, float(loss), float(right))

    def logits(self, examples: Examples, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """What pictures are answered as they are, `[n, labels]`."""
        answers = [np.empty((0, self._bias.shape[0]), np.float32)]
        for at in range(0, len(rows), EVALUATED_AT_ONCE):
            some = rows[at : at + EVALUATED_AT_ONCE]
            activations = tf.constant(examples.views.gather(np.zeros_like(some), some))
            answers.append(self._logits(activations).numpy())
        return np.concatenate(answers)

    def _open(self, trainable: bool) -> None:
        for layer in self._opened:
            layer.trainable = trainable

    def _take_logits(self, activations: Any) -> Any:
        return tf.matmul(self._features(activations, training=False), self._kernel.value) + self._bias.value

    def _take_steps(self, activations: Any, truth: Any, counts: Any, seed: Any) -> Any:
        """One Adam step a batch: `activations` `[S, B, ...]`, `truth` and `counts` `[S, B]`."""
        loss, right = tf.constant(0.0), tf.constant(0.0)
        keep = 1.0 - self._config.dropout
        for step in tf.range(tf.shape(activations, tf.int64)[0]):
            with tf.GradientTape() as tape:
                features = self._features(activations[step], training=False)
                place = seed + tf.stack([tf.zeros_like(step), step])
                chance = tf.random.stateless_uniform(tf.shape(features), place)
                kept = features * tf.cast(chance < keep, tf.float32) / keep
                logits = tf.matmul(kept, self._kernel.value) + self._bias.value
                entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(truth[step], logits) * counts[step]
                total = tf.reduce_sum(entropy) / tf.reduce_sum(counts[step])
            self._adam.apply(tape.gradient(total, [one.value for one in self.trained]), self.trained)
            loss += tf.reduce_sum(entropy)
            right += tf.reduce_sum(
                tf.cast(tf.equal(tf.argmax(logits, axis=-1), truth[step]), tf.float32) * counts[step]
            )
        return loss, right
