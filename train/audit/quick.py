"""The part of an audit that needs no network: what `ripeline train` runs before it trains."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.dataset import Dataset
from train.audit.balance import balance_findings
from train.audit.confounding import confounding_findings
from train.audit.duplicates import duplicate_findings, find_clusters, joined_groups
from train.audit.files import look_findings, unreadable_findings
from train.audit.findings import Finding, worst_first
from train.audit.looks import OnProgress, look_at


@dataclass(frozen=True, slots=True)
class QuickAudit:
    """Findings, worst first, and the group of each item where groups that share a picture have become one."""

    findings: tuple[Finding, ...]
    groups: tuple[str, ...]


def quick_audit(
    dataset: Dataset, on_progress: OnProgress = lambda _done, _total: None, *, near_copies: bool = True
) -> QuickAudit:
    """Look at each picture once: readable, large, light and sharp enough, there only once, and enough of them.

    Args:
        dataset: Read with or without `every_label`.
        on_progress: Told (pictures looked at, pictures) in the calling thread.
        near_copies: Look for pictures that were copied with changes, too; time and memory grow with pairs of pictures.

    Raises:
        InputError: A file has gone since the data were read.
    """
    items = dataset.items
    looks = look_at(items, on_progress, near_copies=near_copies)
    clusters = find_clusters(items, looks)
    findings = [
        *balance_findings(dataset),
        *unreadable_findings(dataset),
        *look_findings([item.file for item in items], looks),
        *duplicate_findings(items, clusters),
        *confounding_findings(dataset, {}),
    ]
    return QuickAudit(worst_first(findings), tuple(joined_groups(items, clusters)))
