"""How much of the backbone to unfreeze: each boundary is tried on cached activations and must beat leaving it alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.cache import Examples
from train.config import TrainConfig
from train.fine_tune import DivergedError, guarded_epoch, limit
from train.folds import Folds, Verdict, mean_loss
from train.head import Heads
from train.journal import Journal, State
from train.plateau import Plateau
from train.run_record import Candidate, Choice, Judgement
from train.top import Top, Weights

NOISE_FACTOR = 2.0
"""Unfreezing must win by this many standard errors: about one chance in forty for one that changes nothing."""
PROMISING_FACTOR = 1.0
PROMISING_AFTER = 2
"""A boundary that after this many epochs is not even so many standard errors ahead is not trained any longer."""
PATIENCE = 2


@dataclass(slots=True)
class _Trial:
    """`judged` is of the best epoch, or of the last one where none was better than before the phase."""

    plateau: Plateau
    judged: tuple[Verdict, ...]
    epochs: int = 0
    stopped: str | None = None


def choose_boundary(
    tops: Mapping[int, Top],
    caches: Mapping[int, tuple[Examples, Examples]],
    heads: Heads,
    folds: Folds,
    *,
    layers: Sequence[str],
    asked_for: bool,
    config: TrainConfig,
    journal: Journal,
    progress: Callable[[int, int], None],
) -> Choice:
    """Try each boundary and take the one whose judges' loss is lowest, or none.

    Args:
        tops: By boundary.
        caches: By boundary, activations at its cut of train (K views) and validation.
        heads: Phase one's, a head a fold; each trial begins there and is compared with it.
        folds: Each judge's fold is trained in turn and judged on what it has not learned from.
        layers: Names of the backbone's layers.
        asked_for: A boundary that a person named need only be no worse, not better by more than noise.
        config: Rate, ceiling of epochs.
        journal: Keeps the state of each trial.
        progress: Told how many boundaries of how many are done.
    """
    rows = [_candidate(None, layers, 0, heads.judged, heads.judged, folds, "")]
    for done, (boundary, top) in enumerate(tops.items()):
        progress(done, len(tops))
        trial = _try(top, *caches[boundary], heads, folds, f"search-{boundary}", asked_for, config, journal)
        top.put_back()
        reason = trial.stopped or ""
        rows.append(
            _candidate(boundary, layers, trial.plateau.best_epoch or 0, trial.judged, heads.judged, folds, reason)
        )
    progress(len(tops), len(tops))
    factor = 0.0 if asked_for else NOISE_FACTOR
    winners = [row for row in rows[1:] if row.better_by > factor * row.noise]
    best = min(winners, key=lambda row: row.loss, default=rows[0])
    return Choice(
        select_by=folds.select_by,
        sources=folds.sources,
        candidates=tuple(_with_verdict(row, best, factor) for row in rows),
    )


def _with_verdict(row: Candidate, best: Candidate, factor: float) -> Candidate:
    if row is best:
        reason = "lowest loss" if row.boundary is not None else "no boundary beats leaving the backbone alone"
    elif row.boundary is None:
        reason = "beaten"
    elif row.reason:
        reason = row.reason
    elif row.better_by <= 0:
        reason = f"worse by {-row.better_by:.4f}"
    elif row.better_by <= factor * row.noise:
        reason = f"better by {row.better_by:.4f}, within {factor:g} standard errors ({factor * row.noise:.4f})"
    else:
        reason = "another is better"
    return row.model_copy(update={"chosen": row is best, "reason": reason})


def _candidate(
    boundary: int | None,
    layers: Sequence[str],
    epochs: int,
    judged: tuple[Verdict, ...],
    before: tuple[Verdict, ...],
    folds: Folds,
    reason: str,
) -> Candidate:
    better_by, noise = paired_gain(judged, before)
    return Candidate(
        boundary=boundary,
        layer="nothing unfrozen" if boundary is None else layers[boundary],
        share=0.0 if boundary is None else 1 - boundary / len(layers),
        epochs=epochs,
        loss=mean_loss(judged),
        by_judge={
            judge.name: Judgement(pictures=len(one.right), loss=one.losses.mean(), accuracy=one.right.mean())
            for judge, one in zip(folds.judges, judged, strict=True)
        },
        better_by=better_by,
        noise=noise,
        chosen=False,
        reason=reason,
    )


def paired_gain(after: Sequence[Verdict], before: Sequence[Verdict]) -> tuple[float, float]:
    """How much lower losses are than before, and its standard error, over judges or one judge's pictures.

    Args:
        after: What each judge says now.
        before: What it said of the same pictures before.
    """
    gains = [old.losses - new.losses for old, new in zip(before, after, strict=True)]
    paired = gains[0] if len(gains) == 1 else np.array([one.mean() for one in gains])
    if len(paired) < 2:
        return float(paired.mean()), math.inf
    return float(paired.mean()), float(paired.std(ddof=1) / math.sqrt(len(paired)))


def _try(
    top: Top,
    train: Examples,
    validation: Examples,
    heads: Heads,
    folds: Folds,
    stage: str,
    asked_for: bool,
    config: TrainConfig,
    journal: Journal,
) -> _Trial:
    """All folds an epoch each, then the next epoch, so that a hopeless boundary is given up early."""
    trial = _Trial(Plateau(PATIENCE, 0.0, best_loss=mean_loss(heads.judged)), heads.judged)
    states: list[Weights] = []
    for judge in folds.judges:
        top.begin(heads.kernels[judge.fold], heads.biases[judge.fold], config.fine_tune_rate)
        states.append(top.state())
    curve: list[float] = []

    def take(judged: tuple[Verdict, ...]) -> None:
        curve.append(mean_loss(judged))
        trial.epochs += 1
        if trial.plateau.see(trial.epochs, curve[-1]) or trial.plateau.best_epoch is None:
            trial.judged = judged
        gain, noise = paired_gain(judged, heads.judged)
        if trial.epochs == PROMISING_AFTER and not asked_for and not gain > PROMISING_FACTOR * noise:
            words = f"better by {gain:.4f}" if gain > 0 else f"worse by {-gain:.4f}"
            trial.stopped = f"{words} ± {noise:.4f} after {trial.epochs} epochs: not worth more"

    def result() -> State:
        arrays: dict[str, npt.NDArray[Any]] = {f"losses.{j}": one.losses for j, one in enumerate(trial.judged)}
        arrays |= {f"right.{j}": one.right for j, one in enumerate(trial.judged)}
        return State({"curve": curve, "epochs": trial.epochs, "stopped": trial.stopped}, arrays)

    def state() -> State:
        now = {f"now.{j}.{i}": value for j, one in enumerate(states) for i, value in enumerate(one)}
        return State(result().facts, result().arrays | now)

    ended = journal.finished(stage)
    if earlier := ended or journal.under_way(stage):
        for epoch, loss in enumerate(earlier.facts["curve"], start=1):
            trial.plateau.see(epoch, loss)
        curve, trial.epochs = earlier.facts["curve"], earlier.facts["epochs"]
        trial.stopped = earlier.facts["stopped"]
        trial.judged = tuple(
            Verdict(earlier.arrays[f"losses.{j}"], earlier.arrays[f"right.{j}"]) for j in range(len(folds.judges))
        )
        if not ended:
            states = [[earlier.arrays[f"now.{j}.{i}"] for i in range(len(one))] for j, one in enumerate(states)]
    while not ended and trial.stopped is None and trial.epochs < config.fine_tune_epochs and not trial.plateau.ended:
        try:
            judged = []
            for j, judge in enumerate(folds.judges):
                top.restore(states[j])
                guarded_epoch(top, train, folds.learns[judge.fold], f"{stage}-{j}", trial.epochs + 1)
                parts = (top.losses(train, judge.train_rows), top.losses(validation, judge.validation_rows))
                judged.append(Verdict(*(np.concatenate(both) for both in zip(*parts, strict=True))))
                found, allowed = judged[-1].losses.mean(), limit(heads.judged[j].losses.mean())
                if not found <= allowed:
                    raise DivergedError(f"loss {found:.4g} on {judge.name}, above {allowed:.4g}")
                states[j] = top.state()
            take(tuple(judged))
        except DivergedError as error:
            trial.stopped = f"diverged: {error}"
        journal.save(stage, state)
    journal.finish(stage, result())
    return trial
