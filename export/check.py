"""Hold a bundle against this machine, against labelled pictures, and against another bundle. Needs the edge alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.engines import is_installed
from edge_runtime.errors import BundleError, InputError, RipelineError
from edge_runtime.golden import open_proven_engine
from edge_runtime.manifest import Artefact, Result
from evaluation.dataset import Dataset, load_inputs
from export.measure import measure
from export.parity import REGRESSION_MARGINS, Parity, judge

REFERENCE = "tflite-fp32"

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, of one artefact on one engine; `reason` says why it did not simply pass."""

    subject: str
    artefact: str
    engine: str
    result: Result
    reason: str = ""
    parity: Parity | None = None

    @property
    def name(self) -> str:
        """Artefact and engine, as people read them."""
        return f"{self.artefact} on {self.engine}" if self.engine else self.artefact

    def row(self) -> dict[str, Any]:
        """For JSON."""
        figures = None if self.parity is None else self.parity.model_dump(mode="json")
        return {
            "check": self.subject,
            "artefact": self.artefact,
            "engine": self.engine,
            "result": self.result,
            "reason": self.reason,
            "parity": figures,
        }


def check_self_test(bundle: Bundle) -> list[Check]:
    """The golden self-test of every pair whose engine is installed here; a bundle with none of them fails."""
    checks = []
    for artefact, engine, _ in bundle.manifest.pairs():
        if not is_installed(engine):
            continue
        try:
            open_proven_engine(bundle, artefact.name, engine)
            checks.append(Check("self-test", artefact.name, engine, Result.PASS))
        except RipelineError as error:
            checks.append(Check("self-test", artefact.name, engine, Result.FAIL, error.what))
    if not checks:
        engines = sorted({engine for _, engine, _ in bundle.manifest.pairs()})
        raise BundleError(
            f"None of the engines of {bundle.folder} is installed here.",
            expected=f"at least one of {', '.join(engines)}",
            remedy="pip install 'ripeline[edge]'",
        )
    return checks


def check_parity(bundle: Bundle, dataset: Dataset, reference: Logits | None = None) -> list[Check]:
    """Every artefact on every engine here against a reference, on labelled pictures.

    Args:
        bundle: Under test.
        dataset: Pictures with the bundle's labels.
        reference: Logits `[n, labels]` of the Keras model; None for the bundle's own float32 artefact.
    """
    inputs, truth = load_inputs(dataset.items, bundle.manifest.input), dataset.label_indices()
    subject = "parity with Keras"
    if reference is None:
        subject = f"parity with {REFERENCE}"
        reference = logits_of(bundle, bundle.artefact(REFERENCE), inputs)
    checks = []
    for artefact in bundle.manifest.artefacts:
        engines = [engine for engine in artefact.engines if is_installed(engine)]
        if not engines:
            continue
        for measured in measure(bundle.file(artefact), inputs, engines):
            parity = judge(bundle.manifest.labels, truth, reference, measured.logits)
            checks.append(
                Check(subject, artefact.name, measured.engine, parity.result, "; ".join(parity.reasons), parity)
            )
    return checks


def check_regression(new: Bundle, old: Bundle, dataset: Dataset) -> Check:
    """The default artefacts of two bundles on the same pictures: is the new one no worse?

    Raises:
        InputError: The bundles do not know the same labels.
    """
    if set(new.manifest.labels) != set(old.manifest.labels):
        raise InputError(
            f"{new.folder} and {old.folder} do not know the same labels: "
            f"{', '.join(new.manifest.labels)} and {', '.join(old.manifest.labels)}.",
            remedy="compare bundles of one task; for a new set of labels there is no baseline yet",
        )
    name = new.manifest.default_artefact
    found = logits_of(new, new.artefact(name), load_inputs(dataset.items, new.manifest.input))
    before = logits_of(old, old.artefact(old.manifest.default_artefact), load_inputs(dataset.items, old.manifest.input))
    by_name = [old.manifest.labels.index(label) for label in new.manifest.labels]
    parity = judge(
        new.manifest.labels,
        dataset.label_indices(),
        np.ascontiguousarray(before[:, by_name]),
        found,
        REGRESSION_MARGINS,
    )
    subject = f"no worse than {old.manifest.bundle_id}"
    return Check(subject, name, "", parity.result, "; ".join(parity.reasons), parity)


def logits_of(bundle: Bundle, artefact: Artefact, inputs: npt.NDArray[np.uint8]) -> Logits:
    """Outputs of an artefact on the first of its engines that is installed here."""
    engines = [engine for engine in artefact.engines if is_installed(engine)]
    if not engines:
        raise BundleError(
            f"No engine for {artefact.name} of {bundle.folder} is installed here.",
            expected=f"one of {', '.join(artefact.engines)}",
            remedy="pip install 'ripeline[edge]'",
        )
    return next(measure(bundle.file(artefact), inputs, engines[:1])).logits


def verdict(checks: Sequence[Check]) -> Result:
    """The worst of all results."""
    return Result.worst([check.result for check in checks])


def require_pictures(dataset: Dataset, folder: Path) -> None:
    """Raise InputError when no picture has a label of the bundle."""
    if not dataset.items:
        raise InputError(
            f"No readable picture in {folder} has a label of the bundle.",
            expected=f"sub-folders named {', '.join(dataset.labels)}",
        )
