"""The table of `docs/reliability.md`, made of what the tests found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    to_safe_ms: float | None = None
    lost: int = 0
    doubled: int = 0
    recovered_ms: float | None = None
    note: str = ""


def write_table(file: Path, found: Sequence[Row]) -> None:
    """Put the rows between the marks of a page; those of faults that were not tried this time stay."""
    text = file.read_text("utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    lines = {line.split("|")[1].strip(): line for line in old.strip().splitlines()[2:]}
    for row in found:
        cells = [row.name, _ms(row.to_safe_ms), str(row.lost), str(row.doubled), _ms(row.recovered_ms), row.note]
        lines[row.name] = f"| {' | '.join(cells)} |"
    head = ["| fault | to the safe state, ms | decisions lost | ejections doubled | sorts again after, ms | |"]
    head += ["|---|---:|---:|---:|---:|---|"]
    table = "\n".join([*head, *lines.values()])
    file.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
