"""The run directory: everything that a training run leaves behind, readable without TensorFlow."""

from __future__ import annotations

import csv
import fcntl
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, TypeAdapter, ValidationError

from edge_runtime.errors import InputError
from evaluation.aside import filled_aside, partial_of
from evaluation.dataset import Item, hash_pictures
from evaluation.split import Split
from train.run_record import SCHEMA_VERSION, EpochRow, RunRecord, SplitRow

RECORD_FILE = "run.json"
SPLITS_FILE = "splits.csv"
HISTORY_FILE = "history.csv"
PREDICTIONS_FILE = "predictions.csv"
MODEL_FILE = "model.keras"
REPORT_FILE = "report.html"
CURVES_FILE = "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
START_FILE = "start.json"
"""Of an unfinished run: the config that it was started with."""
WORK_FOLDER = "work"
"""Inside an unfinished run: its state, and caches that outgrew the memory."""
STATE_FOLDER = "state"
"""Inside that: what the recipe has achieved so far."""

_SPLITS = TypeAdapter(tuple[SplitRow, ...])


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, its record, and the pictures it used."""

    folder: Path
    record: RunRecord
    splits: tuple[SplitRow, ...]

    @property
    def learned(self) -> frozenset[str]:
        """SHA-256 of every picture that the model has learned from."""
        return frozenset(row.sha256 for row in self.splits if row.split in self.record.learned_from)

    @property
    def model_path(self) -> Path:
        """The Keras model file."""
        return self.folder / MODEL_FILE

    def summary(self) -> dict[str, object]:
        """What `ripeline train --json` prints."""
        test = self.record.test.model_dump(
            mode="json", include={"n", "accuracy", "accuracy_ci95", "balanced_accuracy", "recall"}
        )
        return {
            "run": str(self.folder),
            "labels": list(self.record.labels),
            "test": test,
            "events": [event.model_dump(mode="json") for event in self.record.events],
            "seconds": self.record.seconds,
        }


def read_run(folder: Path) -> Run:
    """Open a run directory.

    Raises:
        InputError: The folder is not there, is no run, is unfinished, or comes from another version.
    """
    path = folder / RECORD_FILE
    if not folder.is_dir():
        raise InputError(f"There is no run folder {folder}.", remedy="Make one with: ripeline train DATA -o RUN")
    if not path.is_file():
        raise InputError(
            f"{folder} is no run: it has no {RECORD_FILE}.",
            expected="a folder that `ripeline train` finished",
            remedy="Check the path, or train again.",
        )
    for name in (MODEL_FILE, SPLITS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"Run {folder} has lost its {name}.", remedy="Train again, or restore the whole folder.")
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
        splits = _SPLITS.validate_python(_read_csv(folder / SPLITS_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Run {folder} cannot be understood: {where}: {first['msg']}.",
            expected=f"{RECORD_FILE} and {SPLITS_FILE} of schema version {SCHEMA_VERSION}, unedited",
            remedy="Train again with this version of Ripeline.",
        ) from error
    return Run(folder, record, splits)


def match_data(run: Run, data: Path | None = None) -> dict[Split, list[Item]]:
    """Find the run's pictures again, by content.

    Args:
        run: A finished run.
        data: Where to look, None for the folder that the run recorded. Files may have been renamed or moved below it.
            What an adapted run does not find there is looked for where it was then, too.

    Returns:
        The pictures of each split, in the order of `splits.csv`.

    Raises:
        InputError: Pictures are missing or have changed.
    """
    folder = data if data is not None else run.record.data.path
    if not folder.is_dir():
        raise InputError(
            f"The pictures of run {run.folder} are not at {folder}.", remedy="Say where they are with --data DATA."
        )
    found = hash_pictures(folder)
    # An adapted run's pictures lie in several folders, of which one may have moved.
    others = {run.record.data.path, *run.record.data.further} - {folder} if run.record.data.further else set()
    for other in filter(Path.is_dir, others):
        found = hash_pictures(other) | found
    lost = [row for row in run.splits if row.sha256 not in found]
    if lost:
        changed = sum((folder / row.file).is_file() for row in lost)
        gone = sorted(str(other) for other in others if not other.is_dir())
        raise InputError(
            f"{len(lost)} of the run's {len(run.splits)} pictures do not match in {folder}: "
            f"{len(lost) - changed} missing, {changed} changed. The first is {lost[0].file}."
            + (f" The run was adapted, and these of its folders are gone: {', '.join(gone)}." if gone else ""),
            expected="the very files that the run was trained with, known by their SHA-256",
            remedy="Restore them, name their folder with --data, or train again.",
        )
    matched: dict[Split, list[Item]] = {split: [] for split in Split}
    for row in run.splits:
        matched[row.split].append(row.item(found[row.sha256]))
    return matched


@contextmanager
def new_run_folder(output: Path, *, force: bool) -> Iterator[Path]:
    """A folder to fill beside `output`, which takes its place only if the block succeeds.

    A run that is killed leaves `.NAME.partial` behind, never a folder that looks finished; `unfinished_run_folder` goes
    on with it. An InputError leaves nothing where nothing has been achieved yet; else it says how to go on.

    Raises:
        InputError: `output` is a file; or it is a folder that is not empty, or an unfinished run, and `force` is false;
            or another process is training it.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file.", expected="a folder to write the run to")
    if output.is_dir() and any(output.iterdir()) and not force:
        raise InputError(f"{output} is not empty.", remedy="Name another folder, or replace it with --force.")
    if (partial_of(output) / START_FILE).is_file() and not force:
        raise InputError(
            f"A run of the name {output} was begun and not finished.",
            remedy=f"Go on with it: ripeline train --resume {shlex.quote(str(output))} (or begin again with --force).",
        )
    if partial_of(output).is_dir():
        with _alone(partial_of(output), output):
            shutil.rmtree(partial_of(output), ignore_errors=True)
    with filled_aside(output, goes_on=True) as partial, _alone(partial, output):
        try:
            yield partial
        except InputError as error:
            if any((partial / WORK_FOLDER / STATE_FOLDER).glob("*.npz")):
                go_on = f"go on with: ripeline train --resume {shlex.quote(str(output))}"
                remedy = f"{error.remedy.rstrip('. ')}; then {go_on}" if error.remedy else f"Put it right; then {go_on}"
                raise InputError(error.what, expected=error.expected, remedy=remedy) from error
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def unfinished_run_folder(output: Path) -> Iterator[Path]:
    """The folder that a killed run left behind, which takes its place at `output` if the block succeeds.

    Raises:
        InputError: There is none, or another process is training it.
    """
    if not any((partial_of(output) / name).is_file() for name in (START_FILE, RECORD_FILE)):
        finished = (output / RECORD_FILE).is_file()
        raise InputError(
            f"{output} is finished." if finished else f"There is no unfinished run of the name {output}.",
            expected="the -o of a `ripeline train` that was interrupted",
            remedy=f"Look at {output / REPORT_FILE}." if finished else "Start with: ripeline train DATA -o RUN",
        )
    with filled_aside(output, goes_on=True) as partial, _alone(partial, output):
        yield partial


