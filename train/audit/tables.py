"""An audit for tools: `audit.csv`, `groups.csv` and the JSON document."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from train.audit.findings import Severity, summarise
from train.audit.full import Audit

AUDIT_HEADER = ("finding", "severity", "kind", "file", "label", "suggested_label", "score", "sentence")
GROUPS_HEADER = ("file", "label", "group", "fruit", "source", "box_px")


def write_findings(path: Path, audit: Audit) -> None:
    """A line for each file of each finding, worst first and numbered; one without files has one line."""
    label_of = {item.file: item.label for item in audit.dataset.items}
    lines: list[Sequence[object]] = []
    for number, found in enumerate(audit.findings, start=1):
        for file in found.files or ("",):
            label = label_of.get(file, file.split("/", 1)[0] if file else "")
            suggested = found.suggested_label or ""
            score = f"{found.score:.4f}"
            lines.append([number, found.severity, found.kind, file, label, suggested, score, found.sentence])
    _write(path, AUDIT_HEADER, lines)


def write_groups(path: Path, audit: Audit) -> None:
    """A `manifest.csv` for the data in which pictures that are one picture are one group."""
    lines: list[Sequence[object]] = []
    for item, group in zip(audit.dataset.items, audit.groups, strict=True):
        box = item.box
        shape = f"{box.x_px:g} {box.y_px:g} {box.width_px:g} {box.height_px:g}" if box else ""
        lines.append([item.file, item.label, group, item.fruit or "", item.source or "", shape])
    _write(path, GROUPS_HEADER, lines)


def document(audit: Audit) -> dict[str, object]:
    """What `ripeline audit --json` prints."""
    dataset = audit.dataset
    return {
        "data": str(dataset.folder),
        "serious": audit.serious,
        "pictures": {label: sum(item.label == label for item in dataset.items) for label in dataset.labels},
        "unreadable": len(dataset.unreadable),
        "counts": {severity: sum(f.severity is severity for f in audit.findings) for severity in Severity},
        "probe_accuracy": audit.probe_accuracy,
        "summary": [one.model_dump(mode="json") for one in summarise(audit.findings)],
        "findings": [
            {
                "kind": found.kind,
                "severity": found.severity,
                "sentence": found.sentence,
                "remedy": found.remedy,
                "files": list(found.files),
                "score": found.score,
                "suggested_label": found.suggested_label,
            }
            for found in audit.findings
        ],
    }


def _write(path: Path, header: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
