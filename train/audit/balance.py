"""Whether there are enough pictures of each label, and what to expect where there are not."""

from __future__ import annotations

from collections import Counter

from evaluation.dataset import Dataset
from evaluation.intervals import wilson
from train.audit.findings import Finding, Kind, Severity

FEW_PICTURES = 200
TEST_SHARE = 0.15
HOPED_RECALL = 0.9
LARGEST_RATIO = 5.0


def balance_findings(dataset: Dataset) -> list[Finding]:
    """Labels that are missing, empty, few or rare. One label or an empty one is serious: nothing can be trained."""
    counts = Counter(item.label for item in dataset.items)
    findings = []
    if len(dataset.labels) < 2:
        found = f"There is only the label {dataset.labels[0]}." if dataset.labels else "There are no labels."
        findings.append(Finding(kind=Kind.LABELS, severity=Severity.SERIOUS, sentence=found, score=2.0))
    for label in dataset.labels:
        if not counts[label]:
            lost = sum(file.split("/", 1)[0] == label for file in dataset.unreadable)
            why = f"none of its {lost} pictures can be read" if lost else "it has no pictures"
            findings.append(
                Finding(
                    kind=Kind.LABELS, severity=Severity.SERIOUS, sentence=f"Label '{label}' is empty: {why}.", score=1.0
                )
            )
        elif counts[label] < FEW_PICTURES:
            findings.append(_few(dataset, label, counts[label]))
    most = max(counts, key=lambda label: counts[label], default="")
    findings += [
        Finding(
            kind=Kind.IMBALANCE,
            severity=Severity.NOTE,
            sentence=f"There are {counts[most] / counts[label]:.0f} pictures of '{most}' for each one of '{label}'.",
            score=counts[most] / counts[label],
        )
        for label in dataset.labels
        if counts[label] and counts[most] > LARGEST_RATIO * counts[label]
    ]
    return findings


def _few(dataset: Dataset, label: str, pictures: int) -> Finding:
    groups = len({item.group for item in dataset.items if item.label == label})
    tested = max(1, round(TEST_SHARE * groups))
    low, high = wilson(HOPED_RECALL * tested, tested)
    apart = f" in {groups} unrelated groups" if groups < pictures else ""
    return Finding(
        kind=Kind.FEW,
        severity=Severity.WARNING,
        sentence=f"Label '{label}' has {pictures} pictures{apart} (fewer than {FEW_PICTURES}). About {tested} will be "
        f"left to test with: a recall of {HOPED_RECALL:.0%} will then be known only as {low:.0%} to {high:.0%}.",
        score=FEW_PICTURES - pictures,
    )
