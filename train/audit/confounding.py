"""Whether a label can be learned from where a picture was taken instead of from the fruit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from evaluation.dataset import Dataset, Item
from train.audit.findings import Finding, Kind, Severity
from train.audit.probe import held_out_probabilities

GIVEN_AWAY = 0.75
"""A label that the source alone names with this probability or more is confounded with it."""
LEAST_PICTURES = 20
"""Of a source within a label, for the probe to learn it."""
TOLD_APART = 0.2
"""Recall of sources, on a scale from 0 (guessing) to 1, from which pictures are said to show their source."""


def source_table(items: Sequence[Item], labels: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Sources by name, and how many pictures each has of each label, `[sources, labels]`; "" is no source."""
    names = sorted({item.source or "" for item in items})
    table = np.zeros((len(names), len(labels)), np.int64)
    for item in items:
        table[names.index(item.source or ""), labels.index(item.label)] += 1
    return names, table


def given_away(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How surely the source alone names each label, `[labels]`, 1 / labels (it says nothing) to 1 (it says all).

    The mean over a label's pictures of P(label | source), with all labels equally frequent; nan for an empty label.
    """
    shares = table / np.maximum(table.sum(axis=0), 1)
    named = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    sureness: npt.NDArray[np.float64] = (shares * named).sum(axis=0)
    return np.where(table.sum(axis=0) > 0, sureness, np.nan)


def visible_sources(
    items: Sequence[Item], features: npt.NDArray[np.float32], groups: Sequence[str]
) -> dict[str, float]:
    """How well a probe tells the sources of one label's pictures apart, by label: 0 is guessing, 1 is always right.

    Cross-validated by group; labels without two sources of `LEAST_PICTURES` each, in at least two groups, are left out.

    Args:
        items: N pictures.
        features: `[N, channels]` float32, of a frozen backbone.
        groups: Of each picture; related pictures never stand on both sides.
    """
    visible = {}
    group_of = np.asarray(groups)
    source_of = np.array([item.source or "" for item in items])
    for label in dict.fromkeys(item.label for item in items):
        mine = np.array([item.label == label for item in items]) & (source_of != "")
        names = [n for n in np.unique(source_of[mine]) if (source_of[mine] == n).sum() >= LEAST_PICTURES]
        rows = np.flatnonzero(mine & np.isin(source_of, names))
        truth = np.searchsorted(names, source_of[rows])
        if len(names) < 2:
            continue
        probabilities = held_out_probabilities(features[rows], truth, group_of[rows])
        if probabilities is not None:
            right = probabilities.argmax(axis=1) == truth
            recall = np.mean([right[truth == i].mean() for i in range(len(names))])
            visible[label] = float((recall - 1 / len(names)) / (1 - 1 / len(names)))
    return visible


def confounding_findings(dataset: Dataset, visible: Mapping[str, float]) -> list[Finding]:
    """Labels that the source gives away; certain to matter where the pictures show their source.

    Args:
        dataset: With sources, or the result is empty.
        visible: From `visible_sources`; empty when only the counts were looked at.
    """
    names, table = source_table(dataset.items, dataset.labels)
    if len([name for name in names if name]) < 2 or len(dataset.labels) < 2:
        return []
    seen = float(np.mean(list(visible.values()))) if visible else None
    hidden = seen is not None and seen < TOLD_APART
    sureness = given_away(table)
    findings = []
    for column in np.flatnonzero(sureness >= GIVEN_AWAY):
        label, own = dataset.labels[column], table[:, column]
        alone = sum(int(n) for n, others in zip(own, table.sum(axis=1) - own, strict=True) if not others)
        sentence = (
            f"Where a picture comes from names the label '{label}' with {sureness[column]:.0%} certainty "
            f"({1 / len(dataset.labels):.0%} would say nothing); {alone} of its {own.sum()} pictures come from sources "
            "that show no other label."
        )
        if seen is not None:
            sentence += (
                f" Within a label, pictures show where they come from (probe: {seen:.0%}; 0% is guessing), so "
                "a model can learn the place instead of the fruit."
                if not hidden
                else f" Within a label, pictures hardly show where they come from (probe: {seen:.0%}; 0% is guessing)."
            )
        findings.append(
            Finding(
                kind=Kind.CONFOUNDED,
                severity=Severity.NOTE if hidden else Severity.WARNING,
                sentence=sentence,
                score=float(sureness[column]),
            )
        )
    return findings
