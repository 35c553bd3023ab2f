"""Truth on disk, and the name by which a run and its truth know each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SCENE, TRUTH = "scene.json", "truth.jsonl"


def write_truth(folder: Path, truth: list[dict[str, Any]], scene: dict[str, Any]) -> None:
    """Write `truth.jsonl` and `scene.json`, both with the line's `line_id`."""
    line_id = line_id_of(truth, scene)
    write_lines(folder / TRUTH, [row | {"line_id": line_id} for row in truth])
    (folder / SCENE).write_text(json.dumps({"line_id": line_id, **scene}, indent=2) + "\n", "utf-8")


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def line_id_of(truth: list[dict[str, Any]], scene: dict[str, Any]) -> str:
    """A line's name: the same for the same scenario, seed and fruit, and other frame numbers make another."""
    # Where photographs lie makes no difference; what was cut out of them stands in the truth.
    known = [{key: scene[key] for key in ("seed", "film", "scenario")}, truth]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def line_id_beside(source: Path) -> str | None:
    """The name of the line that a recording or a run's folder shows; None where no `scene.json` says it."""
    for folder in (source, source.parent):
        try:
            scene = json.loads((folder / SCENE).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        found = scene.get("line_id") if isinstance(scene, dict) else None
        if isinstance(found, str):
            return found
    return None
