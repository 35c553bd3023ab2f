"""Fixtures of the tests of faults: lines that run, and the table of what came of their faults."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.reliability import Row, write_table
from tests.faults.running import Line, begin_line, until

_NUMBER = itertools.count()


@pytest.fixture(scope="module")
def start_shared(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Line]]:
    """Starts lines that the tests of a module share; ends them after the last."""
    with _starting(bundle_dir, tmp_path_factory) as start:
        yield start


@pytest.fixture
def start(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Line]]:
    """Starts lines; ends them after the test."""
    with _starting(bundle_dir, tmp_path_factory) as start:
        yield start


@contextmanager
def _starting(bundle_dir: Path, folders: pytest.TempPathFactory) -> Iterator[Callable[..., Line]]:
    started: list[Line] = []

    def start(*, bundle: Path = bundle_dir, **how: Any) -> Line:
        name = f"faults-{os.getpid()}-{next(_NUMBER)}"
        started.append(begin_line(folders.mktemp("line"), name, bundle, **how))
        return started[-1]

    try:
        yield start
    finally:
        for line in started:
            line.process.kill()
            line.process.wait()


@pytest.fixture(scope="module")
def line(start_shared: Callable[..., Line]) -> Line:
    """A line that sorts; shared by the tests of a module, each of which leaves it sorting again."""
    begun = start_shared()
    until(lambda: begun.permits(True, 0), what="it sorts")
    return begun


_ROWS: list[Row] = []


@pytest.fixture(scope="session")
def fault_table() -> Callable[..., None]:
    """Notes what a fault came to: `fault_table(name, to_safe_ms=…, lost=…, doubled=…, recovered_ms=…, note=…)`."""

    def note(name: str, **found: Any) -> None:
        _ROWS.append(Row(name, **found))

    return note


@pytest.fixture
def nothing_lost(fault_table: Callable[..., None]) -> Callable[..., None]:
    """After a fault: notes it as `fault_table` does, and holds the line to having lost and doubled nothing."""

    def check(line: Line, name: str, **found: Any) -> None:
        lost, doubled = line.lost(), line.doubled()
        fault_table(name, lost=lost, doubled=doubled, **found)
        assert (lost, doubled) == (0, 0)

    return check


def pytest_sessionfinish() -> None:
    """With RIPELINE_RELIABILITY set, the table goes to where it says: `docs/reliability.md`."""
    target = os.environ.get("RIPELINE_RELIABILITY")
    if target and _ROWS:
        write_table(Path(target), _ROWS)
