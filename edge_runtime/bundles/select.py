"""`--engine auto`: measure what the bundle holds on this machine, once, and take the fastest that proves itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import Bundle
from edge_runtime.bundles.golden import open_proven_engine
from edge_runtime.bundles.manifest import Result
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import BundleError, EngineError, RipelineError
from edge_runtime.ports import Engine

AUTO = "auto"
_BUDGET_S = 0.25
_NOT_INSTALLED = "not installed"
_MIN_RUNS, _MAX_RUNS = 5, 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pair of artefact and engine as measured here; `p50_ms` is None when it cannot be used, for the reason."""

    artefact: str
    engine: str
    p50_ms: float | None
    reason: str = ""


@dataclass(frozen=True)
class Selection:
    """The engine that won, what the bundle says of it, and everything that was measured on the way."""

    artefact: str
    engine: Engine
    temperature: float
    energy_limit: float | None
    candidates: tuple[Candidate, ...]


def select_engine(bundle: Bundle, *, artefact: str | None = None, engine: str = AUTO, threads: int = 1) -> Selection:
    """Open the asked-for pair, or the fastest proven one among those that the request leaves open.

    Raises:
        BundleError: Nothing that fits the request passes the golden self-test here; lists each reason.
        EngineError: The engine asked for by name is unknown, not installed or refuses the file.
    """
    if engine not in (AUTO, *ENGINES):
        raise EngineError(f"There is no engine named {engine}.", expected=f"{AUTO}, {', '.join(ENGINES)}")
    if artefact is not None:
        bundle.artefact(artefact)
    if engine != AUTO and artefact is not None:
        if bundle.record(artefact, engine).parity is Result.FAIL:
            raise BundleError(
                f"{artefact} on {engine} failed parity when {bundle.folder} was exported: it never runs.",
                remedy="choose another --engine or --artefact; parity.html in the bundle gives the reason",
            )
        loaded = open_proven_engine(bundle, artefact, engine, threads)
        return _selection(bundle, artefact, loaded, ())
    candidates: list[Candidate] = []
    best: tuple[float, str, Engine] | None = None
    for entry, name, record in bundle.manifest.pairs():
        if artefact not in (None, entry.name) or engine not in (AUTO, name):
            continue
        if not is_installed(name):
            candidates.append(Candidate(entry.name, name, None, _NOT_INSTALLED))
            continue
        if record.parity is Result.FAIL:
            candidates.append(Candidate(entry.name, name, None, "failed parity when exported"))
            continue
        try:
            loaded = open_proven_engine(bundle, entry.name, name, threads)
        except RipelineError as error:
            candidates.append(Candidate(entry.name, name, None, error.what))
            continue
        p50_ms = median_latency_ms(loaded, bundle.golden.inputs)
        candidates.append(Candidate(entry.name, name, p50_ms))
        if best is None or p50_ms < best[0]:
            best = (p50_ms, entry.name, loaded)
    if best is None:
        listing = "; ".join(f"{one.artefact} on {one.engine}: {one.reason}" for one in candidates)
        raise BundleError(
            f"Nothing in {bundle.folder} can run here ({listing or 'no artefact fits ' + engine}).",
            remedy="install one of the engines named above, for example pip install 'ripeline[litert]'"
            if any(one.reason == _NOT_INSTALLED for one in candidates)
            else "export the bundle anew on this kind of machine; parity.html in it says what failed there",
        )
    _, winner, loaded = best
    return _selection(bundle, winner, loaded, tuple(candidates))


def _selection(bundle: Bundle, artefact: str, engine: Engine, candidates: tuple[Candidate, ...]) -> Selection:
    record = bundle.record(artefact, engine.name)
    return Selection(artefact, engine, record.temperature, record.energy_limit, candidates)


def median_latency_ms(engine: Engine, inputs: npt.NDArray[np.uint8]) -> float:
    """Median time of one image, at least 5 runs, then as many as fit a quarter of a second."""
    one = inputs[:1]
    engine.logits(one)
    times: list[float] = []
    while len(times) < _MIN_RUNS or (sum(times) < _BUDGET_S and len(times) < _MAX_RUNS):
        start = time.perf_counter()
        engine.logits(one)
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)
