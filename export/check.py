"""Hold a bundle against this machine, against labelled pictures, and against another bundle. Needs the edge alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import Bundle
from edge_runtime.bundles.golden import open_proven_engine
from edge_runtime.bundles.manifest import Artefact, Result
from edge_runtime.engines import is_installed, open_engine
from edge_runtime.errors import BundleError, EngineError, InputError, RipelineError
from evaluation.dataset import Dataset, load_inputs
from export.diagnosis import HANDFUL, Reference, Suspects
from export.gate import GatePolicy
from export.measure import Unavailable, measure
from export.parity import FLOAT_MARGINS, PARITY_MARGINS, Parity, judge

REFERENCE = "tflite-fp32"
FLOAT_FORMATS = ("tflite-fp32", "onnx-fp32")

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


def not_whole(reason: str) -> list[Check]:
    """Of a bundle that cannot even be opened, or is not trusted, for this reason."""
    return [Check("whole and trusted", "bundle", "", Result.FAIL, reason)]


def check_standing(bundle: Bundle, *, settles: bool = True) -> list[Check]:
    """What the bundle says of itself: one that was rejected stays so, whatever is found now.

    Args:
        bundle: Opened.
        settles: Whether what was INCONCLUSIVE when it was exported is for others to settle.
    """
    reason = {
        Result.FAIL: "it failed parity when it was exported and is marked rejected",
        Result.INCONCLUSIVE: "it was judged on too few pictures when it was exported",
    }.get(bundle.manifest.result)
    if reason is None or (settles and bundle.manifest.result is Result.INCONCLUSIVE):
        return []
    return [Check("parity when exported", "bundle", "", bundle.manifest.result, reason)]


def cannot_run(artefact: str, checks: Sequence[Check]) -> bool:
    """Whether an artefact failed its self-test on every engine that there is for it here."""
    tried = [one.result for one in checks if one.subject == "self-test" and one.artefact == artefact]
    return bool(tried) and all(result is Result.FAIL for result in tried)


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
            checks.append(
                Check("self-test", artefact.name, engine, Result.FAIL, error.what + _cause(bundle, artefact, engine))
            )
    if not checks:
        engines = sorted({engine for _, engine, _ in bundle.manifest.pairs()})
        raise BundleError(
            f"None of the engines of {bundle.folder} is installed here.",
            expected=f"at least one of {', '.join(engines)}",
            remedy="pip install 'ripeline[edge]'",
        )
    return checks


def check_parity(
    bundle: Bundle, dataset: Dataset, reference: Reference | None = None, gate: GatePolicy | None = None
) -> list[Check]:
    """Every artefact on every engine here against a reference, on labelled pictures.

    Args:
        bundle: Under test.
        dataset: Pictures with the bundle's labels.
        reference: The Keras model, from uint8 inputs to logits `[n, labels]`; None for the bundle's own float32 one.
        gate: Whose margins hold where they are stricter than the usual ones.
    """
    inputs, truth = load_inputs(dataset.items, bundle.manifest.input), dataset.label_indices()
    subject = "parity with Keras"
    if reference is None:
        subject = f"parity with {REFERENCE}"
        reference = partial(logits_of, bundle, bundle.artefact(REFERENCE))
    expected, groups = reference(inputs), [item.group for item in dataset.items]
    few = np.unique(np.linspace(0, len(inputs) - 1, HANDFUL).astype(np.int64))
    suspects = Suspects(reference, inputs[few], [dataset.items[place] for place in few], bundle.manifest.input)
    checks = []
    for artefact in bundle.manifest.artefacts:
        engines = [engine for engine in artefact.engines if is_installed(engine)]
        if not engines:
            continue
        margins = FLOAT_MARGINS if artefact.format in FLOAT_FORMATS else PARITY_MARGINS
        if gate is not None:
            margins = margins.tightened(gate.allowed(bundle.manifest.labels), bundle.manifest.labels)
        for measured in measure(bundle.file(artefact), inputs, engines):
            if isinstance(measured, Unavailable):
                checks.append(Check(subject, artefact.name, measured.engine, Result.FAIL, measured.reason))
                continue
            parity = judge(bundle.manifest.labels, truth, expected, measured.logits, margins, groups)
            reasons = list(parity.reasons)
            if parity.result is Result.FAIL:
                reasons += filter(None, [suspects.explain(bundle.manifest.labels, measured.logits[few])])
            checks.append(Check(subject, artefact.name, measured.engine, parity.result, "; ".join(reasons), parity))
    return checks


def logits_of(bundle: Bundle, artefact: Artefact, inputs: npt.NDArray[np.uint8]) -> Logits:
    """Outputs of an artefact on the first of its engines that is installed here.

    Raises:
        BundleError: None of them is installed.
        EngineError: It cannot run the artefact.
    """
    engines = [engine for engine in artefact.engines if is_installed(engine)]
    if not engines:
        raise BundleError(
            f"No engine for {artefact.name} of {bundle.folder} is installed here.",
            expected=f"one of {', '.join(artefact.engines)}",
            remedy="pip install 'ripeline[edge]'",
        )
    measured = next(measure(bundle.file(artefact), inputs, engines[:1]))
    if isinstance(measured, Unavailable):
        raise EngineError(measured.reason, remedy="try another engine; `ripeline check BUNDLE` tells which work here")
    return measured.logits


def unseen(dataset: Dataset, bundles: Sequence[Bundle]) -> Dataset:
    """The pictures that no bundle learned from: on others the one that knows them by heart wins.

    Raises:
        InputError: There are none.
    """
    learned = frozenset().union(*(bundle.trained_on() for bundle in bundles))
    items = tuple(item for item in dataset.items if item.sha256 not in learned)
    if not items:
        raise InputError(
            f"The bundles learned from every picture in {dataset.folder}, so that it cannot tell which is better.",
            expected="labelled pictures that were kept from training",
            remedy="keep a folder of pictures for checking alone",
        )
    left_out = len(dataset.items) - len(items)
    text = f"{left_out} of {len(dataset.items)} pictures are left out: one of the bundles learned from them."
    return replace(dataset, items=items, notices=(*dataset.notices, *([text] if left_out else [])))


def _cause(bundle: Bundle, artefact: Artefact, engine: str) -> str:
    """In brackets, the usual mistake under which this engine would give what was recorded; empty when none does."""
    recorded = bundle.golden.logits.get((artefact.name, engine))
    try:
        loaded = open_engine(engine, bundle.file(artefact))
        if recorded is None or loaded.logits(bundle.golden.inputs).shape != recorded.shape:
            return ""
        suspects = Suspects(loaded.logits, bundle.golden.inputs, (), bundle.manifest.input)
        text = suspects.explain(bundle.manifest.labels, recorded)
    except Exception:  # it has been refused already; every engine has its own kinds of error
        return ""
    return f" (it {text})" if text else ""


def reasons(checks: Sequence[Check]) -> dict[str, Result]:
    """What there is to say, with the result that it belongs to: what failed first, the same of several in one line."""
    alike: dict[tuple[Result, str, str], list[str]] = {}
    for check in sorted(checks, key=lambda check: list(Result).index(check.result), reverse=True):
        if check.reason:
            alike.setdefault((check.result, check.subject, check.reason), []).append(check.name)
    return {
        f"{subject}: {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {reason}": result
        for (result, subject, reason), names in alike.items()
    }


def verdict(checks: Sequence[Check]) -> Result:
    """The worst of all results."""
    return Result.worst([check.result for check in checks])


def in_one_line(reasons: Sequence[str]) -> str:
    """The reason of a refusal for a log: the first one, and how many more there are."""
    first = " ".join(reasons[0].split()) if reasons else "no reason given"
    return first + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")


def require_pictures(dataset: Dataset, folder: Path) -> None:
    """Raise InputError when no picture has a label of the bundle."""
    if not dataset.items:
        raise InputError(
            f"No readable picture in {folder} has a label of the bundle.",
            expected=f"sub-folders named {', '.join(dataset.labels)}",
        )
