"""Searching settings: trials of the recipe on one split, shared by all machines that open the same study."""

from __future__ import annotations

import gc
import importlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from edge_runtime.errors import InputError, RipelineError
from edge_runtime.preprocess import InputSpec
from edge_runtime.quiet import native_stderr_silenced
from evaluation.dataset import Dataset, read_dataset
from evaluation.split import Assignment, Split, assign_splits
from train.beginning import data_hash, refuse_without_split
from train.config import TrainConfig
from train.events import Notice, Progress
from train.pictures import FilePictures
from train.run_record import EpochRow, RecipeEvent
from train.tune_page import study_page
from train.tune_record import Best, StudyRecord
from train.tune_space import Space, in_words, settings, suggest, train_command, usual
from train.tune_study import FAILURE, begun, completed, loss_of, open_study, question, seconds_of, shown_url

if TYPE_CHECKING:
    from train.recipe import LabelledPictures

STUDY_FILE = "study.json"
PAGE_FILE = "study.html"
DATABASE_FILE = "study.db"
_HEAD_ENDED = ("plateau", "ceiling")
_AFTER_PHASE_ONE = 1


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """A trial that this process ended, and the best of all so far; `loss` is None unless it was completed."""

    number: int
    outcome: Literal["completed", "pruned", "failed"]
    loss: float | None
    best: tuple[int, float] | None
    seconds: float
    words: str


OnEvent = Callable[[Progress | Notice | TrialEnd], None]


def tune(
    base: TrainConfig,
    space: Space,
    output: Path,
    *,
    storage: str | None = None,
    name: str | None = None,
    trials: int = 30,
    timeout_s: float | None = None,
    on_event: OnEvent = lambda _: None,
) -> StudyRecord:
    """Begin a study, join it or go on with it, until it has its trials; write `study.html` and `study.json`.

    A trial is the recipe on the training split, and its loss is that of what would ship (`Choice.shipped_loss`): on
    sources held out in turn where there are enough, else on the validation split. The test split is not looked at. A
    trial that fails is recorded and the study goes on; one whose process is killed is tried again by the next to come.

    Args:
        base: Everything that is not searched.
        space: What is searched.
        output: Folder for the page, the record and, unless `storage` is given, the database.
        storage: SQLAlchemy URL of a database that other machines use as well.
        name: Of the study in it; None takes the name of `output`.
        trials: How many the whole study shall have, all processes and times together.
        timeout_s: Begin no trial after so many seconds.
        on_event: Told of every stage and of each trial's end.

    Raises:
        InputError: The data cannot train, weights cannot be had, the storage cannot be used, the study there asks
            something else, or no trial has a result.
    """
    began = time.monotonic()
    url = storage or f"sqlite:///{(output / DATABASE_FILE).resolve()}"
    shown = shown_url(url)
    on_event(Progress("data", 0, 1))
    dataset = read_dataset(base.data, base.labels, domain=base.domain)
    assignment = assign_splits(dataset.items, base.seed)
    refuse_without_split(dataset, assignment)
    on_event(Progress("data", 1, 1))
    for text in (*dataset.notices, *assignment.warnings):
        on_event(Notice(text))
    asked = question(base, space, data_hash(dataset.items), dataset.labels)
    with native_stderr_silenced():  # seconds of TensorFlow, after all that may be refused
        importlib.import_module("tensorflow")
    from train.recipe import choose_folds

    folds = choose_folds(*_parts(dataset, assignment, base.size_px), base, on_event)
    space = replace(space, finished=bool(folds.sources))
    _refuse_missing_weights(space)
    output.mkdir(parents=True, exist_ok=True)
    study = open_study(url, name or output.resolve().name, asked, usual(base, space))

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
        try:
            suggest(trial, space)
            config = settings(base, space, trial.params)
            return _run_trial(trial, config, _parts(dataset, assignment, config.size_px), on_event)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr(FAILURE, _reason(error))
            raise

    def after(study: optuna.Study, trial: FrozenTrial) -> None:
        on_event(_ended(study, trial, settings(base, space, trial.params)))
        if begun(study) >= trials:
            study.stop()

    def record() -> StudyRecord:
        found = _record(study, shown, folds.sources or ("validation",), base, space)
        _write(output / PAGE_FILE, study_page(study, found, lambda params: settings(base, space, params)).html())
        _write(output / STUDY_FILE, found.model_dump_json(indent=2) + "\n")
        return found

    try:
        left = None if timeout_s is None else timeout_s - (time.monotonic() - began)
        if begun(study) < trials and (left is None or left > 0):
            # Whatever one trial stumbles over, such as memory for a wide net, the others need not.
            study.optimize(objective, timeout=left, catch=(Exception,), callbacks=[after])
    except KeyboardInterrupt:
        if completed(study):
            record()
        raise
    return record()


