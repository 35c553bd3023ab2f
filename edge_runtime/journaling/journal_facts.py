"""What the reporter process says of its journal and receivers, left in a small file for who tells people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_runtime.journaling.drain import ReporterFacts
from edge_runtime.journaling.recorder import JournalFacts

FACTS = "reporting.json"


def write_facts(file: Path, document: dict[str, Any]) -> None:
    """Replace a small JSON file in one go; where the folder is gone or full, it stays as it was."""
    aside = file.with_name(f".{file.name}")
    try:
        aside.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)


def read_facts(runtime: Path) -> tuple[JournalFacts, tuple[ReporterFacts, ...]] | None:
    """What the reporter process last said of itself; None where it has not yet."""
    try:
        document = json.loads((runtime / FACTS).read_text("utf-8"))
        journal = document["journal"] | {"set_aside": tuple(document["journal"]["set_aside"])}
        return JournalFacts(**journal), tuple(ReporterFacts(**one) for one in document["reporters"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
