"""The labelled pictures of a new line that `ripeline adapt` is given, checked against the run that is to learn them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.records import UNSORTED
from evaluation.dataset import Dataset, read_dataset
from train.events import Notice, OnEvent
from train.run_directory import Run

FEW_GROUPS = 10
"""Under so many unrelated pictures the interval of what to expect is very wide: a notice."""


def read_line_pictures(run: Run, folder: Path, domain: str, on_event: OnEvent) -> Dataset:
    """Those that the run has not seen; where the manifest names no source, the folder is the source.

    Args:
        run: What is to be adapted.
        folder: One sub-folder a label, of labels that the run knows; some may be missing. What `collect` left in
            `unsorted` is none.
        domain: Column of the manifest that says where a picture comes from.
        on_event: Told of what is left out or few.

    Raises:
        InputError: A label that the run does not know, or no picture that it has not seen.
    """
    labels = run.record.labels
    found = read_dataset(folder, labels, every_label=False, domain=domain)
    strange = sorted(
        one.name for one in folder.iterdir()
        if one.is_dir() and not one.name.startswith(".") and one.name not in (*labels, UNSORTED) and any(one.iterdir())
    )  # fmt: skip
    if strange:
        raise InputError(
            f"The run does not know the label '{strange[0]}' of {folder / strange[0]}.",
            expected=f"folders named as its labels: {', '.join(labels)}",
            remedy="Rename or remove the folder; a label that is new needs a new training: ripeline train",
        )
    seen = {row.sha256 for row in run.splits}
    items = tuple(item for item in found.items if item.sha256 not in seen)
    if not items:
        raise InputError(
            f"There is no picture in {folder} that run {run.folder} has not seen.",
            expected=f"labelled pictures of the new line, in folders named {', '.join(labels)}",
            remedy="Collect 10 to 40 pictures a label at the line itself.",
        )
    for text in found.notices:
        on_event(Notice(text))
    if len(items) < len(found.items):
        on_event(Notice(f"{len(found.items) - len(items)} pictures left out: the run has seen them already."))
    units = len({item.group for item in items})
    if units < FEW_GROUPS:
        on_event(
            Notice(
                f"Only {units} unrelated pictures of the new line: what to expect there stays a guess. "
                "10 to 40 a label would tell more."
            )
        )
    place = folder.resolve().name
    named = tuple(item if item.source else dataclasses.replace(item, source=place) for item in items)
    return dataclasses.replace(found, items=named)
