"""What a scored run left behind: decisions, views and ejections on one side, the truth on the other."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, StrictInt, StrictStr, ValidationError

from edge_runtime.errors import InputError
from edge_runtime.records import Verdict
from simulator.scenario import Scenario
from simulator.truth_file import SCENE, TRUTH

Row = dict[str, Any]

SCHEMA_VERSION = 2
"""Of `score.json`."""

_DEFAULT_MM_PER_PX = 0.4
_AS_WRITTEN = "what Ripeline writes: whole JSON objects"
_FARTHEST_MM = 1e12

_Number = Annotated[StrictInt, Field(ge=0, lt=2**53)]
_Place = Annotated[FiniteFloat, Field(ge=-_FARTHEST_MM, le=_FARTHEST_MM, strict=True)]
_Size = Annotated[FiniteFloat, Field(gt=0, le=1e6, strict=True)]


class TruthRow(BaseModel):
    """What the score needs of a line of `truth.jsonl`."""

    fruit_id: _Number
    label: StrictStr
    position_mm: _Place
    across_mm: _Place
    lane: _Number
    size_px: Annotated[list[_Size], Field(min_length=2, max_length=2)]
    offset_px: Annotated[list[_Place], Field(min_length=2, max_length=2)] = [0.0, 0.0]
    first_frame: _Number
    last_frame: _Number
    line_id: StrictStr | None = None


class DecidedRow(BaseModel):
    """What the score needs of a line of `decisions.jsonl`."""

    fruit_id: _Number
    verdict: Verdict
    label: StrictStr
    probabilities: dict[StrictStr, FiniteFloat]
    position_mm: _Place | None
    across_mm: _Place | None
    first_frame: _Number
    last_frame: _Number
    box_px: Annotated[list[StrictInt], Field(min_length=4, max_length=4)]


class FiringRow(BaseModel):
    """What the score needs of a line of `firings.jsonl`."""

    fruit_id: _Number
    fired_ns: StrictInt | None
    reason: StrictStr | None


class EjectionRow(BaseModel):
    """What the score needs of a line of `ejections.jsonl`."""

    fruit_id: _Number
    ejector: _Number
    acted_ns: StrictInt
    acted_mm: _Place


class Scene(BaseModel):
    """What the score needs of `scene.json`."""

    seed: _Number
    scenario: Scenario
    line_id: StrictStr | None = None


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
    def is_proven(self) -> bool:
        """Whether run and truth both say which line they are of."""
        return isinstance(self.summary.get("line_id"), str) and bool(_lines_of(self.truth, self.scene))

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
        InputError: A file is missing or broken, or the truth is of another line than the run; names it.
    """
    file = truth / TRUTH if truth.is_dir() else truth
    evidence = Evidence(
        decisions=_lines(_needed(run / "decisions.jsonl"), DecidedRow),
        truth=_lines(_needed(file), TruthRow),
        summary=_document(run / "summary.json") or {},
        firings=_lines(run / "firings.jsonl", FiringRow),
        ejections=_lines(file.parent / "ejections.jsonl", EjectionRow),
        tracks=_tracks(run / "tracks.csv"),
        scene=_scene(file.parent / SCENE),
    )
    _refuse_another_line(evidence, run, file)
    return evidence


def _lines_of(truth: Sequence[Row], scene: Row | None) -> set[str]:
    named = [*truth, *([scene] if scene else [])]
    return {row["line_id"] for row in named if row.get("line_id") is not None}


def _refuse_another_line(evidence: Evidence, run: Path, file: Path) -> None:
    """Runs and truths from before lines had names, or labelled by hand, have none and pass."""
    shown, known = evidence.summary.get("line_id"), _lines_of(evidence.truth, evidence.scene)
    if len(known) > 1:
        raise InputError(
            f"{file} and {SCENE} beside it are of {len(known)} different lines: {', '.join(sorted(known))}.",
            expected="both as `ripeline run` or `ripeline simulate clip` wrote them, side by side",
        )
    if isinstance(shown, str) and known and shown not in known:
        raise InputError(
            f"{file} is the truth of another line ({known.pop()}) than {run} saw "
            f"({shown}, {evidence.summary.get('source')}).",
            expected="the same scenario, seed, length and fruit",
            remedy="name the run's own folder for a sim: source, the clip's folder for a clip",
        )


def read_score(run: Path) -> Row:
    """The figures of a run that was scored before.

    Raises:
        InputError: It was not, or by a version that counted otherwise.
    """
    file = run / "score.json"
    figures = _document(file)
    if figures is None:
        raise InputError(f"{file}: no such file", remedy=f"ripeline score {run} TRUTH")
    if figures.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{file} was written by another version of Ripeline.", remedy=f"ripeline score {run} TRUTH")
    return figures


def _needed(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: no such file", expected="what `ripeline run` or `ripeline simulate clip` writes")
    return file


def _lines(file: Path, kind: type[BaseModel]) -> list[Row]:
    """Rows as they stand, each with what the score is made of; none where there is no file."""
    if not file.is_file():
        return []
    try:
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: {error}", expected=_AS_WRITTEN) from error
    for number, row in enumerate(rows, start=1):
        _require(kind, row, f"{file}, row {number}")
    return rows


def _require(kind: type[BaseModel], row: Any, where: str) -> None:
    try:
        kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the line"
        raise InputError(f"{where}: {key}: {first['msg']}", expected=_AS_WRITTEN) from error


def _document(file: Path) -> Row | None:
    if not file.is_file():
        return None
    try:
        document = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: {error}", expected="a JSON document") from error
    if not isinstance(document, dict):
        raise InputError(f"{file} holds a {type(document).__name__}.", expected="a JSON object")
    return document


def _scene(file: Path) -> Row | None:
    document = _document(file)
    if document is not None:
        _require(Scene, document, str(file))
    return document


def _tracks(file: Path) -> list[Row]:
    """Views; a last row that is cut short, as a killed run leaves it, is left out."""
    if not file.is_file():
        return []
    floats = dict.fromkeys(("position_mm", "across_mm", "belt_mm"), float)
    numbers: dict[str, type[int] | type[float]] = {
        "frame": int, "fruit_id": int, "lane": int, "captured_ns": int, **floats
    }  # fmt: skip
    text = file.read_text("utf-8", errors="replace")
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
    try:
        return [{name: kind(row[name]) if row[name] else None for name, kind in numbers.items()} for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{file} cannot be read as tracks: {error}", expected=f"columns {', '.join(numbers)} with numbers"
        ) from error
