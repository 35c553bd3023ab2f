"""`audit.html`: what to look at, as pictures, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_runtime.records import Image
from evaluation.dataset import Dataset, Item
from evaluation.page import KeyFigure, Page, Section, Tile, Tone
from train.audit.confounding import GIVEN_AWAY, given_away, source_table
from train.audit.findings import TONES, WORDS, Finding, Kind, Severity, Summary, summarise
from train.audit.full import Audit
from train.audit.looks import region_of

MOST_TILES = 30
PAIRED = (Kind.CONTRADICTION, Kind.LEAK, Kind.DUPLICATE)
RELIABLE_PROBE = 0.8


def write_page(path: Path, audit: Audit) -> None:
    """Write the page; only pictures that are shown are read again."""
    dataset = audit.dataset
    page = Page("Data audit", f"{dataset.folder.resolve().name}: {', '.join(dataset.labels) or 'no labels'}")
    summaries = summarise(audit.findings)
    _overview(page.section("Can this be trained on?"), audit, summaries)
    items = {item.file: item for item in dataset.items}
    for summary in summaries:
        some = [f for f in audit.findings if (f.kind, f.severity) == (summary.kind, summary.severity)]
        if some[0].files:
            _pictures(page.section(WORDS[summary.kind].title), summary, some, items)
    _labels(page.section("Labels and sources"), dataset, audit)
    page.write(path)


def _overview(section: Section, audit: Audit, summaries: Sequence[Summary]) -> None:
    counts = {severity: sum(f.severity is severity for f in audit.findings) for severity in Severity}
    serious, warnings = counts[Severity.SERIOUS], counts[Severity.WARNING]
    section.verdict(*_verdict(counts))
    section.key_figures(
        [
            KeyFigure("Pictures", str(len(audit.dataset.items)), f"of {len(audit.dataset.labels)} labels"),
            KeyFigure("Serious", str(serious), "fix these", "bad" if serious else "good"),
            KeyFigure("Warnings", str(warnings), "look at these", "warn" if warnings else "good"),
            KeyFigure("Notes", str(counts[Severity.NOTE]), "worth knowing"),
        ]
    )  # fmt: skip
    if summaries:
        section.table(
            ["What", "How bad", "Found", "What to do"],
            [[WORDS[one.kind].title, one.severity, one.count, one.remedy] for one in summaries],
        )
    for notice in audit.dataset.notices:
        section.notice(notice, "plain")
    if audit.probe_accuracy is None:
        section.text("Labels and sources were not compared with what a network sees.")
    else:
        section.text(
            f"A probe on a frozen network finds the label of {audit.probe_accuracy:.0%} of the pictures when it has "
            "learned from the others; where it is sure of another label, the picture is listed."
        )
        if audit.probe_accuracy < RELIABLE_PROBE:
            section.notice("That is not much: take its doubts about labels as hints only.")


def _verdict(counts: dict[Severity, int]) -> tuple[str, Tone]:
    if counts[Severity.SERIOUS]:
        return "Not as it is: fix what is serious, then audit again.", "bad"
    if counts[Severity.WARNING]:
        return "Yes, but look at the warnings first: the first pictures of each kind are the worst.", "warn"
    return "Yes: nothing stands in the way.", "good"


def _pictures(section: Section, summary: Summary, findings: Sequence[Finding], items: dict[str, Item]) -> None:
    section.notice(summary.remedy, TONES[summary.severity])
    if summary.kind is Kind.UNREADABLE:
        section.table(["File"], [[finding.files[0]] for finding in findings])
        return
    tiles: list[Tile] = []
    shown = 0
    for number, finding in enumerate(findings, start=1):
        if tiles and len(tiles) + len(finding.files) > MOST_TILES:
            break
        shown = number
        tiles += [_tile(finding, number, items[file]) for file in finding.files[:MOST_TILES]]
    rest = (
        f"{shown} of {len(findings)}, worst first; all are in audit.csv." if shown < len(findings) else "Worst first."
    )
    section.gallery(tiles, rest)


def _tile(finding: Finding, number: int, item: Item) -> Tile:
    if finding.kind in PAIRED:
        caption = f"{number}: {item.label}"
    elif finding.suggested_label:
        caption = f"{item.label}, looks {finding.suggested_label}"
    else:
        caption = item.label
    detail = item.file if finding.kind in PAIRED or finding.suggested_label else f"{finding.sentence} {item.file}"
    if finding.kind is Kind.LEAK:
        detail += f", group {item.group[:16]}"
    return Tile(_squared(region_of(item)), caption, detail)


def _squared(image: Image) -> Image:
    """The whole picture on a light square, so that a square thumbnail hides nothing of it."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), 247, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _labels(section: Section, dataset: Dataset, audit: Audit) -> None:
    for finding in audit.findings:
        if not finding.files:
            section.notice(finding.sentence, TONES[finding.severity])
    if not dataset.labels:
        return
    groups = [len({i.group for i in dataset.items if i.label == label}) for label in dataset.labels]
    names, table = source_table(dataset.items, dataset.labels)
    rows: list[list[object]] = [[name or "(no source)", *counts] for name, counts in zip(names, table, strict=True)]
    rows += [["All", *table.sum(axis=0)], ["Groups", *groups]]
    caption = "Pictures of each label by source."
    if len(names) > 1:
        rows.append(["Given away", *(f"{100 * share:.0f} %" for share in given_away(table))])
        caption += (
            f" Given away: how surely the source alone names the label; {1 / len(dataset.labels):.0%} says nothing, "
            f"{GIVEN_AWAY:.0%} and more is a warning."
        )
    if audit.visible:
        rows.append(
            [
                "Source visible",
                *(f"{100 * audit.visible[x]:.0f} %" if x in audit.visible else "\u2013" for x in dataset.labels),
            ]
        )
        caption += " Source visible: how far beyond guessing a probe tells the sources of one label's pictures apart."
    section.table(["Source", *dataset.labels], rows, caption)
