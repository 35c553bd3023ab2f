"""Fixtures of the tests of faults: lines that run, and the table of what came of their faults."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.reliability import Row, write_table
from tests.faults.running import Line, begin_line, until

_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def start(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Line]]:
    """Starts lines; ends them after the tests."""
    started: list[Line] = []

    def begin(*, source: str | None = None, seconds: int = 300, bundle: Path = bundle_dir) -> Line:
        name = f"faults-{os.getpid()}-{next(_NUMBER)}"
        line = begin_line(tmp_path_factory.mktemp("line"), name, bundle, source=source, seconds=seconds)
        started.append(line)
        return line

    yield begin
    for line in started:
        line.process.kill()
        line.process.wait()


@pytest.fixture(scope="module")
def line(start: Callable[..., Line]) -> Iterator[Line]:
    """A line that sorts; shared by the tests of a module, each of which leaves it sorting again."""
    begun = start()
    until(lambda: begun.permits(True, 0), what="it sorts")
    yield begun
    begun.process.kill()


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
