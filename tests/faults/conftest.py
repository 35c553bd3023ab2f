"""Fixtures of the tests of faults: lines that run, and the table of what came of their faults."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.reliability import Row, write_table
from tests.faults.running import LINE, RUN_PERMIT, SCENARIO, THRESHOLD_FRAMES, Line, until

ROOT = Path(__file__).parents[2]
_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def start(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Line]]:
    """Starts lines; ends them after the tests."""
    started: list[Line] = []

    def begin(*, source: str | None = None, seconds: int = 300, bundle: Path = bundle_dir) -> Line:
        folder = tmp_path_factory.mktemp("line")
        name = f"faults-{os.getpid()}-{next(_NUMBER)}"
        on_blind, outputs = ("stop_line", RUN_PERMIT) if source is None else ("pass_all", "")
        settings = LINE.format(name=name, frames=THRESHOLD_FRAMES, on_blind=on_blind) + outputs
        (folder / "line.toml").write_text(settings)
        (folder / "belt.toml").write_text(SCENARIO.format(seconds=seconds))
        (folder / "faults").mkdir()
        words: Sequence[object] = [
            sys.executable, "-m", "tests.faults.line", folder / "faults", "run", bundle,
            "--source", source or f"sim:{folder / 'belt.toml'}?clock=real",
            "--config", folder / "line.toml", "-o", folder / "out",
            "--engine", "onnxruntime", "--artefact", "onnx-fp32",
        ]  # fmt: skip
        with (folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [str(word) for word in words],
                cwd=ROOT,
                env={**os.environ, "RUNTIME_DIRECTORY": str(folder / "runtime")},
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        line = Line(process, name, folder / "out", folder / "faults", folder / "runtime" / name)
        started.append(line)
        return line

    yield begin
    for line in started:
        line.process.kill()
        line.process.wait()


@pytest.fixture(scope="module")
def line(start: Callable[..., Line]) -> Line:
    """A line that sorts; shared by the tests of a module, each of which leaves it sorting again."""
    begun = start()
    until(lambda: begun.permits(True, 0), what="it sorts")
    return begun


_ROWS: list[Row] = []


@pytest.fixture(scope="session")
def fault_table() -> Callable[..., None]:
    """Notes what a fault came to: `fault_table(name, to_safe_ms=…, lost=…, doubled=…, recovered_ms=…, note=…)`."""

    def note(name: str, **found: Any) -> None:
        _ROWS.append(Row(name, **found))

    return note


def pytest_sessionfinish() -> None:
    """With RIPELINE_RELIABILITY set, the table goes to where it says: `docs/reliability.md`."""
    target = os.environ.get("RIPELINE_RELIABILITY")
    if target and _ROWS:
        write_table(Path(target), _ROWS)
