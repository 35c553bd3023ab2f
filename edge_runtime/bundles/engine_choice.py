"""`--engine auto`, measured once for a bundle, a machine and a number of threads, and remembered.

What is remembered is which pair was the fastest, never that it works: it proves itself at each start, and where it does
not any more, everything is measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_runtime.bundles.bundle import CHECKSUMS, Bundle
from edge_runtime.bundles.select import AUTO, Candidate, Selection, select_engine
from edge_runtime.engines import ENGINES
from edge_runtime.errors import RipelineError

_FILE = "engines.json"
_KEPT = 50
_CPU_INFO = Path("/proc/cpuinfo")
_CPU_NAMES = ("model name", "Model", "Hardware", "cpu model")


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection, on which machine it was measured, and whether that was earlier."""

    selection: Selection
    machine: str
    remembered: bool


def choose_engine(
    bundle: Bundle,
    *,
    artefact: str | None = None,
    engine: str = AUTO,
    threads: int = 1,
    cache: Path | None = None,
    anew: bool = False,
) -> Choice:
    """As `select_engine`, but without measuring where this was measured before.

    Measured again when the bundle, the processor, the number of threads or a version of an engine has changed.

    Args:
        bundle: To be run.
        artefact: Only this one; None for any.
        engine: Only this one, or `auto`.
        threads: For the engine.
        cache: File of what is remembered; None for `default_cache()`.
        anew: Measure whatever is remembered.

    Raises:
        BundleError: Nothing that fits the request passes the golden self-test here.
        EngineError: The engine asked for is unknown, not installed or refuses the file.
    """
    machine = this_machine()
    if artefact is not None and engine != AUTO:
        return Choice(select_engine(bundle, artefact=artefact, engine=engine, threads=threads), machine, False)
    file = default_cache() if cache is None else cache
    key = _key(bundle, machine, threads, artefact, engine)
    found = None if anew else _read(file).get(key)
    if (remembered := _remembered(bundle, found, threads)) is not None:
        return Choice(remembered, machine, True)
    selection = select_engine(bundle, artefact=artefact, engine=engine, threads=threads)
    _keep(file, key, selection)
    return Choice(selection, machine, False)


def default_cache() -> Path:
    """In the service's cache folder, else in the user's."""
    if service := os.environ.get("CACHE_DIRECTORY"):
        return Path(service.split(":")[0]) / _FILE
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "ripeline" / _FILE


def this_machine() -> str:
    """The processor in words: its model, how many, and of which kind."""
    model = "unknown processor"
    with suppress(OSError):
        lines = _CPU_INFO.read_text("utf-8", errors="replace").splitlines()
        named = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        model = next((named[name] for name in _CPU_NAMES if named.get(name)), model)
    return f"{model}, {os.cpu_count()} x {platform.machine()}"


def _key(bundle: Bundle, machine: str, threads: int, artefact: str | None, engine: str) -> str:
    about = [(bundle.folder / CHECKSUMS).read_text("utf-8"), machine, threads, artefact, engine, _engine_versions()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _engine_versions() -> dict[str, str | None]:
    """Of each engine's distribution, which is named like the engine; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in ENGINES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _remembered(bundle: Bundle, found: Any, threads: int) -> Selection | None:
    """The pair as it was found; None where it does not prove itself, or was not remembered in a form known here."""
    try:
        candidates = tuple(Candidate(**one) for one in found["candidates"])
        selection = select_engine(bundle, artefact=found["artefact"], engine=found["engine"], threads=threads)
    except (RipelineError, KeyError, TypeError):
        return None
    return Selection(selection.artefact, selection.engine, selection.temperature, selection.energy_limit, candidates)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _keep(file: Path, key: str, selection: Selection) -> None:
    """The newest ones are kept; where there is nowhere to write, it is measured again next time."""
    entry = {
        "artefact": selection.artefact,
        "engine": selection.engine.name,
        "candidates": [asdict(one) for one in selection.candidates],
    }
    known = {other: value for other, value in _read(file).items() if other != key}
    kept = dict([*known.items(), (key, entry)][-_KEPT:])
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(kept), "utf-8")
        aside.replace(file)
