"""Probabilities as a table that other tools can read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from evaluation.calibration import Probabilities
from evaluation.dataset import Picture


def write_predictions(
    path: Path,
    labels: Sequence[str],
    pictures: Sequence[Picture],
    probabilities: Probabilities,
    truth: Sequence[str] | None = None,
) -> None:
    """Write CSV with a line a picture: `file`, `label` (the most probable one), and a column a label.

    Args:
        path: Its folder is created if missing.
        labels: In the order of the columns of `probabilities`.
        pictures: The N pictures.
        probabilities: `[N, labels]`.
        truth: The true labels; a column of that name then stands after `file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", *(["truth"] if truth is not None else []), "label", *labels])
        for at, (picture, row) in enumerate(zip(pictures, probabilities, strict=True)):
            known = [truth[at]] if truth is not None else []
            writer.writerow([picture.file, *known, labels[int(row.argmax())], *(f"{share:.6f}" for share in row)])
