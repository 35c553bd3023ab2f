"""What a run knows about its model beside its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Item, Picture, read_images
from evaluation.manifest import read_manifest
from evaluation.view_correlation import ViewCorrelation
from train.audit.findings import Summary
from train.forgetting import Forgetting, measure_forgetting
from train.pictures import FilePictures, Pictures
from train.shift import FeatureSet, Shift, measure_shift, refuse_few

MOST_PICTURES = 1000
"""Of any set that goes through a backbone once more: further ones would cost time and change no second digit."""

Features = Callable[[Pictures], npt.NDArray[np.float32]]
"""From pictures to the pooled features of a backbone, `[N, channels]`."""

_One = TypeVar("_One")


class Evidence(BaseModel):
    """The part of `run.json` that says what else is known.

    Attributes:
        view_correlation: rho, for the runtime.
        forgetting: By set of pictures, `validation` and perhaps `retention`; empty where nothing was fine-tuned.
        shift: Between the training pictures and those of `--target`.
        audit: What the quick audit of the data found, worst first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    view_correlation: ViewCorrelation = ViewCorrelation()
    forgetting: dict[str, Forgetting] = {}
    shift: Shift | None = None
    audit: tuple[Summary, ...] = ()


def forgetting_on(
    sets: Mapping[str, Sequence[Picture]], spec: InputSpec, before: Features, after: Features, *, seed: int
) -> dict[str, Forgetting]:
    """CKA between the untouched and the trained backbone on each set of pictures; sets of under four are left out."""
    found = {}
    for name, pictures in sets.items():
        seen = FilePictures(some_of(pictures, seed), spec)
        measured = measure_forgetting(before(seen), after(seen))
        if measured is not None:
            found[name] = measured
    return found


def shift_to(target: Path, training: Sequence[Item], spec: InputSpec, features: Features, *, seed: int) -> Shift:
    """Compare the training pictures with those below a folder, labelled or not.

    Args:
        target: Pictures from the line; a `manifest.csv` among them says which belong together.
        training: What the model learns from.
        spec: Of the model's input.
        features: Of the untouched backbone, so that the answer does not depend on what was learned.
        seed: Of draws and shuffling.

    Raises:
        InputError: No or too few readable pictures.
    """
    learned, from_line = some_of(training, seed), some_of(read_target(target), seed)
    return measure_shift(
        FeatureSet(features(FilePictures(learned, spec)), [item.group for item in learned]),
        FeatureSet(features(FilePictures([one for one, _ in from_line], spec)), [group for _, group in from_line]),
        [one.file for one, _ in from_line],
        seed=seed,
    )


def read_target(target: Path) -> list[tuple[Picture, str]]:
    """The pictures below a folder, each with its group: by the manifest's `group` or `fruit`, else each its own.

    Raises:
        InputError: No or too few readable pictures.
    """
    folder = read_images(target)
    rows = (read_manifest(folder.folder) if target.is_dir() else None) or {}
    found = []
    for picture in folder.pictures:
        row = rows.get(picture.file, {})
        found.append((picture, row.get("group") or row.get("fruit") or picture.sha256))
    refuse_few([group for _, group in found], str(target))
    return found


def some_of(pictures: Sequence[_One], seed: int) -> list[_One]:
    """`MOST_PICTURES` drawn without replacement, in their order; all where there are no more."""
    if len(pictures) <= MOST_PICTURES:
        return list(pictures)
    chosen = np.random.default_rng(seed).choice(len(pictures), MOST_PICTURES, replace=False)
    return [pictures[i] for i in sorted(chosen)]
