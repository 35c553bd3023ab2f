"""A run made at home in a new place: its head refitted to a handful of labelled pictures of the line itself."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.deciding.decide import softmax
from edge_runtime.quiet import native_stderr_silenced
from evaluation.dataset import Dataset, Item, label_indices
from evaluation.intervals import accuracy_interval, paired_interval
from evaluation.metrics import confusion, recalls, score
from evaluation.split import Split
from evaluation.temperature import cautious_temperature
from train import run_directory as files
from train.adaptation import Adaptation, AtTheLine, Mistake, OldPictures, TriedWeight
from train.audit.duplicates import find_clusters, joined_groups
from train.audit.looks import look_at
from train.beginning import data_hash
from train.events import OnEvent, Progress
from train.line_pictures import read_line_pictures
from train.new_line import Answered, Fitted, fit_to_line
from train.pictures import FilePictures
from train.refit import Head, Shown
from train.run_directory import Run, match_data
from train.run_record import SplitRow

OLD_VIEWS, NEW_VIEWS = 2, 8
MOST_OLD_PICTURES = 4000
"""Of the old training pictures, drawn at random: more would cost seconds and hold the head no better."""


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

    How much the new pictures count is found by cross-validation over their groups. Where nothing beats the old head,
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
    with files.new_run_folder(output, force=force) as folder:
        _adapt(run, new_data, folder, data, domain, on_event)
    return files.read_run(output)


def _adapt(run: Run, new_data: Path, folder: Path, data: Path | None, domain: str, on_event: OnEvent) -> None:
    began = time.perf_counter()
    on_event(Progress("data", 0, 1))
    fresh = read_line_pictures(run, new_data, domain, on_event)
    old = match_data(run, data)
    groups = joined_groups(fresh.items, find_clusters(fresh.items, look_at(fresh.items)))
    on_event(Progress("data", 1, 1))

    with native_stderr_silenced():  # seconds of TensorFlow, after all that may be refused
        importlib.import_module("tensorflow")
    from train.determinism import make_deterministic
    from train.model import PROBABILITIES, backbone_of
    from train.predict import load_keras_model
    from train.report import write_report
    from train.view_features import Views, view_features

    record = run.record
    seed, decay = record.config.seed, record.config.head_decay
    make_deterministic(seed)
    model = load_keras_model(run)
    layer = model.get_layer(PROBABILITIES)
    head = Head(*layer.get_weights())
    known = _some([(item, split) for split in record.learned_from for item in old[split]], seed)
    sets = ([item for item, _ in known], fresh.items, old[Split.VALIDATION], old[Split.TEST])
    of_known, of_new, *of_judges = view_features(
        backbone_of(model),
        [
            Views(FilePictures(some, record.input), views, seed)
            for some, views in zip(sets, (OLD_VIEWS, NEW_VIEWS, 1, 1), strict=True)
        ],
        lambda done, total: on_event(Progress("features", done, total)),
    )
    judged = {split: one[:, 0] for split, one in zip((Split.VALIDATION, Split.TEST), of_judges, strict=True)}
    taught, new = (
        Shown(of_known, label_indices(sets[0], record.labels)),
        Shown(of_new, fresh.label_indices()),
    )
    fitted = fit_to_line(
        head, taught, new, groups, seed=seed, decay=decay,
        progress=lambda done, total: on_event(Progress("weights", done, total)),
    )  # fmt: skip
    # Validation pictures that were learned from are answered by a head that has not.
    unlearned = np.array([split is Split.TRAIN for _, split in known])
    honest = (
        fitted.head if unlearned.all() else fitted.on_other_old_pictures(taught.of(unlearned), new, decay=decay)
    )  # fmt: skip

    on_event(Progress("evaluate", 0, 1))
    truth = {split: label_indices(old[split], record.labels) for split in judged}
    logits = {split: (honest if split is Split.VALIDATION else fitted.head).logits(judged[split]) for split in judged}
    of_validation = truth[Split.VALIDATION], [item.group for item in old[Split.VALIDATION]]
    temperature = _temperature(logits[Split.VALIDATION], *of_validation, fitted, new.truth, groups)
    as_exported = cautious_temperature(fitted.head.logits(judged[Split.VALIDATION]), *of_validation)
    probabilities = {split: softmax(one).astype(np.float32) for split, one in logits.items()}
    on_old = _on_old(head, fitted.head, judged[Split.TEST], truth[Split.TEST], [item.group for item in old[Split.TEST]])
    adaptation = _adaptation(run, fresh, new_data, fitted, groups, on_old=on_old)
    on_event(Progress("evaluate", 1, 1))

    layer.set_weights([fitted.head.kernel, fitted.head.bias])
    model.save(folder / files.MODEL_FILE)
    splits = (*run.splits, *(SplitRow.of(item, Split.TRAIN) for item in fresh.items))
    files.write_splits(folder / files.SPLITS_FILE, splits)
    shutil.copyfile(run.folder / files.HISTORY_FILE, folder / files.HISTORY_FILE)
    files.write_predictions(folder / files.PREDICTIONS_FILE, record.labels, old, probabilities)
    scores = {
        split: score(
            record.labels,
            truth[split],
            probabilities[split],
            [item.group for item in old[split]],
            temperature=temperature,
            sources=[item.source for item in old[split]],
            policy=record.config.policy_for(record.labels),
        )
        for split in judged
    }
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
            "temperature_factor": temperature / as_exported,
            # Held-out sources judged the parent, not this head.
            "choice": record.choice and record.choice.model_copy(update={"shipped": {}, "shipped_loss": None}),
            "validation": scores[Split.VALIDATION],
            "test": scores[Split.TEST],
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
        probabilities[Split.TEST],
    )
    files.write_whole(folder / files.RECORD_FILE, made.model_dump_json(indent=2) + "\n")


def _some(learned: Sequence[tuple[Item, Split]], seed: int) -> list[tuple[Item, Split]]:
    """`MOST_OLD_PICTURES` at random, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(learned))[:MOST_OLD_PICTURES]
    return [learned[i] for i in np.sort(drawn)]


