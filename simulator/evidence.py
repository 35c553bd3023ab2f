"""What a scored run left behind: decisions, views and ejections on one side, the truth on the other."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError

Row = dict[str, Any]

SCHEMA_VERSION = 2
"""Of `score.json`."""

_DEFAULT_MM_PER_PX = 0.4


@dataclass(frozen=True, slots=True)
class Evidence:
    """The files of one run, as they are read.

    `firings`, `ejections`, `tracks` and `scene` may be missing, and with them the figures that rest on them.
    """

    decisions: list[Row]
    truth: list[Row]
    summary: Row = field(default_factory=dict)
    firings: list[Row] = field(default_factory=list)
    ejections: list[Row] = field(default_factory=list)
    tracks: list[Row] = field(default_factory=list)
    scene: Row | None = None

    @property
    def mm_per_px(self) -> float:
        """Scale of the picture."""
        return float(self.scene["scenario"]["camera"]["mm_per_px"]) if self.scene else _DEFAULT_MM_PER_PX

    @property
    def ejector(self) -> Row | None:
        """Where the ejectors stand and how wide they act."""
        return self.scene["scenario"]["ejector"] if self.scene else None


def read_evidence(run: Path, truth: Path) -> Evidence:
    """Read what `run` wrote, and the truth.

    Args:
        run: Folder with `decisions.jsonl` and `summary.json`, and perhaps `tracks.csv` and `firings.jsonl`.
        truth: `truth.jsonl`, or a folder that holds it: a clip, or the run's own folder for a simulated source.
            `scene.json` and `ejections.jsonl` are looked for beside it.

    Raises:
        InputError: A file is missing or broken; names it.
    """
    file = truth / "truth.jsonl" if truth.is_dir() else truth
    scene = file.parent / "scene.json"
    summary = run / "summary.json"
    return Evidence(
        decisions=_lines(run / "decisions.jsonl", needed=True),
        truth=_lines(file, needed=True),
        summary=_document(summary) if summary.is_file() else {},
        firings=_lines(run / "firings.jsonl"),
        ejections=_lines(file.parent / "ejections.jsonl"),
        tracks=_tracks(run / "tracks.csv"),
        scene=_document(scene) if scene.is_file() else None,
    )


def read_score(run: Path) -> Row:
    """The figures of a run that was scored before.

    Raises:
        InputError: It was not, or by a version that counted otherwise.
    """
    file = run / "score.json"
    if not file.is_file():
        raise InputError(f"{file}: no such file", remedy=f"ripeline score {run} TRUTH")
    figures = _document(file)
    if figures.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{file} was written by another version of Ripeline.", remedy=f"ripeline score {run} TRUTH")
    return figures


def _lines(file: Path, *, needed: bool = False) -> list[Row]:
    if not file.is_file():
        if needed:
            raise InputError(f"{file}: no such file", expected="what `ripeline run` or `ripeline simulate clip` writes")
        return []
    try:
        return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{file}: {error}", expected="one JSON object a line") from error


def _document(file: Path) -> Row:
    try:
        document: Row = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: {error}", expected="a JSON document") from error
    return document


def _tracks(file: Path) -> list[Row]:
    if not file.is_file():
        return []
    floats = dict.fromkeys(("position_mm", "across_mm", "belt_mm"), float)
    numbers = {"frame": int, "fruit_id": int, "captured_ns": int, **floats}
    with file.open(encoding="utf-8", newline="") as stream:
        return [
            {name: kind(row[name]) if row[name] else None for name, kind in numbers.items()}
            for row in csv.DictReader(stream)
        ]
