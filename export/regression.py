"""Is a new bundle no worse than the last one, and than the best one there ever was? Needs the edge alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import Bundle
from edge_runtime.bundles.manifest import Artefact, Result
from edge_runtime.engines import is_installed
from edge_runtime.errors import BundleError, InputError
from evaluation.dataset import Dataset, load_inputs
from export.check import Check, logits_of
from export.gate import GatePolicy
from export.history import Entry, by_hash
from export.measure import Unavailable, measure
from export.parity import Margins, compare_answers, judge

_ROUNDS = 7
"""Times that old and new are measured in turn. The least counts: other programs can only add to it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the default artefact of a bundle takes on this machine, in a process of its own."""

    engine: str
    p50_ms: float
    size_mb: float
    peak_mb: float


def check_regression(new: Bundle, old: Bundle, dataset: Dataset, gate: GatePolicy) -> Check:
    """The default artefacts of two bundles on the same pictures, labels matched by name: is the new one no worse?

    Raises:
        InputError: The bundles do not know the same labels.
        ConfigError: The gate names a label that the bundle does not know.
    """
    labels = new.manifest.labels
    if set(labels) != set(old.manifest.labels):
        raise InputError(
            f"{new.folder} and {old.folder} do not know the same labels: "
            f"{', '.join(labels)} and {', '.join(old.manifest.labels)}. Right answers to two questions "
            "cannot be compared.",
            remedy="compare bundles of one task; for a new set of labels there is no baseline yet",
        )
    found = logits_of(new, _default(new), load_inputs(dataset.items, new.manifest.input))
    before = logits_of(old, _default(old), load_inputs(dataset.items, old.manifest.input))
    by_name = [old.manifest.labels.index(label) for label in labels]
    parity = judge(
        labels,
        dataset.label_indices(),
        np.ascontiguousarray(before[:, by_name]),
        found,
        gate.allowed(labels),
        [item.group for item in dataset.items],
    )
    subject = f"no worse than {old.manifest.bundle_id}"
    return Check(subject, new.manifest.default_artefact, "", parity.result, "; ".join(parity.reasons), parity)


def check_against_best(found: Entry, best: Entry, dataset: Dataset, margins: Margins) -> Check:
    """The new bundle against the best of the history, picture by picture, overall and for each label."""
    order = by_hash(dataset)
    truth = dataset.label_indices()[order]
    groups = np.array([dataset.items[place].group for place in order])
    before, now = best.was_right(), found.was_right()
    compared = compare_answers(found.labels, truth, before, now, margins, groups)
    subject = f"no worse than {best.bundle_id}, the best of the history"
    return Check(subject, found.artefact, "", compared.result, "; ".join(compared.reasons))


def measure_in_turn(bundles: Sequence[tuple[Bundle, npt.NDArray[np.uint8]]]) -> list[Footprint]:
    """The default artefact of each bundle, measured in turn on its own input `[1, size, size, 3]`.

    Raises:
        BundleError: One of them does not run here.
    """
    rounds = [[footprint(bundle, one) for bundle, one in bundles] for _ in range(_ROUNDS)]
    return [
        Footprint(
            engine=seen[0].engine,
            p50_ms=min(one.p50_ms for one in seen),
            size_mb=seen[0].size_mb,
            peak_mb=min(one.peak_mb for one in seen),
        )
        for seen in zip(*rounds, strict=True)
    ]


def check_ratios(artefact: str, new: Footprint, old: Footprint, gate: GatePolicy) -> Check:
    """Latency, size and memory, new / old, against the gate's largest ratios; those without one are told only."""
    limits = gate.largest_ratio
    ratios = {
        "latency": (new.p50_ms / old.p50_ms, limits.latency),
        "size": (new.size_mb / old.size_mb, limits.size),
        "memory": (new.peak_mb / old.peak_mb, limits.memory),
    }
    over = [
        f"{name} is {ratio:.2f} times the baseline's, {limit:g} at most"
        for name, (ratio, limit) in ratios.items()
        if limit is not None and ratio > limit
    ]
    told = ", ".join(f"{name} x{ratio:.2f}" for name, (ratio, _) in ratios.items())
    return Check("ratios", artefact, new.engine, Result.FAIL if over else Result.PASS, "; ".join(over) or told)


def footprint(bundle: Bundle, one: npt.NDArray[np.uint8]) -> Footprint:
    """Of the default artefact on the first of its engines here, fed `[1, size, size, 3]`; BundleError if none runs."""
    artefact = _default(bundle)
    engine = next((engine for engine in artefact.engines if is_installed(engine)), None)
    measured = None if engine is None else next(measure(bundle.file(artefact), one, [engine]))
    if measured is None or isinstance(measured, Unavailable):
        reason = "no engine of it is installed" if measured is None else measured.reason
        raise BundleError(f"{artefact.name} of {bundle.folder} cannot be measured here: {reason}.")
    return Footprint(measured.engine, measured.p50_ms, artefact.bytes / 1e6, measured.peak_mb)


def _default(bundle: Bundle) -> Artefact:
    return bundle.artefact(bundle.manifest.default_artefact)