def _run_trial(
    trial: optuna.Trial,
    config: TrainConfig,
    parts: tuple[LabelledPictures, LabelledPictures],
    on_event: OnEvent,
) -> float:
    from train.backbone import build_backbone
    from train.determinism import make_deterministic
    from train.recipe import run_recipe

    losses: list[float] = []

    def watch(event: Progress | Notice | EpochRow | RecipeEvent) -> None:
        if isinstance(event, Progress):
            on_event(event)
        elif isinstance(event, EpochRow):
            losses.append(event.val_loss if event.source_loss is None else event.source_loss)
        elif (
            isinstance(event, RecipeEvent)
            and event.kind in _HEAD_ENDED
            and event.phase == "head"
            and config.fine_tune_at
        ):
            # Heads of different rates are compared at their best, and a poor one is not worth the longer phase two.
            trial.report(min(losses), _AFTER_PHASE_ONE)
            if trial.should_prune():
                raise optuna.TrialPruned

    make_deterministic(config.seed)
    try:
        with tempfile.TemporaryDirectory(prefix="ripeline-trial-") as folder:
            backbone = build_backbone(config.size_px, config.alpha, config.weights)
            labels = len(np.unique(parts[0].truth))
            trained = run_recipe(backbone, *parts, labels=labels, config=config, folder=Path(folder), on_event=watch)
            assert trained.choice.shipped_loss is not None
            return trained.choice.shipped_loss
    finally:
        _forget_the_model()


def _reason(error: Exception) -> str:
    """One line; TensorFlow begins its messages with where and ends them with what."""
    if isinstance(error, RipelineError):
        return error.what
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])


def _forget_the_model() -> None:
    """Keras keeps every graph that was ever built."""
    import keras

    keras.backend.clear_session()
    gc.collect()


def _parts(dataset: Dataset, assignment: Assignment, size_px: int) -> tuple[LabelledPictures, LabelledPictures]:
    """The training and the validation split."""
    from train.recipe import LabelledPictures

    truth = dataset.label_indices()
    parts = []
    for split in (Split.TRAIN, Split.VALIDATION):
        rows = [row for row, one in enumerate(assignment.splits) if one is split]
        items = [dataset.items[row] for row in rows]
        pictures = FilePictures(items, InputSpec(size_px=size_px))
        parts.append(
            LabelledPictures(pictures, truth[rows], [one.source for one in items], [one.group for one in items])
        )
    return parts[0], parts[1]


def _refuse_missing_weights(space: Space) -> None:
    """Before the first trial, not at the first that needs them."""
    from train.backbone import build_backbone

    for alpha, weights in space.weights.items():
        build_backbone(space.sizes_px[0], alpha, weights)
    _forget_the_model()


def _ended(study: optuna.Study, trial: FrozenTrial, config: TrainConfig) -> TrialEnd:
    best = completed(study)[:1]
    outcomes: dict[TrialState, Literal["completed", "pruned", "failed"]]
    outcomes = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    return TrialEnd(
        number=trial.number,
        outcome=outcomes[trial.state],
        loss=trial.value if trial.state is TrialState.COMPLETE else None,
        best=(best[0].number, loss_of(best[0])) if best else None,
        seconds=seconds_of(trial),
        words=trial.user_attrs.get(FAILURE) or in_words(config),
    )


def _record(
    study: optuna.Study, shown: str, judged_by: tuple[str, ...], base: TrainConfig, space: Space
) -> StudyRecord:
    done = completed(study)
    everything = study.get_trials(deepcopy=False)
    if not done:
        reasons = [one.user_attrs[FAILURE] for one in everything if FAILURE in one.user_attrs]
        raise InputError(
            f"Study '{study.study_name}' has no result: of {len(everything)} trials none was completed."
            + (f" The first failed with {reasons[0]}" if reasons else ""),
            remedy="Remove the cause and run the same command again, with more --trials or a longer --timeout.",
        )
    return StudyRecord(
        storage=shown,
        study=study.study_name,
        judged_by=judged_by,
        trials={state.name.lower(): sum(one.state is state for one in everything) for state in TrialState},
        best=Best(
            trial=done[0].number,
            loss=loss_of(done[0]),
            command=train_command(settings(base, space, done[0].params)),
        ),
        usual_loss=next((one.value for one in done if one.params == usual(base, space)), None),
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all; processes that share the folder do not disturb each other."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
