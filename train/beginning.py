"""What a run begins with: pictures and files that it can be trained with, and proof that they are still the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import InputError
from evaluation.dataset import Dataset, Item, hash_file, read_images
from evaluation.split import Assignment, Split
from train.config import TrainConfig
from train.evidence import read_target
from train.journal import Journal, State
from train.run_record import SplitRow
from train.shift import refuse_few

DISTRIBUTIONS = ("tensorflow", "keras", "numpy", "opencv-python-headless")


def refuse_without_split(dataset: Dataset, assignment: Assignment) -> None:
    """Raise InputError where a split gets no picture, or training none of a label."""
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


def refuse_other_inputs(config: TrainConfig, dataset: Dataset, assignment: Assignment) -> None:
    """What is needed only at the end is found wanting before the training is paid for."""
    config.policy_for(dataset.labels)
    if config.retention is not None:
        read_images(config.retention)
    if config.target is not None:
        read_target(config.target)
        learned = zip(dataset.items, assignment.splits, strict=True)
        refuse_few([item.group for item, split in learned if split is Split.TRAIN], "the training pictures")


def refuse_another_start(journal: Journal, rows: Sequence[SplitRow], config: TrainConfig) -> None:
    """A run goes on only with the very pictures, manifest, weights, code and libraries that it was started with."""
    weights = Path(config.weights)
    now = {
        f"The pictures in {config.data} or their manifest": hashlib.sha256(
            "\n".join(map(str, rows)).encode()
        ).hexdigest(),
        f"The weights {weights}": hash_file(weights) if weights.is_file() else config.weights,
        "The versions of the libraries": str(versions()),
        "Ripeline's own code": _code_hash(),
    }
    start = journal.finished("start")
    if start is None:
        journal.finish("start", State(now))
        return
    for what, found in now.items():
        if start.facts.get(what) != found:
            raise InputError(
                f"{what} changed since the run was started.",
                expected="everything as it was: only then is the result that of an unbroken run",
                remedy="Restore it, or start again with: ripeline train DATA -o RUN --force",
            )


def versions() -> dict[str, str]:
    """Python and the libraries that decide what comes out."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in DISTRIBUTIONS}


def _code_hash() -> str:
    """Of this package: what it keeps in a state and what it does with it are known to itself alone."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def data_hash(items: Sequence[Item]) -> str:
    """SHA-256 over label and hash of every picture, in no order."""
    lines = sorted(f"{item.label} {item.sha256}" for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
