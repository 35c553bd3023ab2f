"""A training run from a folder of pictures to a finished run directory."""

from __future__ import annotations

import importlib
import importlib.metadata
import shlex
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec
from edge_runtime.quiet import native_stderr_silenced
from evaluation.dataset import Dataset, read_dataset
from evaluation.split import Split, assign_splits
from train import run_directory as files
from train.audit import Kind, Severity, Summary, quick_audit, summarise
from train.beginning import data_hash, refuse_another_start, refuse_other_inputs, refuse_without_split, versions
from train.config import TrainConfig
from train.events import Notice, OnEvent, Progress
from train.journal import Journal
from train.pictures import FilePictures
from train.run_directory import Run
from train.run_record import DataRecord, RunRecord, SplitRow

NEAR_COPIES_UP_TO = 10_000
"""Pictures; with more, training looks for copies of whole files alone, since near ones take time by the pair."""


def train_run(config: TrainConfig, output: Path, *, force: bool = False, on_event: OnEvent = lambda _: None) -> Run:
    """Train on a folder of pictures and write a run directory.

    Same config, same pictures, same machine: the same weights, bit for bit. A run that is killed at any moment goes on
    with `resume_run`.

    Args:
        config: Data and recipe.
        output: The run directory to make.
        force: Replace `output` if it is not empty.
        on_event: Told of every stage, epoch and decision, in the calling thread.

    Raises:
        InputError: The data cannot train, the weights cannot be had, or `output` is taken.
    """
    config = config.model_copy(update=_found_from_anywhere(config))
    with files.new_run_folder(output, force=force) as folder:
        files.write_whole(folder / files.START_FILE, config.model_dump_json())
        _train(config, folder, on_event)
        _tidy(folder)
    return files.read_run(output)


def resume_run(output: Path, *, on_event: OnEvent = lambda _: None) -> Run:
    """Go on with a run that was killed; the result is the same, bit for bit, as if it had not been.

    Args:
        output: The run directory that it was to make.
        on_event: As for `train_run`; told again of what happened before.

    Raises:
        InputError: There is no unfinished run, or its pictures have changed.
    """
    with files.unfinished_run_folder(output) as folder:
        # A run that was killed at the very end is whole and lacks only its name.
        if not (folder / files.RECORD_FILE).is_file():
            _train(_started_with(folder, output), folder, on_event)
        _tidy(folder)
    return files.read_run(output)


def _started_with(folder: Path, output: Path) -> TrainConfig:
    try:
        return TrainConfig.model_validate_json((folder / files.START_FILE).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"The unfinished run {output} cannot be understood: {files.START_FILE}, {where}: {first['msg']}.",
            expected="a run that this version of Ripeline began",
            remedy=f"Go on with the version that began it, or begin again: ripeline train DATA -o "
            f"{shlex.quote(str(output))} --force",
        ) from error


def _tidy(folder: Path) -> None:
    """The start last: while it is there, the run can still go on."""
    shutil.rmtree(folder / files.WORK_FOLDER, ignore_errors=True)
    (folder / files.START_FILE).unlink(missing_ok=True)


