"""The run directory: everything that a training run leaves behind, readable without TensorFlow."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec
from edge_runtime.records import Box
from evaluation.aside import filled_aside, partial_of
from evaluation.dataset import Item, hash_pictures
from evaluation.metrics import Scores
from evaluation.split import Split
from train.adaptation import Adaptation
from train.config import TrainConfig
from train.evidence import Evidence
from train.folds import SelectBy

SCHEMA_VERSION: Final = 1
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

Phase = Literal["head", "fine_tune"]

_EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class RecipeEvent(_Strict):
    """A decision that the recipe took: when, what, why, and the learning rate at that time."""

    phase: Phase
    epoch: int
    kind: Literal["plateau", "ceiling", "chosen", "unfrozen", "diverged", "gave_up", "kept", "finished"]
    reason: str
    rate: float


class EpochRow(_Strict):
    """One line of `history.csv`; epochs count on through both phases, from 1. Losses are cross-entropy alone.

    `source_loss` is that of heads that learned without a source, on that source, averaged over the held-out sources.
    """

    phase: Phase
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    source_loss: Annotated[float | None, _EmptyIsNone] = None
    learning_rate: float
    seconds: float


class Judgement(_Strict):
    """Of one judge (a held-out source, or the validation split): mean cross-entropy and accuracy on its pictures."""

    pictures: int
    loss: float
    accuracy: float


class Candidate(_Strict):
    """One answer to the question how much of the backbone to unfreeze, and how it was judged.

    Attributes:
        boundary: First layer that may change; None unfreezes nothing.
        layer: Its name.
        share: Of the backbone's layers that it unfreezes.
        epochs: Of phase two, at which it was best.
        loss: Mean cross-entropy over the judges (held-out sources, or the validation split) then.
        by_judge: What each of them said.
        better_by: How much lower than with nothing unfrozen.
        noise: Standard error of that, paired over sources, or over pictures where there is one judge.
        chosen: Whether the run took it.
        reason: Why, or why not.
    """

    boundary: int | None
    layer: str
    share: float
    epochs: int
    loss: float
    by_judge: dict[str, Judgement]
    better_by: float
    noise: float
    chosen: bool
    reason: str


class Choice(_Strict):
    """How much was unfrozen, and by whose judgement; no candidates where the boundary was simply given."""

    select_by: SelectBy
    sources: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class SplitRow(_Strict):
    """One line of `splits.csv`: a picture that the run used, and for what."""

    file: str
    sha256: str
    label: str
    group: str
    split: Split
    fruit: Annotated[str | None, _EmptyIsNone] = None
    source: Annotated[str | None, _EmptyIsNone] = None
    box_px: Annotated[str | None, _EmptyIsNone] = None

    @classmethod
    def of(cls, item: Item, split: Split) -> SplitRow:
        """The line for an item."""
        box = item.box
        return cls(
            file=item.file,
            sha256=item.sha256,
            label=item.label,
            group=item.group,
            split=split,
            fruit=item.fruit,
            source=item.source,
            box_px=f"{box.x_px} {box.y_px} {box.width_px} {box.height_px}" if box else None,
        )

    def item(self, path: Path) -> Item:
        """The picture again, found at `path`."""
        box = Box(*(float(part) for part in self.box_px.split())) if self.box_px else None
        return Item(
            path=path,
            file=self.file,
            sha256=self.sha256,
            box=box,
            label=self.label,
            group=self.group,
            fruit=self.fruit,
            source=self.source,
        )


class DataRecord(_Strict):
    """Where the pictures came from; `sha256` covers label and hash of every picture used.

    `further` are the folders of pictures that adapting added.
    """

    path: Path
    further: tuple[Path, ...] = ()
    sha256: str
    pictures: dict[Split, int]
    ignored: int
    unreadable: tuple[str, ...]
    notices: tuple[str, ...]


class RunRecord(_Strict):
    """`run.json`.

    `learned_from` are the splits whose pictures the model has learned from.
    `temperature_factor` is what a temperature fitted on the validation pictures is to be multiplied by: above 1 where
    the model has learned from them, or where a new line makes it less sure.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    created_at: datetime
    config: TrainConfig
    labels: tuple[str, ...]
    input: InputSpec
    data: DataRecord
    versions: dict[str, str]
    threads: int
    events: tuple[RecipeEvent, ...]
    choice: Choice | None = None
    evidence: Evidence = Evidence()
    adaptation: Adaptation | None = None
    learned_from: tuple[Split, ...] = (Split.TRAIN,)
    temperature_factor: float = 1.0
    timings_s: dict[str, float]
    seconds: float
    validation: Scores
    test: Scores


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
        splits = tuple(SplitRow.model_validate(row) for row in _read_csv(folder / SPLITS_FILE))
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
    if run.record.data.further:  # an adapted run's pictures lie in several folders, of which one may have moved
        for other in filter(Path.is_dir, {run.record.data.path, *run.record.data.further} - {folder}):
            found = hash_pictures(other) | found
    lost = [row for row in run.splits if row.sha256 not in found]
    if lost:
        changed = sum((folder / row.file).is_file() for row in lost)
        raise InputError(
            f"{len(lost)} of the run's {len(run.splits)} pictures do not match in {folder}: "
            f"{len(lost) - changed} missing, {changed} changed. The first is {lost[0].file}.",
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
    on with it. An InputError leaves nothing.

    Raises:
        InputError: `output` is a file; or it is a folder that is not empty, or an unfinished run, and `force` is false.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file.", expected="a folder to write the run to")
    if output.is_dir() and any(output.iterdir()) and not force:
        raise InputError(f"{output} is not empty.", remedy="Name another folder, or replace it with --force.")
    if (partial_of(output) / START_FILE).is_file() and not force:
        raise InputError(
            f"A run of the name {output} was begun and not finished.",
            remedy=f"Go on with it: ripeline train --resume {output}. Or begin again with --force.",
        )
    shutil.rmtree(partial_of(output), ignore_errors=True)
    try:
        with filled_aside(output, goes_on=True) as partial:
            yield partial
    except InputError:
        shutil.rmtree(partial_of(output), ignore_errors=True)
        raise


@contextmanager
def unfinished_run_folder(output: Path) -> Iterator[Path]:
    """The folder that a killed run left behind, which takes its place at `output` if the block succeeds.

    Raises:
        InputError: There is none.
    """
    if not any((partial_of(output) / name).is_file() for name in (START_FILE, RECORD_FILE)):
        finished = (output / RECORD_FILE).is_file()
        raise InputError(
            f"{output} is finished." if finished else f"There is no unfinished run of the name {output}.",
            expected="the -o of a `ripeline train` that was interrupted",
            remedy=f"Look at {output / REPORT_FILE}." if finished else "Start with: ripeline train DATA -o RUN",
        )
    with filled_aside(output, goes_on=True) as partial:
        yield partial


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


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
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
