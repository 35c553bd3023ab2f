"""Phase two: the top of the backbone, gently, under a guard that goes back when the loss runs away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.cache import Examples
from train.config import TrainConfig
from train.head import Heads
from train.journal import Journal, State
from train.plateau import Plateau
from train.run_record import EpochRow, RecipeEvent
from train.top import Top, Weights

RETRIES = 3
RETRY_RATE_FACTOR = 0.3
JUMP_FACTOR = 1.5
JUMP_MARGIN = 0.05
"""Phase two has diverged when a loss exceeds that before it times the factor plus the margin."""
PROBE_PICTURES = 64
"""Validation pictures that the guard looks at every few steps; the whole split is looked at after an epoch."""

Record = Callable[[EpochRow | RecipeEvent], None]


class DivergedError(Exception):
    """Training ran away; the message says where and how far."""


def limit(loss_before: float) -> float:
    """What a loss may rise to."""
    return loss_before * JUMP_FACTOR + JUMP_MARGIN


def guarded_epoch(
    top: Top,
    train: Examples,
    learns: npt.NDArray[np.bool_],
    stage: str,
    epoch: int,
    probe: Callable[[], float] | None = None,
    probe_limit: float = math.inf,
) -> tuple[float, float]:
    """Cross-entropy and accuracy of one epoch.

    Raises:
        DivergedError: A loss is not a number, or the probe is above its limit; within the epoch, at once.
    """
    loss, right, pictures = 0.0, 0.0, 0
    for shown in top.epoch(train, learns, stage, epoch):
        loss, right, pictures = loss + shown.loss, right + shown.right, pictures + shown.pictures
        if not math.isfinite(loss):
            raise DivergedError(f"step {shown.step}: the training loss is not a number")
        if probe is not None and not (found := probe()) <= probe_limit:
            raise DivergedError(
                f"step {shown.step}: loss {found:.4g} on a sample of validation, above {probe_limit:.4g}"
            )
    return loss / pictures, right / pictures


@dataclass(slots=True)
class _Attempt:
    """`stopped` says where and why it diverged; otherwise `best` are the weights to keep, None for those before."""

    rows: list[EpochRow]
    plateau: Plateau
    best: Weights | None = None
    stopped: str | None = None


def fine_tune(
    top: Top,
    train: Examples,
    validation: Examples,
    heads: Heads,
    *,
    epochs: int | None,
    config: TrainConfig,
    journal: Journal,
    record: Record,
) -> bool:
    """Train `top` from the head of fold 0 on, begun again at a lower rate when it diverges.

    Args:
        top: Left with the weights that the run keeps, the head's among them.
        train: Activations at the cut, K views.
        validation: The same of the validation pictures, one view; the guard looks at them.
        heads: Where to begin.
        epochs: Train for that long and keep the end, because held-out sources said so; None ends on a plateau of the
            validation loss and keeps its best weights, which may be those from before.
        config: Rate, ceiling, plateau.
        journal: Keeps the state of each attempt.
        record: Told of every epoch and decision.

    Returns:
        Whether the backbone has changed.
    """
    rate = config.fine_tune_rate
    for attempt in range(RETRIES + 1):
        tried = _try(top, train, validation, heads, f"fine_tune-{attempt}", rate, epochs, config, journal, record)
        last = heads.last_epoch + len(tried.rows)
        if tried.stopped is None:
            break
        gave_up = attempt == RETRIES
        outcome = "phase one's model is kept" if gave_up else f"again at {RETRY_RATE_FACTOR} times the rate"
        reason = f"{tried.stopped}; the weights from before are back, {outcome}"
        kind = "gave_up" if gave_up else "diverged"
        record(RecipeEvent(phase="fine_tune", epoch=last + 1, kind=kind, reason=reason, rate=rate))
        rate *= RETRY_RATE_FACTOR
    top.begin(heads.kernels[0], heads.biases[0], rate)
    if tried.best is None:
        kept, reason = heads.last_epoch, "no epoch of phase two was better than phase one"
    elif epochs is None:
        kept = tried.plateau.best_epoch or last
        reason = f"validation loss {heads.validation_loss:.4f} after phase one, {tried.plateau.best_loss:.4f} now"
    else:
        kept, reason = last, "trained for as long as it helped on held-out sources"
    if tried.best is not None:
        top.restore(tried.best)
    if tried.stopped is None:
        record(RecipeEvent(phase="fine_tune", epoch=kept, kind="kept", reason=reason, rate=rate))
    return tried.best is not None


def _try(
    top: Top,
    train: Examples,
    validation: Examples,
    heads: Heads,
    stage: str,
    rate: float,
    epochs: int | None,
    config: TrainConfig,
    journal: Journal,
    record: Record,
) -> _Attempt:
    attempt = _Attempt([], Plateau(config.patience, config.min_delta, best_loss=heads.validation_loss))
    top.begin(heads.kernels[0], heads.biases[0], rate)
    everything = np.arange(validation.views.pictures)
    sample = everything[:: math.ceil(len(everything) / PROBE_PICTURES)]
    sample_limit = limit(float(top.losses(validation, sample)[0].mean()))

    def take(row: EpochRow, weights: Callable[[], Weights]) -> None:
        attempt.rows.append(row)
        record(row)
        better = attempt.plateau.see(row.epoch, row.val_loss)
        if better if epochs is None else len(attempt.rows) == epochs:
            attempt.best = weights()

    def result() -> State:
        facts = {"rows": [row.model_dump(mode="json") for row in attempt.rows], "stopped": attempt.stopped}
        return State(facts, {f"best.{i}": value for i, value in enumerate(attempt.best or [])})

    def state() -> State:
        return State(result().facts, result().arrays | {f"now.{i}": value for i, value in enumerate(top.state())})

    ended = journal.finished(stage)
    if earlier := ended or journal.under_way(stage):
        stored = [earlier.arrays[f"best.{i}"] for i in range(len(top.trained)) if f"best.{i}" in earlier.arrays]
        for fact in earlier.facts["rows"]:
            take(EpochRow.model_validate(fact), lambda: stored)
        attempt.best = stored or None
        attempt.stopped = earlier.facts["stopped"]
        if ended:
            return attempt
        top.restore([earlier.arrays[f"now.{i}"] for i in range(len(top.state()))])
    learns = np.ones(train.views.pictures, bool)
    ceiling = config.fine_tune_epochs if epochs is None else epochs
    while attempt.stopped is None and len(attempt.rows) < ceiling and not (epochs is None and attempt.plateau.ended):
        began = time.perf_counter()
        number = len(attempt.rows) + 1
        epoch = heads.last_epoch + number
        try:
            loss, accuracy = guarded_epoch(
                top, train, learns, stage, number, lambda: float(top.losses(validation, sample)[0].mean()), sample_limit
            )
            losses, right = top.losses(validation, everything)
            if not losses.mean() <= limit(heads.validation_loss):
                found, allowed = losses.mean(), limit(heads.validation_loss)
                raise DivergedError(f"end of the epoch: validation loss {found:.4g}, above {allowed:.4g}")
        except DivergedError as error:
            attempt.stopped, attempt.best = str(error), None
            break
        row = EpochRow(
            phase="fine_tune",
            epoch=epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=float(losses.mean()),
            val_accuracy=float(right.mean()),
            learning_rate=rate,
            seconds=time.perf_counter() - began,
        )
        take(row, top.weights)
        journal.save(stage, state)
    journal.finish(stage, result())
    return attempt