def _train(config: TrainConfig, folder: Path, on_event: OnEvent) -> None:
    began = time.perf_counter()
    timings: dict[str, float] = {}
    on_event(Progress("data", 0, 1))
    dataset = read_dataset(config.data, config.labels, domain=config.domain)
    assignment = assign_splits(dataset.items, config.seed)
    refuse_without_split(dataset, assignment)
    refuse_other_inputs(config, dataset, assignment)
    sha256 = data_hash(dataset.items)
    split_rows = tuple(SplitRow.of(i, s) for i, s in zip(dataset.items, assignment.splits, strict=True))
    refuse_another_start(Journal(folder / files.WORK_FOLDER), split_rows, config)
    on_event(Progress("data", 1, 1))
    timings["data"] = time.perf_counter() - began
    mark = time.perf_counter()
    audit, left_out = _audited(dataset, on_event)
    timings["audit"] = time.perf_counter() - mark
    notices = (*dataset.notices, *assignment.warnings, *left_out)
    for text in (*notices, *(one.advice for one in audit if _told(one))):
        on_event(Notice(text))
    spec = InputSpec(size_px=config.size_px)
    truth = dataset.label_indices()
    rows = {split: np.flatnonzero([s is split for s in assignment.splits]) for split in Split}
    items = {split: [dataset.items[i] for i in at] for split, at in rows.items()}
    pictures = {split: FilePictures(part, spec) for split, part in items.items()}

    with native_stderr_silenced():  # seconds of TensorFlow, after all that may be refused
        importlib.import_module("tensorflow")
    from train.backbone import build_backbone
    from train.determinism import make_deterministic
    from train.measuring import measure_run
    from train.recipe import LabelledPictures, run_recipe
    from train.report import write_report
    from train.tensorboard import TensorBoardLog

    threads = make_deterministic(config.seed)
    log = TensorBoardLog(folder / files.TENSORBOARD_FOLDER)
    backbone = build_backbone(config.size_px, config.alpha, config.weights)
    mark = time.perf_counter()
    trained = run_recipe(
        backbone,
        *(
            LabelledPictures(
                pictures[split],
                truth[rows[split]],
                [item.source for item in items[split]],
                [item.group for item in items[split]],
            )
            for split in (Split.TRAIN, Split.VALIDATION)
        ),
        labels=len(dataset.labels),
        config=config,
        folder=folder / files.WORK_FOLDER,
        on_event=log.beside(on_event),
    )
    log.close()
    timings["recipe"] = time.perf_counter() - mark

    mark = time.perf_counter()
    on_event(Progress("evaluate", 0, 1))
    measured = measure_run(
        trained.model,
        dataset.labels,
        items,
        spec,
        config,
        fine_tuned=trained.unfrozen is not None,
        learned_head=trained.learned_head,
        temperature=trained.temperature,
    )
    timings["evaluate"] = time.perf_counter() - mark

    trained.model.save(folder / files.MODEL_FILE)
    files.write_splits(folder / files.SPLITS_FILE, split_rows)
    files.write_rows(folder / files.HISTORY_FILE, trained.history)
    files.write_predictions(folder / files.PREDICTIONS_FILE, dataset.labels, items, measured.probabilities)
    record = RunRecord(
        created_at=datetime.now(UTC),
        config=config,
        labels=dataset.labels,
        input=spec,
        data=DataRecord(
            path=config.data,
            sha256=sha256,
            pictures={split: len(at) for split, at in rows.items()},
            ignored=dataset.ignored,
            unreadable=dataset.unreadable,
            notices=notices,
        ),
        versions=versions(),
        threads=threads,
        events=tuple(trained.events),
        choice=trained.choice,
        evidence=measured.evidence.model_copy(update={"audit": audit}),
        learned_from=(Split.TRAIN,) if trained.learned_head is None else (Split.TRAIN, Split.VALIDATION),
        temperature_factor=measured.temperature_factor,
        timings_s=timings,
        seconds=time.perf_counter() - began,
        validation=measured.scores[Split.VALIDATION],
        test=measured.scores[Split.TEST],
    )
    run = Run(folder, record, split_rows)
    write_report(run, trained.history, items[Split.TEST], pictures[Split.TEST], measured.probabilities[Split.TEST])
    # Last of all, because a folder without it is no run.
    files.write_whole(folder / files.RECORD_FILE, record.model_dump_json(indent=2) + "\n")


def _audited(dataset: Dataset, on_event: OnEvent) -> tuple[tuple[Summary, ...], tuple[str, ...]]:
    """What the quick audit finds, and a sentence about what it left out."""
    near_copies = len(dataset.items) <= NEAR_COPIES_UP_TO
    quick = quick_audit(dataset, lambda done, total: on_event(Progress("audit", done, total)), near_copies=near_copies)
    left_out = (
        f"Of {len(dataset.items):,} pictures only copies of whole files were looked for; copies that were changed are "
        f"found by: ripeline audit {shlex.quote(str(dataset.folder))} --quick"
    )
    return summarise(quick.findings), () if near_copies else (left_out,)


def _told(summary: Summary) -> bool:
    """Whether a person should hear of it before the training; of damaged files the reader of the data tells."""
    return summary.severity is not Severity.NOTE and summary.kind is not Kind.UNREADABLE


def _found_from_anywhere(config: TrainConfig) -> dict[str, object]:
    """Absolute paths: files stay found when the run goes on from elsewhere."""
    weights = str(Path(config.weights).resolve()) if Path(config.weights).is_file() else config.weights
    folders = {name: getattr(config, name) for name in ("data", "retention", "target")}
    return {"weights": weights} | {name: folder and folder.resolve() for name, folder in folders.items()}
