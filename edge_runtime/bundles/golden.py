"""The golden self-test: does this artefact, on this engine and machine, say what it said when it was exported?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import Bundle
from edge_runtime.bundles.manifest import FloatTolerance, QuantizedTolerance
from edge_runtime.deciding.decide import softmax
from edge_runtime.engines import open_engine
from edge_runtime.errors import BundleError
from edge_runtime.ports import Engine

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Outcome of one self-test; `reason` is empty when it passed."""

    passed: bool
    max_logit_difference: float
    median_logit_difference: float
    reason: str


def compare(
    found: Logits, recorded: Logits, keras_logits: Logits, tolerance: FloatTolerance | QuantizedTolerance
) -> SelfTest:
    """Hold logits `[n, labels]` against the recorded ones of the same inputs."""
    if found.shape != recorded.shape or not np.isfinite(found).all():
        return _failed(f"outputs are not finite numbers of shape {recorded.shape}")
    difference = np.abs(found - recorded)
    largest, median = float(difference.max()), float(np.median(difference))
    if isinstance(tolerance, FloatTolerance):
        passed = largest <= tolerance.max_logit_difference
        reason = "" if passed else f"logits differ by up to {largest:.4g}, at most {tolerance.max_logit_difference:g}"
        return SelfTest(passed, largest, median, reason)
    best_two = np.sort(softmax(keras_logits), axis=-1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] >= tolerance.clear_margin
    flipped = int(np.sum(clear & (found.argmax(axis=-1) != recorded.argmax(axis=-1))))
    reasons = []
    if flipped:
        reasons.append(f"{flipped} of {int(clear.sum())} clear cases get another label")
    if median > tolerance.median_logit_difference:
        reasons.append(f"median logit difference {median:.3g}, at most {tolerance.median_logit_difference:.3g}")
    return SelfTest(not reasons, largest, median, "; ".join(reasons))


def run_self_test(bundle: Bundle, artefact: str, engine: Engine) -> SelfTest:
    """Feed the golden inputs to a loaded engine and compare."""
    golden, record = bundle.golden, bundle.record(artefact, engine.name)
    recorded = golden.logits.get((artefact, engine.name))
    if recorded is None:
        return _failed(f"no golden outputs were recorded for {artefact} on {engine.name}")
    try:
        found = engine.logits(golden.inputs)
    except Exception as error:  # every engine has its own kinds; a model that takes other inputs is none of ours
        return _failed(f"it does not take the golden inputs: {error}")
    return compare(found, recorded, golden.keras_logits, record.golden)


def open_proven_engine(bundle: Bundle, artefact: str, engine: str, threads: int = 1) -> Engine:
    """Load an engine and let it through only when the self-test passes; raises BundleError or EngineError."""
    bundle.record(artefact, engine)
    loaded = open_engine(engine, bundle.file(bundle.artefact(artefact)), threads)
    outcome = run_self_test(bundle, artefact, loaded)
    if not outcome.passed:
        raise BundleError(
            f"{artefact} on {engine} does not behave on this machine as it did when {bundle.folder} was exported: "
            f"{outcome.reason}.",
            remedy="choose another --engine or --artefact, or export on a machine like this one",
        )
    return loaded


def _failed(reason: str) -> SelfTest:
    return SelfTest(False, np.inf, np.inf, reason)
