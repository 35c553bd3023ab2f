"""A whole audit: what each picture looks like, and what a frozen network makes of all of them together."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from edge_runtime.quiet import native_stderr_silenced
from evaluation.dataset import Dataset
from train.audit.confounding import confounding_findings, visible_sources
from train.audit.findings import Finding, Kind, Severity, worst_first
from train.audit.labels import label_findings
from train.audit.looks import OnProgress
from train.audit.probe import held_out_probabilities
from train.audit.quick import quick_audit
from train.pictures import FilePictures

FeaturesOf = Callable[[Dataset, OnProgress], npt.NDArray[np.float32]]
"""Features of a frozen network, `[N, channels]`, for the N items of a data set."""
OnStage = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was found about a data set.

    Attributes:
        dataset: What was looked at.
        findings: Worst first.
        groups: Of each item, where groups that share a picture have become one.
        probe_accuracy: Share of held-out pictures whose label a probe on the frozen network finds, None where it did
            not look. Far below what a trained model should reach, its findings about labels mean little.
        visible: By label, how well the sources of its pictures are told apart (`visible_sources`).
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    groups: tuple[str, ...]
    probe_accuracy: float | None = None
    visible: dict[str, float] = field(default_factory=dict)

    @property
    def serious(self) -> bool:
        """Whether anything certain spoils training or its figures."""
        return any(finding.severity is Severity.SERIOUS for finding in self.findings)


def network_features(weights: str, alpha: float, size_px: int) -> FeaturesOf:
    """Features of MobileNetV2 as `ripeline train` would start from it; loads TensorFlow.

    Raises:
        InputError: The weights cannot be had.
    """
    with native_stderr_silenced():
        importlib.import_module("tensorflow")
    from train.backbone import build_backbone
    from train.features import pooled_features

    backbone = build_backbone(size_px, alpha, weights)
    spec = InputSpec(size_px=size_px)
    return lambda dataset, on_progress: pooled_features(backbone, FilePictures(dataset.items, spec), on_progress)


def audit(
    dataset: Dataset, features_of: FeaturesOf | None, on_stage: OnStage = lambda _stage, _done, _total: None
) -> Audit:
    """Look at everything.

    Args:
        dataset: Read with `every_label=False`, so that empty labels are findings and not errors.
        features_of: Of a frozen network, for labels and sources; None leaves these out.
        on_stage: Told (stage, done, total) in the calling thread; stages are `pictures`, `features` and `probe`.

    Raises:
        InputError: A file has gone since the data were read.
    """
    quick = quick_audit(dataset, lambda done, total: on_stage("pictures", done, total))
    present = [label for label in dataset.labels if any(item.label == label for item in dataset.items)]
    if features_of is None or len(present) < 2:
        return Audit(dataset, quick.findings, quick.groups)
    features = features_of(dataset, lambda done, total: on_stage("features", done, total))
    on_stage("probe", 0, 2)
    truth = np.array([present.index(item.label) for item in dataset.items], np.int64)
    probabilities = held_out_probabilities(features, truth, np.asarray(quick.groups))
    on_stage("probe", 1, 2)
    visible = visible_sources(dataset.items, features, quick.groups)
    on_stage("probe", 2, 2)
    findings = [finding for finding in quick.findings if finding.kind is not Kind.CONFOUNDED]
    findings += confounding_findings(dataset, visible)
    if probabilities is None:
        findings.append(
            Finding(
                kind=Kind.MISLABELLED,
                severity=Severity.NOTE,
                sentence="Labels could not be compared: a label's pictures are all in one group.",
            )
        )
        return Audit(dataset, worst_first(findings), quick.groups, None, visible)
    findings += label_findings(dataset.items, present, truth, probabilities)
    accuracy = float((probabilities.argmax(axis=1) == truth).mean())
    return Audit(dataset, worst_first(findings), quick.groups, accuracy, visible)