@contextmanager
def _alone(folder: Path, output: Path) -> Iterator[None]:
    """Lock the folder itself, so that the lock ends with the process and leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another process is training {output} right now.",
                expected="one process for a run",
                remedy="Wait until it has ended, stop it, or name another folder.",
            ) from error
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, even if the power fails."""
    aside = path.with_name(f".{path.name}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(path)


def write_rows(path: Path, rows: Sequence[BaseModel]) -> None:
    """Write models as CSV lines, one column a field; at least one row."""
    write_csv(path, list(type(rows[0]).model_fields), [list(row.model_dump(mode="json").values()) for row in rows])


def write_splits(path: Path, rows: Iterable[SplitRow]) -> None:
    """Write `splits.csv`."""
    write_csv(path, [column.name for column in fields(SplitRow)], map(astuple, rows))


def write_predictions(
    path: Path,
    labels: Sequence[str],
    items: Mapping[Split, Sequence[Item]],
    measured: Mapping[Split, npt.NDArray[np.float32]],
) -> None:
    """Write what a model answered, `[n, labels]` probabilities for the pictures of each measured split."""
    lines: list[list[object]] = []
    for split, probabilities in measured.items():
        for item, row in zip(items[split], probabilities, strict=True):
            answer = labels[int(row.argmax())]
            lines.append([item.file, split, item.label, answer, *(f"{p:.6f}" for p in row)])
    write_csv(path, ["file", "split", "label", "predicted", *(f"p_{label}" for label in labels)], lines)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_history(run: Run) -> list[EpochRow]:
    """The epochs of `history.csv`."""
    return [EpochRow.model_validate(row) for row in _read_csv(run.folder / HISTORY_FILE)]


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
