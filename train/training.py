"""A training run from a folder of pictures to a finished run directory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Dataset, Item, load_inputs, read_dataset
from evaluation.metrics import score
from evaluation.split import Assignment, Split, assign_splits
from train import run_directory as files
from train.backbone import build_backbone
from train.config import TrainConfig
from train.predict import predict_keras
from train.recipe import LabelledInputs, Notice, OnEvent, Progress, run_recipe
from train.report import write_report
from train.run_directory import DataRecord, Run, RunRecord, SplitRow

DISTRIBUTIONS = ("tensorflow", "keras", "numpy", "opencv-python-headless")


def train_run(config: TrainConfig, output: Path, *, force: bool = False, on_event: OnEvent = lambda _: None) -> Run:
    """Train on a folder of pictures and write a run directory.

    Same config, same pictures, same machine: the same weights, bit for bit.

    Args:
        config: Data and recipe.
        output: The run directory to make.
        force: Replace `output` if it is not empty.
        on_event: Told of every stage, epoch and decision, in the calling thread.

    Raises:
        InputError: The data cannot train, the weights cannot be had, or `output` is taken.
    """
    began = time.perf_counter()
    timings: dict[str, float] = {}
    with files.new_run_folder(output, force=force) as folder:
        on_event(Progress("data", 0, 1))
        dataset = read_dataset(config.data, config.labels)
        assignment = assign_splits(dataset.items, config.seed)
        _refuse_without_split(dataset, assignment)
        notices = (*dataset.notices, *assignment.warnings)
        for text in notices:
            on_event(Notice(text))
        spec = InputSpec(size_px=config.size_px)
        inputs, truth = load_inputs(dataset.items, spec), dataset.label_indices()
        on_event(Progress("data", 1, 1))
        timings["data"] = time.perf_counter() - began

        threads = _make_deterministic(config.seed)
        backbone = build_backbone(config.size_px, config.alpha, config.weights)
        rows = {split: np.flatnonzero([s is split for s in assignment.splits]) for split in Split}
        part = {split: LabelledInputs(inputs[at], truth[at]) for split, at in rows.items()}
        mark = time.perf_counter()
        trained = run_recipe(
            backbone,
            part[Split.TRAIN],
            part[Split.VALIDATION],
            labels=len(dataset.labels),
            config=config,
            on_event=on_event,
        )
        timings["recipe"] = time.perf_counter() - mark

        mark = time.perf_counter()
        on_event(Progress("evaluate", 0, 1))
        measured = {split: predict_keras(trained.model, part[split].inputs).probabilities for split in _MEASURED}
        scores = {
            split: score(dataset.labels, part[split].truth, p, [dataset.items[i].group for i in rows[split]])
            for split, p in measured.items()
        }
        timings["evaluate"] = time.perf_counter() - mark

        trained.model.save(folder / files.MODEL_FILE)
        split_rows = tuple(SplitRow.of(i, s) for i, s in zip(dataset.items, assignment.splits, strict=True))
        files.write_rows(folder / files.SPLITS_FILE, split_rows)
        files.write_rows(folder / files.HISTORY_FILE, trained.history)
        _write_predictions(folder / files.PREDICTIONS_FILE, dataset, rows, measured)
        record = RunRecord(
            created_at=datetime.now(UTC),
            config=config.model_copy(update={"data": config.data.resolve()}),
            labels=dataset.labels,
            input=spec,
            data=DataRecord(
                path=config.data.resolve(),
                sha256=_data_hash(dataset.items),
                pictures={split: len(at) for split, at in rows.items()},
                ignored=dataset.ignored,
                unreadable=dataset.unreadable,
                notices=notices,
            ),
            versions={"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in DISTRIBUTIONS},
            threads=threads,
            events=tuple(trained.events),
            timings_s=timings,
            seconds=time.perf_counter() - began,
            validation=scores[Split.VALIDATION],
            test=scores[Split.TEST],
        )
        run = Run(folder, record, split_rows)
        test_items = [dataset.items[i] for i in rows[Split.TEST]]
        write_report(run, trained.history, test_items, part[Split.TEST].inputs, measured[Split.TEST])
        # Last of all, because a folder without it is no run.
        (folder / files.RECORD_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return files.read_run(output)


_MEASURED = (Split.VALIDATION, Split.TEST)


def _refuse_without_split(dataset: Dataset, assignment: Assignment) -> None:
    for split in Split:
        present = {i.label for i, s in zip(dataset.items, assignment.splits, strict=True) if s is split}
        lacking = [label for label in dataset.labels if label not in present]
        if not present or (split is Split.TRAIN and lacking):
            raise InputError(
                f"{dataset.folder} has too few groups: {split} gets no picture"
                + (f" of '{lacking[0]}'." if lacking else "."),
                expected="at least three groups a label, one for each of train, validation and test",
                remedy="Add pictures, or give pictures that are not related different groups in manifest.csv.",
            )


def _make_deterministic(seed: int) -> int:
    """Fix every source of chance; returns the number of threads, which the weights depend on."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # TensorFlow has started already, with the threads of an earlier call
        tf.config.threading.set_intra_op_parallelism_threads(os.cpu_count() or 1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return int(tf.config.threading.get_intra_op_parallelism_threads())


def _data_hash(items: Sequence[Item]) -> str:
    lines = sorted(f"{item.label} {item.sha256}" for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write_predictions(
    path: Path,
    dataset: Dataset,
    rows: dict[Split, npt.NDArray[np.intp]],
    measured: dict[Split, npt.NDArray[np.float32]],
) -> None:
    lines: list[list[object]] = []
    for split, probabilities in measured.items():
        for at, row in zip(rows[split], probabilities, strict=True):
            item = dataset.items[at]
            answer = dataset.labels[int(row.argmax())]
            lines.append([item.file, split, item.label, answer, *(f"{p:.6f}" for p in row)])
    files.write_csv(path, ["file", "split", "label", "predicted", *(f"p_{label}" for label in dataset.labels)], lines)
