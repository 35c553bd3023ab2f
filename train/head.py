"""Phase one: linear heads on cached features, one for each fold, all in lockstep as one matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.cache import Examples, Views
from train.config import TrainConfig
from train.folds import Folds, Verdict, mean_loss
from train.journal import Journal, State, stage_rng
from train.plateau import Plateau
from train.run_record import EpochRow, RecipeEvent

STAGE = "head"
GATHERED_AT_ONCE = 4096
"""Pictures whose features are taken from the cache at a time."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads on plain features as they were in the best epoch, and what that epoch was like.

    `kernels` `[F, channels, labels]`, `biases` `[F, labels]`, a head a fold; `judged` is what each judge said.
    """

    kernels: Array
    biases: Array
    judged: tuple[Verdict, ...]
    validation_loss: float
    last_epoch: int


def train_heads(
    train: Examples,
    validation: Examples,
    folds: Folds,
    *,
    labels: int,
    config: TrainConfig,
    journal: Journal,
    record: Callable[[EpochRow | RecipeEvent], None],
) -> Heads:
    """Train until the judges' loss has not fallen by `min_delta` for `patience` epochs; keep the best epoch's heads.

    An epoch sees each picture once, in a view drawn anew. All folds see the same batches, each blind to the pictures
    that it must not learn from.

    Args:
        train: Pooled features of K views of each training picture.
        validation: Those of the validation pictures, one view.
        folds: Who learns from what, and who judges.
        labels: How many.
        config: Rate, penalty, dropout, batch size, ceiling and plateau.
        journal: Keeps the state.
        record: Told of every epoch and of the end.
    """
    learner = _Learner(train, folds, labels, config)
    plateau = Plateau(config.patience, config.min_delta)
    rows: list[EpochRow] = []
    now, best = learner.state(), learner.state()

    def take(row: EpochRow) -> bool:
        rows.append(row)
        record(row)
        return plateau.see(row.epoch, row.val_loss if row.source_loss is None else row.source_loss)

    def state() -> State:
        arrays = {
            f"{name}.{i}": value for name, values in (("now", now), ("best", best)) for i, value in enumerate(values)
        }
        return State({"rows": [row.model_dump(mode="json") for row in rows]}, arrays)

    if earlier := journal.finished(STAGE) or journal.under_way(STAGE):
        for fact in earlier.facts["rows"]:
            take(EpochRow.model_validate(fact))
        now, best = ([earlier.arrays[f"{name}.{i}"] for i in range(len(now))] for name in ("now", "best"))
        learner.restore(now)
    while len(rows) < config.epochs and not plateau.ended:
        began = time.perf_counter()
        loss, accuracy = learner.epoch(len(rows) + 1)
        judged, on_validation = learner.judge(validation)
        now = learner.state()
        row = EpochRow(
            phase="head",
            epoch=len(rows) + 1,
            loss=loss,
            accuracy=accuracy,
            val_loss=float(on_validation.losses.mean()),
            val_accuracy=float(on_validation.right.mean()),
            source_loss=mean_loss(judged) if folds.sources else None,
            learning_rate=config.head_rate,
            seconds=time.perf_counter() - began,
        )
        if take(row):
            best = now
        journal.save(STAGE, state)
    journal.finish(STAGE, state())
    why = f"no better by {config.min_delta} for {config.patience} epochs" if plateau.ended else "ceiling"
    record(
        RecipeEvent(
            phase="head",
            epoch=len(rows),
            kind="plateau" if plateau.ended else "ceiling",
            reason=f"{why}; weights of epoch {plateau.best_epoch} restored, loss on "
            f"{'held-out sources' if folds.sources else 'validation'} {plateau.best_loss:.4f}",
            rate=config.head_rate,
        )
    )
    learner.restore(best)
    judged, on_validation = learner.judge(validation)
    return Heads(*learner.plain(), judged, float(on_validation.losses.mean()), len(rows))


class _Learner:
    """F heads as one kernel `[channels, F * labels]` on features moved to mean 0 and scaled to unit spread.

    One rate and one penalty then suit every backbone; the features of a random one are as small as 1e-11.
    """

    def __init__(self, train: Examples, folds: Folds, labels: int, config: TrainConfig) -> None:
        self._train, self._folds, self._config = train, folds, config
        self._shape = (len(folds.learns), labels)
        self._centre, self._spread = _mean_and_spread(train.views)
        channels = train.views.shape[0]
        glorot = keras.initializers.GlorotUniform(seed=config.seed)((channels, labels))
        self._kernel = keras.Variable(np.tile(glorot, self._shape[0]))
        self._bias = keras.Variable(np.zeros(self._shape[0] * labels, np.float32))
        self._adam = keras.optimizers.Adam(config.head_rate)
        self._adam.build([self._kernel, self._bias])
        steps = [
            tf.TensorSpec((None, None, channels), tf.float32),
            tf.TensorSpec((None, None), tf.int64),
            tf.TensorSpec((None, None, self._shape[0]), tf.float32),
            tf.TensorSpec(2, tf.int64),
        ]
        self._steps = tf.function(self._take_steps, input_signature=steps)
        self._logits = tf.function(self._take_logits, input_signature=[tf.TensorSpec((None, channels), tf.float32)])

    def state(self) -> list[npt.NDArray[Any]]:
        return [variable.numpy() for variable in self._variables()]

    def restore(self, state: list[npt.NDArray[Any]]) -> None:
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def plain(self) -> tuple[Array, Array]:
        """Kernels and biases that do the same on features as they come."""
        folds, labels = self._shape
        kernels = self._kernel.numpy().reshape(-1, folds, labels).transpose(1, 0, 2) / self._spread
        return kernels, self._bias.numpy().reshape(folds, labels) - self._centre @ kernels

    def epoch(self, number: int) -> tuple[float, float]:
        """Cross-entropy and accuracy of fold 0 on what it was shown."""
        rng = stage_rng(self._config.seed, STAGE, number)
        n, batch = self._train.views.pictures, self._config.batch_size
        order = rng.permutation(n)
        views = rng.integers(self._train.views.views, size=n)
        loss = right = 0.0
        at_once = max(GATHERED_AT_ONCE // batch, 1) * batch
        for at in range(0, n, at_once):
            rows, drawn = order[at : at + at_once], views[at : at + at_once]
            short = -len(rows) % batch
            learns = np.pad(self._folds.learns[:, rows].T.astype(np.float32), ((0, short), (0, 0)))
            rows, drawn = np.pad(rows, (0, short), mode="edge"), np.pad(drawn, (0, short), mode="edge")
            block: list[npt.NDArray[Any]] = [
                self._standard(self._train.views.gather(drawn, rows)),
                self._train.truth[rows],
                learns,
            ]
            steps = [tf.constant(part.reshape(-1, batch, *part.shape[1:])) for part in block]
            chance = tf.constant([self._config.seed, number * 2**32 + at], tf.int64)
            one_loss, one_right = self._steps(*steps, chance)
            loss, right = loss + float(one_loss), right + float(one_right)
        return loss / n, right / n

    def judge(self, validation: Examples) -> tuple[tuple[Verdict, ...], Verdict]:
        """What each judge says, and what fold 0 answers on the validation split."""
        rows = np.unique(np.concatenate([judge.train_rows for judge in self._folds.judges]))
        on_train = np.empty((self._train.views.pictures, *self._shape), np.float32)
        on_train[rows] = self._answers(self._train, rows)
        on_validation = self._answers(validation, np.arange(len(validation.truth)))
        judged = tuple(
            Verdict(
                np.concatenate(
                    [on_train[judge.train_rows, judge.fold], on_validation[judge.validation_rows, judge.fold]]
                ),
                np.concatenate([self._train.truth[judge.train_rows], validation.truth[judge.validation_rows]]),
            )
            for judge in self._folds.judges
        )
        return judged, Verdict(on_validation[:, 0], validation.truth)

    def _answers(self, examples: Examples, rows: npt.NDArray[np.int64]) -> Array:
        """Logits of every fold for pictures as they are, `[n, F, labels]`."""
        answers = [np.empty((0, *self._shape), np.float32)]
        for at in range(0, len(rows), GATHERED_AT_ONCE):
            some = rows[at : at + GATHERED_AT_ONCE]
            features = self._standard(examples.views.gather(np.zeros_like(some), some))
            answers.append(self._logits(tf.constant(features)).numpy())
        return np.concatenate(answers)

    def _standard(self, features: Array) -> Array:
        return (features - self._centre) / self._spread

    def _variables(self) -> list[Any]:
        return [self._kernel, self._bias, *self._adam.variables]

    def _take_logits(self, features: Any) -> Any:
        flat = tf.matmul(features, self._kernel.value) + self._bias.value
        return tf.reshape(flat, (-1, *self._shape))

    def _take_steps(self, features: Any, truth: Any, learns: Any, seed: Any) -> Any:
        """One Adam step a batch: `features` `[S, B, channels]`, `truth` `[S, B]`, `learns` `[S, B, F]`."""
        loss, right = tf.constant(0.0), tf.constant(0.0)
        keep = 1.0 - self._config.dropout
        shown = learns[..., 0]  # fold 0 learns from all; what fills up the last batch is nobody's
        for step in tf.range(tf.shape(features, tf.int64)[0]):
            chance = tf.random.stateless_uniform(tf.shape(features[step]), seed + tf.stack([tf.zeros_like(step), step]))
            kept = features[step] * tf.cast(chance < keep, tf.float32) / keep
            with tf.GradientTape() as tape:
                logits = self._take_logits(kept)
                answers = tf.repeat(truth[step][:, None], self._shape[0], axis=1)
                entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(answers, logits)
                learned = tf.reduce_sum(entropy * learns[step], axis=0)
                each = learned / tf.maximum(tf.reduce_sum(learns[step], axis=0), 1.0)
                penalty = self._config.head_decay * tf.reduce_sum(self._kernel.value**2)
                total = tf.reduce_sum(each) + penalty
            variables = [self._kernel, self._bias]
            self._adam.apply(tape.gradient(total, [one.value for one in variables]), variables)
            loss += tf.reduce_sum(entropy[:, 0] * shown[step])
            hit = tf.cast(tf.equal(tf.argmax(logits[:, 0], axis=-1), truth[step]), tf.float32)
            right += tf.reduce_sum(hit * shown[step])
        return loss, right


def _mean_and_spread(views: Views) -> tuple[Array, float]:
    """Mean of each channel, and the mean over channels of their standard deviations, over all views."""
    total, squares, count = np.zeros(views.shape), np.zeros(views.shape), 0
    for block in _all_views(views):
        total += block.sum(axis=0, dtype=np.float64)
        count += len(block)
    mean = total / count
    for block in _all_views(views):
        squares += ((block - mean) ** 2).sum(axis=0)
    return mean.astype(np.float32), float(np.sqrt(squares / count).mean())


def _all_views(views: Views) -> Iterator[Array]:
    for view in range(views.views):
        for at in range(0, views.pictures, GATHERED_AT_ONCE):
            rows = np.arange(at, min(at + GATHERED_AT_ONCE, views.pictures))
            yield views.gather(np.full(len(rows), view), rows)
