"""Phase two: the top of the backbone, gently, under a guard that goes back when the loss runs away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from train.cache import Examples
from train.config import TrainConfig
from train.folds import by_validation
from train.guard import DivergedError, Guard, Record, at_falling_rates
from train.head import Heads
from train.journal import Journal, State
from train.plateau import Plateau
from train.run_record import EpochRow, RecipeEvent
from train.schedule import Rates
from train.top import Top, Weights


@dataclass(slots=True)
class _Attempt:
    """`best` are the weights to keep and `kept` is their epoch, None for those before."""

    rows: list[EpochRow]
    plateau: Plateau
    kept: EpochRow | None = None
    best: Weights | None = None
    diverged: str | None = None

    @property
    def epochs(self) -> int:
        return len(self.rows)


def fine_tune(
    top: Top,
    train: Examples,
    validation: Examples,
    heads: Heads,
    *,
    rate: float,
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
        rate: The first learning rate, the highest of an attempt whose rate falls.
        epochs: Train for that long and keep the end, because held-out sources said so; None ends on a plateau of the
            validation loss and keeps its best weights, which may be those from before. Where the rate falls there is
            no plateau: it goes to its end, which is kept if the validation loss is lower then than before.
        config: Ceiling, plateau, schedule of the rate.
        journal: Keeps the state of each attempt.
        record: Told of every epoch and decision.

    Returns:
        Whether the backbone has changed.
    """

    def attempt(stage: str, rate: float) -> _Attempt:
        return _try(top, train, validation, heads, stage, rate, epochs, config, journal, record)

    tried, rate = at_falling_rates(
        attempt,
        rate,
        stage="fine_tune",
        gives_up="phase one's model is kept",
        last_epoch=heads.last_epoch,
        record=record,
    )
    top.begin(heads.kernels[0], heads.biases[0], _rates(rate, epochs, config))
    if tried.best is not None:
        top.restore(tried.best)
    if tried.diverged is None:
        kept, reason = _kept(tried, heads, epochs)
        record(RecipeEvent(phase="fine_tune", epoch=kept, kind="kept", reason=reason, rate=rate))
    return tried.best is not None


def _rates(rate: float, epochs: int | None, config: TrainConfig) -> Rates:
    return Rates(config.fine_tune_schedule, rate, config.fine_tune_epochs if epochs is None else epochs)


def _kept(tried: _Attempt, heads: Heads, epochs: int | None) -> tuple[int, str]:
    """The epoch whose weights are kept, and why."""
    if tried.kept is None:
        return heads.last_epoch, "no epoch of phase two was better than phase one"
    if epochs is not None:
        return tried.kept.epoch, "trained for as long as it helped on held-out sources"
    before, now = heads.validation_loss, tried.kept.val_loss
    return tried.kept.epoch, f"validation loss {before:.4f} after phase one, {now:.4f} now"


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
    rates = _rates(rate, epochs, config)
    to_the_end = rates.falls or epochs is not None
    top.begin(heads.kernels[0], heads.biases[0], rates)

    def take(row: EpochRow, weights: Callable[[], Weights]) -> None:
        attempt.rows.append(row)
        record(row)
        keep = attempt.plateau.see(row.epoch, row.val_loss)
        if to_the_end:
            keep = attempt.epochs == rates.epochs and (epochs is not None or row.val_loss < heads.validation_loss)
        if keep:
            attempt.kept, attempt.best = row, weights()

    def result() -> State:
        facts = {"rows": [row.model_dump(mode="json") for row in attempt.rows], "diverged": attempt.diverged}
        return State(facts, {f"best.{i}": value for i, value in enumerate(attempt.best or [])})

    def state() -> State:
        return State(result().facts, result().arrays | {f"now.{i}": value for i, value in enumerate(top.state())})

    ended, earlier = journal.finished(stage), journal.under_way(stage)
    if stored := ended or earlier:
        best = [stored.arrays[f"best.{i}"] for i in range(len(top.trained)) if f"best.{i}" in stored.arrays]
        for fact in stored.facts["rows"]:
            take(EpochRow.model_validate(fact), lambda: best)
        attempt.best = best or None
        attempt.diverged = stored.facts["diverged"]
    if ended:
        return attempt
    folds = by_validation(train.views.pictures, validation.views.pictures)
    guard = Guard(top, train, validation, folds.judges[0], rates)
    if earlier:
        top.restore([earlier.arrays[f"now.{i}"] for i in range(len(top.state()))])
    while attempt.diverged is None and attempt.epochs < rates.epochs and (to_the_end or not attempt.plateau.ended):
        began = time.perf_counter()
        number = attempt.epochs + 1
        try:
            loss, accuracy, said = guard.epoch(folds.learns[0], stage, number)
        except DivergedError as error:
            attempt.diverged, attempt.best = str(error), None
            break
        row = EpochRow(
            phase="fine_tune",
            epoch=heads.last_epoch + number,
            loss=loss,
            accuracy=accuracy,
            val_loss=float(said.losses.mean()),
            val_accuracy=float(said.right.mean()),
            learning_rate=rates.of_epoch(number),
            seconds=time.perf_counter() - began,
        )
        take(row, top.weights)
        journal.save(stage, state)
    journal.finish(stage, result())
    return attempt