def _temperature(
    on_validation: npt.NDArray[np.float32],
    validation_truth: npt.NDArray[np.int64],
    validation_groups: Sequence[str],
    fitted: Fitted,
    new_truth: npt.NDArray[np.int64],
    new_groups: Sequence[str],
) -> float:
    """What suits the new pictures and the validation pictures, all answered by heads that did not see them.

    Both sets count the same: a handful alone would give a wild temperature.
    """
    times = max(round(len(validation_truth) / len(new_truth)), 1)
    both = np.concatenate([on_validation, np.tile(fitted.expected.logits, (times, 1))])
    truth = np.concatenate([validation_truth, np.tile(new_truth, times)])
    return cautious_temperature(both, truth, [*validation_groups, *list(new_groups) * times])


def _on_old(
    before: Head,
    after: Head,
    features: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    groups: Sequence[str],
) -> OldPictures:
    was, now = (one.logits(features).argmax(axis=1) == truth for one in (before, after))
    return OldPictures(
        pictures=len(truth),
        accuracy_before=float(was.mean()),
        accuracy_after=float(now.mean()),
        difference_ci95=paired_interval(now.astype(int) - was, groups),
    )


def _adaptation(
    run: Run, fresh: Dataset, new_data: Path, fitted: Fitted, groups: Sequence[str], *, on_old: OldPictures
) -> Adaptation:
    labels, truth = run.record.labels, fresh.label_indices()

    def figures(one: Answered) -> dict[str, object]:
        answers = one.logits.argmax(axis=1)
        by_label = recalls(confusion(truth, answers, len(labels)))
        return {
            "loss": float(one.losses.mean()),
            "better_by": one.better_by,
            "noise": one.noise,
            "accuracy": float((answers == truth).mean()),
            "accuracy_ci95": accuracy_interval(answers == truth, groups),
            "recall": {
                label: None if np.isnan(share) else float(share)
                for label, share in zip(labels, by_label, strict=True)
            },
        }  # fmt: skip

    return Adaptation(
        parent=run.folder.resolve().name,
        parent_sha256=hashlib.sha256((run.folder / files.RECORD_FILE).read_bytes()).hexdigest(),
        data=new_data.resolve(),
        data_sha256=data_hash(fresh.items),
        pictures={label: sum(item.label == label for item in fresh.items) for label in labels},
        groups=len(set(groups)),
        weight=fitted.weight,
        tried=tuple(
            TriedWeight.model_validate(figures(one.answered) | {"weight": one.weight, "share": one.share})
            for one in fitted.tried
        ),
        expected=AtTheLine.model_validate(figures(fitted.expected)),
        on_old=on_old,
        mistakes=tuple(
            Mistake(file=item.file, label=item.label, answer=labels[answer])
            for item, answer in zip(fresh.items, fitted.expected.logits.argmax(axis=1), strict=True)
            if item.label != labels[answer]
        ),
    )


def _both_hashes(old: str, new: str) -> str:
    return hashlib.sha256(f"{old}\n{new}".encode()).hexdigest()
