"""One phase of training: epochs until a plateau, the best weights at the end, and a stop when the loss runs away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from train.config import TrainConfig
from train.run_directory import EpochRow, Phase, RecipeEvent


@dataclass(frozen=True, slots=True)
class Examples:
    """`views` `[K, N, ...]` float32, K views of each of N pictures; `truth` `[N]` label indices."""

    views: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Guard:
    """Validation loss above `limit` ends the phase; `start_loss` is that of the weights it starts from."""

    limit: float
    start_loss: float


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """How a phase ended. The weights of `best_epoch` are in the model; 0 stands for those it began with."""

    best_loss: float
    best_epoch: int
    last_epoch: int
    diverged_at: int | None = None
    diverged_loss: float = math.nan


def fit_phase(
    model: keras.Model,
    train: Examples,
    validation: Examples,
    *,
    phase: Phase,
    first_epoch: int,
    epochs: int,
    rate: float,
    config: TrainConfig,
    rng: np.random.Generator,
    record: Callable[[EpochRow | RecipeEvent], None],
    guard: Guard | None = None,
) -> PhaseResult:
    """Train with a fresh Adam until validation loss has not improved by `min_delta` for `patience` epochs.

    An epoch sees each picture once, in a view drawn anew. The best weights by validation loss are restored, with a
    guard also those it started from. With a guard a loss that is above its limit or not a number stops the phase at
    once, with the starting weights restored.
    """
    _compile_afresh(model, rate)
    start = model.get_weights()
    best_weights, best_epoch = start, 0
    best_loss = guard.start_loss if guard else math.inf
    plateau_loss, waited = best_loss, 0
    epoch = first_epoch - 1
    for epoch in range(first_epoch, first_epoch + epochs):
        row = _epoch(model, train, validation, batch_size=config.batch_size, rng=rng, where=(phase, epoch), rate=rate)
        record(row)
        if guard and not row.val_loss <= guard.limit:
            model.set_weights(start)
            return PhaseResult(guard.start_loss, 0, epoch, diverged_at=epoch, diverged_loss=row.val_loss)
        if row.val_loss < best_loss:
            best_loss, best_epoch, best_weights = row.val_loss, epoch, model.get_weights()
        waited = 0 if row.val_loss < plateau_loss - config.min_delta else waited + 1
        plateau_loss = plateau_loss if waited else row.val_loss
        if waited >= config.patience:
            break
    model.set_weights(best_weights)
    reason = f"no better by {config.min_delta} for {config.patience} epochs" if waited >= config.patience else "ceiling"
    record(
        RecipeEvent(
            phase=phase,
            epoch=epoch,
            kind="plateau" if waited >= config.patience else "ceiling",
            reason=f"{reason}; weights of epoch {best_epoch} restored, validation loss {best_loss:.4f}",
            rate=rate,
        )
    )
    return PhaseResult(best_loss, best_epoch, epoch)


def _compile_afresh(model: keras.Model, rate: float) -> None:
    """A new Adam; on a later attempt the old one is emptied, which saves tracing the graph again."""
    if model.compiled:
        for variable in model.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        model.optimizer.learning_rate = rate
    else:
        adam = keras.optimizers.Adam(rate)
        model.compile(
            optimizer=adam,
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")],
        )


def _epoch(
    model: keras.Model,
    train: Examples,
    validation: Examples,
    *,
    where: tuple[Phase, int],
    rate: float,
    batch_size: int,
    rng: np.random.Generator,
) -> EpochRow:
    began = time.perf_counter()
    views, pictures = train.views.shape[:2]
    order = rng.permutation(pictures)
    drawn = train.views[rng.integers(views, size=pictures), order]
    history = model.fit(
        drawn,
        train.truth[order],
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        validation_data=(validation.views[0], validation.truth),
        validation_batch_size=256,
    ).history
    return EpochRow(
        phase=where[0],
        epoch=where[1],
        loss=history["cross_entropy"][0],
        accuracy=history["accuracy"][0],
        val_loss=history["val_cross_entropy"][0],
        val_accuracy=history["val_accuracy"][0],
        learning_rate=rate,
        seconds=time.perf_counter() - began,
    )
