"""Transfer learning in two phases: a new head on a frozen backbone, then its last layers, gently.

The frozen part runs once over every view of every picture; everything after it trains on what that left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from train.backbone import batch_norms
from train.boundary import AUTO, auto_boundaries, resolve_boundary, single_tensor_cut
from train.cache import Budget, Examples, cache_views
from train.config import TrainConfig
from train.events import Notice, OnEvent, Progress
from train.features import FrozenPart
from train.fine_tune import fine_tune
from train.finish import finish_head
from train.folds import (
    FEWEST_PICTURES,
    FEWEST_SOURCES,
    Folds,
    Verdict,
    by_source,
    by_validation,
    deal_sources,
    obstacles,
    tempered,
)
from train.guard import Record
from train.head import Heads, train_heads
from train.journal import Journal
from train.model import PROBABILITIES, build_head, build_model
from train.pictures import Pictures
from train.refit import Head
from train.run_record import Choice, EpochRow, Judgement, RecipeEvent
from train.search import choose_boundary
from train.top import Top


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """N `pictures`, `truth` `[N]` int64 label indices, and for each where it comes from and its group, if known."""

    pictures: Pictures
    truth: npt.NDArray[np.int64]
    sources: Sequence[str | None]
    groups: Sequence[str] | None = None


@dataclass(slots=True)
class Trained:
    """The recipe's outcome: the whole model, its history and what was decided on the way.

    Attributes:
        model: uint8 RGB to probabilities.
        choice: How much was unfrozen, and who said so.
        unfrozen: The first layer of the backbone that phase two changed, None if it is as it was.
        learned_head: Where the final head has learned from the validation pictures as well: the last one that had not.
        temperature: Then, what suits the final head at places not seen.
        history: Every epoch.
        events: Every decision.
    """

    model: keras.Model
    choice: Choice
    unfrozen: int | None = None
    learned_head: Head | None = None
    temperature: float | None = None
    history: list[EpochRow] = field(default_factory=list)
    events: list[RecipeEvent] = field(default_factory=list)


def run_recipe(
    backbone: keras.Model,
    train: LabelledPictures,
    validation: LabelledPictures,
    *,
    labels: int,
    config: TrainConfig,
    folder: Path,
    on_event: OnEvent,
) -> Trained:
    """Train a classifier on top of a backbone, whose layers from the chosen boundary on are changed in place.

    Args:
        backbone: As it comes; it depends on this whether a run can go on where it stopped.
        train: To learn from.
        validation: To judge by, and for the guard.
        labels: How many there are.
        config: The recipe's settings.
        folder: Where the state of the run and caches that outgrow the memory go; a run goes on from what is there.
        on_event: Told of every stage, epoch and decision.

    Raises:
        InputError: `config.fine_tune_at` is no layer of the backbone, or there are too few sources for
            `config.select_by`.
        RuntimeError: Batch normalisation moved, which would be a defect of Ripeline.
    """
    journal = Journal(folder / "state")
    for layer in backbone.layers:
        layer.trainable = False
    folds = choose_folds(train, validation, config, on_event)
    trained = Trained(
        build_model(backbone, build_head(labels), config.dropout),
        Choice(select_by=folds.select_by, sources=folds.sources, candidates=()),
    )
    record = _recorder(trained, backbone, on_event)

    boundaries = _boundaries(backbone, config)
    cuts = sorted({single_tensor_cut(backbone, at) for at in boundaries})
    frozen = FrozenPart(backbone, cuts, (len(train.pictures) + len(validation.pictures)) * config.views)
    budget = Budget(int(config.cache_budget_mb * 2**20))
    caches: list[list[Examples]] = []
    for name, part in (("train", train), ("validation", validation)):
        outputs = cache_views(
            frozen,
            part.pictures,
            name=name,
            views=config.views,
            seed=config.seed,
            budget=budget,
            folder=folder / "cache",
            journal=journal,
            progress=_progress(on_event, f"features of {name}"),
        )
        caches.append([Examples(output, part.truth) for output in outputs])
    on_train, on_validation = caches

    heads = train_heads(
        on_train[-1], on_validation[-1], folds, labels=labels, config=config, journal=journal, record=record
    )
    trained.model.get_layer(PROBABILITIES).set_weights([heads.kernels[0], heads.biases[0]])
    at_cut = {cut: (on_train[i], on_validation[i]) for i, cut in enumerate(cuts)}
    at_boundary = {at: at_cut[single_tensor_cut(backbone, at)] for at in boundaries}
    judged = heads.judged
    if boundaries:
        judged = _phase_two(backbone, trained, heads, folds, at_boundary, labels, config, journal, record, on_event)
    if trained.unfrozen is None:
        judged = _finish(trained, heads, on_train[-1], on_validation[-1], folds, config, budget, record)
    said = tempered(judged)
    shipped = {
        judge.name: Judgement(pictures=len(one.truth), loss=float(loss), accuracy=float(one.right.mean()))
        for judge, one, loss in zip(folds.judges, judged, said.losses, strict=True)
    }
    trained.choice = trained.choice.model_copy(update={"shipped_loss": said.loss, "shipped": shipped})
    return trained


def choose_folds(
    train: LabelledPictures, validation: LabelledPictures, config: TrainConfig, on_event: Callable[[Notice], None]
) -> Folds:
    """Whose loss decides: sources held out in turn where there are enough of them, else the validation split.

    Where there would be enough if nothing kept some from being held out, `on_event` is told which and what.

    Raises:
        InputError: Sources were asked for, and there are too few.
    """
    truth = np.concatenate([train.truth, validation.truth])
    sources = [*train.sources, *validation.sources]
    found = obstacles(sources, truth)
    held_out = [source for source, obstacle in found.items() if obstacle is None]
    if config.select_by == "source" and len(held_out) < FEWEST_SOURCES:
        raise InputError(
            f"Only {len(held_out)} sources in column '{config.domain}' can be held out, {FEWEST_SOURCES} are needed.",
            expected=f"sources of at least {FEWEST_PICTURES} pictures and two labels that other sources have as well",
            remedy="Give --select-by validation, or name another column with --domain.",
        )
    if config.select_by == "validation" or len(held_out) < FEWEST_SOURCES:
        if config.select_by is None and len(found) >= FEWEST_SOURCES:
            reasons = "; ".join(f"'{source}' has {obstacle}" for source, obstacle in found.items() if obstacle)
            on_event(
                Notice(
                    f"Only {len(held_out)} of {len(found)} sources in column '{config.domain}' can be held out, "
                    f"{FEWEST_SOURCES} are needed: the validation split judges instead of places not seen. {reasons}."
                )
            )
        return by_validation(len(train.truth), len(validation.truth), validation.groups)
    return by_source(train.sources, validation.sources, deal_sources(sources, truth, held_out))


def _boundaries(backbone: keras.Model, config: TrainConfig) -> tuple[int, ...]:
    """Those to try in phase two; none where nothing is to be unfrozen."""
    if config.fine_tune_at == AUTO:
        return auto_boundaries(backbone) if config.fine_tune_epochs else ()
    at = resolve_boundary(backbone, config.fine_tune_at)
    return (at,) if at is not None and config.fine_tune_epochs else ()


def _phase_two(
    backbone: keras.Model,
    trained: Trained,
    heads: Heads,
    folds: Folds,
    caches: dict[int, tuple[Examples, Examples]],
    labels: int,
    config: TrainConfig,
    journal: Journal,
    record: Record,
    on_event: OnEvent,
) -> tuple[Verdict, ...]:
    """Choose how much to unfreeze, and fine-tune it; what the judges say of that."""

    def note(kind: Literal["chosen", "unfrozen"], epoch: int, reason: str, rate: float) -> None:
        record(RecipeEvent(phase="fine_tune", epoch=epoch, kind=kind, reason=reason, rate=rate))

    tops = {boundary: Top(backbone, boundary, labels, config) for boundary in caches}
    asked_for = config.fine_tune_at != AUTO
    boundary: int | None = next(iter(caches))
    epochs: int | None = None
    rate, judged = config.fine_tune_rate, heads.judged
    if folds.sources or not asked_for:
        trained.choice, judged = choose_boundary(
            tops,
            caches,
            heads,
            folds,
            layers=[layer.name for layer in backbone.layers],
            asked_for=asked_for,
            config=config,
            journal=journal,
            record=record,
            progress=_progress(on_event, "boundaries"),
        )
        chosen = next(one for one in trained.choice.candidates if one.chosen)
        boundary, epochs, rate = chosen.boundary, chosen.epochs if folds.sources else None, chosen.rate or rate
        reason = f"from {chosen.layer} on" if boundary is not None else chosen.reason
        note("chosen", heads.last_epoch, f"{reason}; loss {chosen.loss:.4f}", rate)
    if boundary is None:
        return judged
    reason = f"layers from {boundary} ({backbone.layers[boundary].name}) on are trained, batch normalisation stays"
    note("unfrozen", heads.last_epoch + 1, reason, rate)
    top, (train, validation) = tops[boundary], caches[boundary]
    changed = fine_tune(
        top, train, validation, heads, rate=rate, epochs=epochs, config=config, journal=journal, record=record
    )
    top.freeze()
    trained.model.get_layer(PROBABILITIES).set_weights(top.weights()[-2:])
    trained.unfrozen = boundary if changed else None
    if folds.sources:
        return judged  # of its like without each source; this one knows them all
    return (Verdict(top.logits(validation, np.arange(len(validation.truth))), validation.truth),)


def _finish(
    trained: Trained,
    heads: Heads,
    train: Examples,
    validation: Examples,
    folds: Folds,
    config: TrainConfig,
    budget: Budget,
    record: Record,
) -> tuple[Verdict, ...]:
    """Fit the head to its end where held-out sources approve; what the judges say of the head that stays."""
    finished = finish_head(heads, train, validation, folds, decay=config.head_decay, budget=budget)
    if finished is None:
        return heads.judged
    trained.learned_head = Head(heads.kernels[0], heads.biases[0])
    trained.model.get_layer(PROBABILITIES).set_weights([finished.head.kernel, finished.head.bias])
    before, now = tempered(heads.judged), tempered(finished.judged)
    trained.temperature = now.temperature
    reason = (
        f"the head fitted to its end, on the validation pictures as well; tempered loss on held-out sources "
        f"{before.loss:.4f} before, {now.loss:.4f} now"
    )
    record(RecipeEvent(phase="head", epoch=heads.last_epoch, kind="finished", reason=reason, rate=0.0))
    return finished.judged


def _progress(on_event: OnEvent, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: on_event(Progress(stage, done, total))


def _recorder(trained: Trained, backbone: keras.Model, on_event: OnEvent) -> Record:
    """Keep entries and pass them on, and raise RuntimeError at the first that finds a batch normalisation moved."""

    def statistics() -> list[npt.NDArray[np.float32]]:
        return [weight.numpy() for layer in batch_norms(backbone) for weight in layer.weights]

    before = statistics()

    def record(entry: EpochRow | RecipeEvent) -> None:
        if entry.phase == "fine_tune" and not all(map(np.array_equal, before, statistics())):
            raise RuntimeError("batch normalisation moved during fine-tuning")
        if isinstance(entry, EpochRow):
            trained.history.append(entry)
        else:
            trained.events.append(entry)
        on_event(entry)

    return record
