"""How much of the backbone to unfreeze: each boundary is tried on cached activations and must beat leaving it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from train.cache import Examples
from train.config import TrainConfig
from train.folds import Folds, Verdict, mean_loss
from train.gain import in_words, paired_gain
from train.guard import DivergedError, Guard, Record, at_falling_rates
from train.head import Heads
from train.journal import Journal, State
from train.plateau import Plateau
from train.run_record import Candidate, Choice, Judgement
from train.schedule import Rates
from train.top import Top, Weights

PROMISING_FACTOR = 1.0
PROMISING_AFTER = 2
"""A boundary that after this many epochs is not even so many standard errors ahead is not trained any longer."""
PATIENCE = 2


@dataclass(slots=True)
class _Trial:
    """A boundary at a rate. `judged` is of the best epoch, or of the last where none was better or the rate falls."""

    plateau: Plateau
    judged: tuple[Verdict, ...]
    epochs: int = 0
    hopeless: str | None = None
    diverged: str | None = None


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
    record: Record,
    progress: Callable[[int, int], None],
) -> tuple[Choice, tuple[Verdict, ...]]:
    """Try each boundary and take the one whose judges' loss is lowest, or none.

    A boundary must beat phase one by more than chance lets the best of so many do (`train.gain`); one that a person
    named need only be better at all. Each is tried under the guard that watches phase two, at falling rates where it
    diverges. Where the rate falls, a trial goes to its end, which is what is judged: a rate that is still high says
    little of what it will come to.

    Args:
        tops: By boundary.
        caches: By boundary, activations at its cut of train (K views) and validation.
        heads: Phase one's, a head a fold; each trial begins there and is compared with it.
        folds: Each judge's fold is trained in turn and judged on what it has not learned from.
        layers: Names of the backbone's layers.
        asked_for: Whether a person named the boundary.
        config: First rate, ceiling of epochs.
        journal: Keeps the state of each trial.
        record: Told of every divergence.
        progress: Told how many boundaries of how many are done.

    Returns:
        The choice, and what the judges said of what it leaves.
    """
    nothing = _candidate(None, layers, heads.judged, heads, folds)
    rows, said = [nothing], [heads.judged]
    for done, (boundary, top) in enumerate(tops.items()):
        progress(done, len(tops))
        trial, rate = at_falling_rates(
            partial(_try, top, *caches[boundary], heads, folds, asked_for, config, journal),
            config.fine_tune_rate,
            stage=f"search-{boundary}",
            of=f"from {layers[boundary]} on: ",
            gives_up="not taken",
            last_epoch=heads.last_epoch,
            record=record,
        )
        top.put_back()
        row = _candidate(boundary, layers, trial.judged, heads, folds)
        reason = f"diverged: {trial.diverged}" if trial.diverged else trial.hopeless or ""
        falls = Rates(config.fine_tune_schedule, rate, config.fine_tune_epochs).falls
        epochs = trial.epochs if falls else trial.plateau.best_epoch or 0
        rows.append(row.model_copy(update={"epochs": epochs, "rate": rate, "reason": reason}))
        said.append(trial.judged)
    progress(len(tops), len(tops))
    needed = [0.0 if asked_for else paired_gain(one, heads.judged, folds.groups).needed(len(tops)) for one in said]
    winners = [i for i, row in enumerate(rows) if i and not row.reason and row.better_by > needed[i]]
    best = min(winners, key=lambda i: rows[i].loss, default=0)
    decided = [_with_verdict(row, i == best, needed[i]) for i, row in enumerate(rows)]
    return Choice(select_by=folds.select_by, sources=folds.sources, candidates=tuple(decided)), said[best]


def _candidate(
    boundary: int | None, layers: Sequence[str], judged: tuple[Verdict, ...], heads: Heads, folds: Folds
) -> Candidate:
    gain = paired_gain(judged, heads.judged, folds.groups)
    return Candidate(
        boundary=boundary,
        layer="nothing unfrozen" if boundary is None else layers[boundary],
        share=0.0 if boundary is None else 1 - boundary / len(layers),
        epochs=0,
        loss=mean_loss(judged),
        by_judge={
            judge.name: Judgement(pictures=len(one.truth), loss=one.losses.mean(), accuracy=one.right.mean())
            for judge, one in zip(folds.judges, judged, strict=True)
        },
        better_by=gain.mean,
        noise=gain.noise,
        chosen=False,
        reason="",
    )


def _with_verdict(row: Candidate, chosen: bool, needed: float) -> Candidate:
    if chosen:
        reason = "lowest loss" if row.boundary is not None else "no boundary beats leaving the backbone alone"
    elif row.boundary is None:
        reason = "beaten"
    elif row.reason:
        reason = row.reason
    elif row.better_by <= 0:
        reason = in_words(row.better_by)
    elif row.better_by <= needed:
        reason = f"{in_words(row.better_by)}, but chance may give {needed:.4f}"
    else:
        reason = "another is better"
    return row.model_copy(update={"chosen": chosen, "reason": reason})


def _try(
    top: Top,
    train: Examples,
    validation: Examples,
    heads: Heads,
    folds: Folds,
    asked_for: bool,
    config: TrainConfig,
    journal: Journal,
    stage: str,
    rate: float,
) -> _Trial:
    """All folds an epoch each, then the next epoch, so that a hopeless boundary is given up early."""
    trial = _Trial(Plateau(PATIENCE, 0.0, best_loss=mean_loss(heads.judged)), heads.judged)
    rates = Rates(config.fine_tune_schedule, rate, config.fine_tune_epochs)
    curve: list[float] = []
    states: list[Weights] = []

    def take(judged: tuple[Verdict, ...]) -> None:
        curve.append(mean_loss(judged))
        trial.epochs += 1
        if trial.plateau.see(trial.epochs, curve[-1]) or trial.plateau.best_epoch is None or rates.falls:
            trial.judged = judged
        gain = paired_gain(judged, heads.judged, folds.groups)
        early = trial.epochs == PROMISING_AFTER and not asked_for and not rates.falls
        if early and not gain.mean > PROMISING_FACTOR * gain.noise:
            words = in_words(gain.mean)
            trial.hopeless = f"{words} ± {gain.noise:.4f} after {trial.epochs} epochs: not worth more"

    def result() -> State:
        facts = {"curve": curve, "hopeless": trial.hopeless, "diverged": trial.diverged}
        return State(facts, {f"logits.{j}": one.logits for j, one in enumerate(trial.judged)})

    def state() -> State:
        now = {f"now.{j}.{i}": value for j, one in enumerate(states) for i, value in enumerate(one)}
        return State(result().facts, result().arrays | now)

    ended, earlier = journal.finished(stage), journal.under_way(stage)
    if stored := ended or earlier:
        curve = stored.facts["curve"]
        for epoch, loss in enumerate(curve, start=1):
            trial.plateau.see(epoch, loss)
        trial.epochs, trial.hopeless, trial.diverged = len(curve), stored.facts["hopeless"], stored.facts["diverged"]
        trial.judged = tuple(Verdict(stored.arrays[f"logits.{j}"], one.truth) for j, one in enumerate(heads.judged))
    if ended:
        return trial
    guards = []
    for judge in folds.judges:
        top.begin(heads.kernels[judge.fold], heads.biases[judge.fold], rates)
        guards.append(Guard(top, train, validation, judge, rates))
        states.append(top.state())
    if earlier:
        states = [[earlier.arrays[f"now.{j}.{i}"] for i in range(len(one))] for j, one in enumerate(states)]
    running = trial.diverged is None and trial.hopeless is None
    while running and trial.epochs < rates.epochs and (rates.falls or not trial.plateau.ended):
        try:
            judged = []
            for j, guard in enumerate(guards):
                top.restore(states[j])
                judged.append(guard.epoch(folds.learns[folds.judges[j].fold], f"{stage}-{j}", trial.epochs + 1)[-1])
                states[j] = top.state()
            take(tuple(judged))
        except DivergedError as error:
            trial.diverged = str(error)
        running = trial.diverged is None and trial.hopeless is None
        journal.save(stage, state)
    journal.finish(stage, result())
    return trial
