"""A run made at home in a new place: its head refitted to a handful of labelled pictures of the line itself."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.quiet import native_stderr_silenced
from evaluation.dataset import Dataset, Item, read_dataset
from evaluation.intervals import accuracy_interval, tango_interval
from evaluation.split import Split
from evaluation.temperature import fit_temperature
from train import run_directory as files
from train.adaptation import Adaptation, Mistake, OldPictures, TriedWeight
from train.events import Notice, OnEvent, Progress
from train.pictures import FilePictures, Pictures
from train.refit import Head, Shown, Tried, choose, cross_validate, refit
from train.run_directory import Run, match_data
from train.run_record import SplitRow
from train.training import data_hash, write_predictions

OLD_VIEWS, NEW_VIEWS = 2, 8
MOST_OLD_PICTURES = 4000
"""Of the old training pictures, drawn at random: more would cost seconds and hold the head no better."""
FEW_GROUPS = 10
"""Under so many unrelated pictures the interval of what to expect is very wide: a notice."""


def adapt_run(
    run: Run,
    new_data: Path,
    output: Path,
    *,
    data: Path | None = None,
    domain: str = "source",
    force: bool = False,
    on_event: OnEvent = lambda _: None,
) -> Run:
    """Refit a run's head to pictures of a new line and write the result as a run of its own.

    How much the new pictures count is chosen by cross-validation over their groups. Where nothing beats the old head,
    it is kept, and the new run says so. The new pictures join the training split; the
    validation and test split stay what they were.

    Args:
        run: A finished run.
        new_data: Folder with one sub-folder a label, of labels that the run knows; some may be missing.
        output: The run directory to make.
        data: Where the run's own pictures are now; None for where it read them.
        domain: Column of the new pictures' manifest that says where they come from.
        force: Replace `output` if it is not empty.
        on_event: Told of every stage.

    Raises:
        InputError: A label that the run does not know, no new picture, old pictures that are gone or have changed, or
            an `output` that is taken.
    """
    began = time.perf_counter()
    on_event(Progress("data", 0, 1))
    fresh = _read_new(run, new_data, domain, on_event)
    old = match_data(run, data)
    truth = {split: _indices(run, items) for split, items in old.items()}
    new_truth = _indices(run, fresh.items)
    groups = [item.group for item in fresh.items]
    on_event(Progress("data", 1, 1))

    with native_stderr_silenced():  # seconds of TensorFlow, after all that may be refused
        importlib.import_module("tensorflow")
    from train.determinism import make_deterministic
    from train.measuring import measure_run
    from train.model import PROBABILITIES
    from train.predict import load_keras_model
    from train.report import write_report

    record, seed, decay = run.record, run.record.config.seed, run.record.config.head_decay
    make_deterministic(seed)
    model = load_keras_model(run)
    head = Head(*model.get_layer(PROBABILITIES).get_weights())
    rng = np.random.default_rng(seed)
    learned = [item for split in record.learned_from for item in old[split]]
    kept = [learned[i] for i in np.sort(rng.permutation(len(learned))[:MOST_OLD_PICTURES])]
    features = _features(
        model,
        [
            _Views(FilePictures(kept, record.input), OLD_VIEWS, seed),
            _Views(FilePictures(fresh.items, record.input), NEW_VIEWS, seed),
            _Views(FilePictures(old[Split.VALIDATION], record.input), 1, seed),
            _Views(FilePictures(old[Split.TEST], record.input), 1, seed),
        ],
        on_event,
    )
    known, new = Shown(features[0], _indices(run, kept)), Shown(features[1], new_truth)
    tried = cross_validate(
        head,
        known,
        new,
        groups,
        seed=seed,
        decay=decay,
        progress=lambda done, all_: on_event(Progress("weights", done, all_)),
    )
    # Pictures of one label alone say nothing about where it ends.
    chosen = choose(tried, groups) if len(np.unique(new_truth)) > 1 else tried[0]
    adapted = refit(head, known, new, chosen.weight, decay=decay)
    model.get_layer(PROBABILITIES).set_weights([adapted.kernel, adapted.bias])
    adaptation = _adaptation(
        run, fresh, new_data, tried, chosen, new_truth, groups,
        on_old=_on_old(head, adapted, features[3][:, 0], truth[Split.TEST]),
    )  # fmt: skip
    # What the parent learned from the validation pictures made it surer of them than it should be.
    on_validation = adapted.logits(features[2][:, 0]) * np.float32(record.temperature_factor)
    temperature = _temperature(on_validation, truth[Split.VALIDATION], chosen, new_truth)

    on_event(Progress("evaluate", 0, 1))
    plain = record.config.model_copy(update={"target": None, "retention": None})
    measured = measure_run(model, record.labels, old, record.input, plain, fine_tuned=False, temperature=temperature)
    with files.new_run_folder(output, force=force) as folder:
        model.save(folder / files.MODEL_FILE)
        splits = (*run.splits, *(SplitRow.of(item, Split.TRAIN) for item in fresh.items))
        files.write_rows(folder / files.SPLITS_FILE, splits)
        shutil.copyfile(run.folder / files.HISTORY_FILE, folder / files.HISTORY_FILE)
        write_predictions(folder / files.PREDICTIONS_FILE, record.labels, old, measured.probabilities)
        made = record.model_copy(
            update={
                "created_at": datetime.now(UTC),
                "data": record.data.model_copy(
                    update={
                        "path": (data or record.data.path).resolve(),
                        "further": (*record.data.further, new_data.resolve()),
                        "sha256": _both_hashes(record.data.sha256, adaptation.data_sha256),
                        "pictures": record.data.pictures | {Split.TRAIN: len(old[Split.TRAIN]) + len(fresh.items)},
                    }
                ),
                "temperature_factor": measured.temperature_factor,
                "validation": measured.scores[Split.VALIDATION],
                "test": measured.scores[Split.TEST],
                "adaptation": adaptation,
                "seconds": time.perf_counter() - began,
                "timings_s": {},
            }
        )
        write_report(
            Run(folder, made, splits),
            files.read_history(run),
            old[Split.TEST],
            FilePictures(old[Split.TEST], record.input),
            measured.probabilities[Split.TEST],
        )
        files.write_whole(folder / files.RECORD_FILE, made.model_dump_json(indent=2) + "\n")
    return files.read_run(output)


def _read_new(run: Run, folder: Path, domain: str, on_event: OnEvent) -> Dataset:
    """The new pictures, those that the run has seen already left out."""
    labels = run.record.labels
    fresh = read_dataset(folder, labels, every_label=False, domain=domain)
    strange = sorted(
        one.name for one in folder.iterdir()
        if one.is_dir() and not one.name.startswith(".") and one.name not in labels and any(one.iterdir())
    )  # fmt: skip
    if strange:
        raise InputError(
            f"The run does not know the label '{strange[0]}' of {folder / strange[0]}.",
            expected=f"folders named as its labels: {', '.join(labels)}",
            remedy="Rename or remove the folder; a label that is new needs a new training: ripeline train",
        )
    seen = {row.sha256 for row in run.splits}
    items = tuple(item for item in fresh.items if item.sha256 not in seen)
    if not items:
        raise InputError(
            f"There is no picture in {folder} that run {run.folder} has not seen.",
            expected=f"labelled pictures of the new line, in folders named {', '.join(labels)}",
            remedy="Collect 10 to 40 pictures a label at the line itself.",
        )
    for text in fresh.notices:
        on_event(Notice(text))
    if len(items) < len(fresh.items):
        on_event(Notice(f"{len(fresh.items) - len(items)} pictures left out: the run has seen them already."))
    units = len({item.group for item in items})
    if units < FEW_GROUPS:
        on_event(
            Notice(
                f"Only {units} unrelated pictures of the new line: what to expect there stays a guess. "
                "10 to 40 a label would tell more."
            )
        )
    place = folder.resolve().name
    named = tuple(item if item.source else _from(item, place) for item in items)
    return Dataset(fresh.folder, labels, named, fresh.notices, fresh.ignored, fresh.unreadable)


def _from(item: Item, place: str) -> Item:
    """The same picture, its source named after the folder, so that it counts as a place of its own."""
    return Item(
        path=item.path, file=item.file, sha256=item.sha256, box=item.box,
        label=item.label, group=item.group, fruit=item.fruit, source=place,
    )  # fmt: skip


def _indices(run: Run, items: Sequence[Item]) -> npt.NDArray[np.int64]:
    index = {label: place for place, label in enumerate(run.record.labels)}
    return np.array([index[item.label] for item in items], np.int64)


@dataclass(frozen=True, slots=True)
class _Views:
    """K views of each of N pictures, one after the other: row `i` is view `i % K` of picture `i // K`."""

    pictures: Pictures
    views: int
    seed: int

    def __len__(self) -> int:
        return len(self.pictures) * self.views

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        from train.features import view_of

        return np.concatenate(
            [
                view_of(self.pictures.read([row // self.views]), [row // self.views], row % self.views, self.seed)
                for row in rows
            ]
        )


@dataclass(frozen=True, slots=True)
class _Joined:
    """Several sets of pictures in a row, so that they share one pass through the backbone."""

    parts: Sequence[_Views]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        pixels = []
        for row in rows:
            part = int(np.searchsorted(starts, row, side="right")) - 1
            pixels.append(self.parts[part].read([row - int(starts[part])]))
        return np.concatenate(pixels)


def _features(model: object, parts: Sequence[_Views], on_event: OnEvent) -> list[npt.NDArray[np.float32]]:
    """Pooled features of each part, `[n, views, channels]`."""
    from train.features import pooled_features
    from train.model import backbone_of

    joined = _Joined(parts)
    on_event(Progress("features", 0, len(joined)))
    found = pooled_features(backbone_of(model), joined)
    on_event(Progress("features", len(joined), len(joined)))
    pieces = np.split(found, np.cumsum([len(part) for part in parts])[:-1])
    return [
        piece.reshape(len(part.pictures), part.views, found.shape[-1])
        for piece, part in zip(pieces, parts, strict=True)
    ]


def _temperature(
    on_validation: npt.NDArray[np.float32],
    validation_truth: npt.NDArray[np.int64],
    chosen: Tried,
    new_truth: npt.NDArray[np.int64],
) -> float:
    """What suits the new pictures, each answered by a head that did not see it, and the validation pictures.

    Both count the same: a handful alone would give a wild temperature.
    """
    times = max(round(len(validation_truth) / len(new_truth)), 1)
    both = np.concatenate([on_validation, np.tile(chosen.logits, (times, 1))])
    truth = np.concatenate([validation_truth, np.tile(new_truth, times)])
    return fit_temperature(both, truth)


def _on_old(before: Head, after: Head, features: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> OldPictures:
    was, now = (one.logits(features).argmax(axis=1) == truth for one in (before, after))
    lost, won = int((was & ~now).sum()), int((now & ~was).sum())
    low, high = tango_interval(won, lost, len(truth))
    return OldPictures(
        pictures=len(truth),
        accuracy_before=float(was.mean()),
        accuracy_after=float(now.mean()),
        difference_ci95=(low, high),
    )


def _adaptation(
    run: Run,
    fresh: Dataset,
    new_data: Path,
    tried: Sequence[Tried],
    chosen: Tried,
    truth: npt.NDArray[np.int64],
    groups: Sequence[str],
    *,
    on_old: OldPictures,
) -> Adaptation:
    def rows(one: Tried) -> TriedWeight:
        right = one.logits.argmax(axis=1) == truth
        return TriedWeight(
            weight=one.weight,
            loss=float(one.losses.mean()),
            better_by=one.better_by,
            noise=one.noise,
            accuracy=float(right.mean()),
            accuracy_ci95=accuracy_interval(right, groups),
        )

    counts = {label: sum(item.label == label for item in fresh.items) for label in run.record.labels}
    return Adaptation(
        parent=run.folder.resolve().name,
        parent_sha256=hashlib.sha256((run.folder / files.RECORD_FILE).read_bytes()).hexdigest(),
        data=new_data.resolve(),
        data_sha256=data_hash(fresh.items),
        pictures=counts,
        groups=len(set(groups)),
        weight=chosen.weight,
        tried=tuple(rows(one) for one in tried),
        on_old=on_old,
        mistakes=tuple(
            Mistake(file=item.file, label=item.label, answer=run.record.labels[answer])
            for item, answer in zip(fresh.items, chosen.logits.argmax(axis=1), strict=True)
            if item.label != run.record.labels[answer]
        ),
    )


def _both_hashes(old: str, new: str) -> str:
    return hashlib.sha256(f"{old}\n{new}".encode()).hexdigest()
