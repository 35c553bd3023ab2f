"""What every process of a line is told when it is started; pickled, since processes are spawned."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.deciding.decide import Policy
from edge_runtime.line import OnFrame
from edge_runtime.ports import LinePorts
from edge_runtime.settings.config import LineConfig

Observers = Callable[[int], AbstractContextManager[OnFrame]]
"""Opens what looks on beside the decisions (films, kept pictures); told how often vision has been restarted."""


@dataclass(frozen=True)
class LinePlan:
    """One line.

    `artefact` and `engine` are a pair that has proven itself here; `proof` is of the bundle that was looked at then,
    and no other is taken later. `runtime` is a folder of this line's own, in memory where the
    system has one. `observers` must survive pickling.
    """

    ports: LinePorts
    config: LineConfig
    bundle: Path
    artefact: str
    engine: str
    policy: Policy
    output: Path
    runtime: Path
    proof: str
    observers: Observers

    @property
    def journal(self) -> Path:
        """File of the journal: in one place for all starts of a service, so that receivers get what they lack."""
        if self.config.journal.file:
            return Path(self.config.journal.file)
        service = os.environ.get("STATE_DIRECTORY")
        folder = Path(service.split(":")[0]) / self.config.name if service else self.output
        return folder / "journal.db"

    @property
    def actuator_box(self) -> Path:
        """Where the actuator finds what vision saw."""
        return self.runtime / "actuator"


@dataclass(frozen=True, slots=True)
class Memory:
    """Names of the shared memory, and which start of the process this is, from 0."""

    board: str
    ring: str
    frame_bytes: int
    rows: str
    start: int = 0
