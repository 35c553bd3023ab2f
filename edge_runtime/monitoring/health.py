"""How a line is: facts that its processes state, the alarms that follow, and both as one document."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from edge_runtime.journaling.drain import ReporterFacts
from edge_runtime.journaling.recorder import JournalFacts
from edge_runtime.monitoring.safe_state import LineState


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What a camera sees of its belt, each as a share of what it saw when it was new: 1.0 is unchanged.

    `light`: brightness. `focus`: fine detail. `red`, `blue`: against green. All None until there is something to
    compare with.
    """

    light: float | None = None
    focus: float | None = None
    red: float | None = None
    blue: float | None = None


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """One camera; `age_ms` since its newest frame, None before the first, `unheld` what it does not keep as stated."""

    name: str
    frames: int = 0
    dropped: int = 0
    age_ms: float | None = None
    reconnects: int = 0
    unheld: tuple[str, ...] = ()
    scene: SceneFacts = SceneFacts()


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process of the line; `beat_age_ms` since its last sign of life, None before the first.

    `ended` says how the one before it came to its end, `trouble` what is in its way now, each empty where nothing is.
    """

    name: str
    pid: int | None = None
    restarts: int = 0
    beat_age_ms: float | None = None
    ended: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What whoever keeps a line up knows of it.

    `state` is `running` while the line sorts. `faults` are values of `edge_runtime.monitoring.watch.Fault`. `decided`
    counts fruit by verdict, `fired` strokes, `missed` orders that came too late, `records_lost` decisions that no
    journal will have, `rows_lost` lines that firings.jsonl and states.jsonl lack, `rows_waiting` those that are still
    to be written there.
    """

    line: str
    state: str
    run_id: str = ""
    faults: tuple[str, ...] = ()
    since_s: float = 0.0
    cameras: tuple[CameraFacts, ...] = ()
    processes: tuple[ProcessFacts, ...] = ()
    decided: dict[str, int] = field(default_factory=dict)
    fired: int = 0
    missed: int = 0
    frame_ms_p99: float | None = None
    records_lost: int = 0
    rows_lost: int = 0
    rows_waiting: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person should do; `about` names the camera, process or receiver, `since` is UTC (ISO 8601)."""

    code: str
    about: str
    severity: str
    meaning: str
    remedy: str
    detail: str
    since: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Everything at one moment; `journal` is None while the reporter process has said nothing yet."""

    facts: LineFacts
    journal: JournalFacts | None
    reporters: tuple[ReporterFacts, ...]
    alarms: tuple[Alarm, ...]

    @property
    def sorts(self) -> bool:
        """Whether the line does what it is there for."""
        return self.facts.state == LineState.RUNNING

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the facts, `journal`, `reporters` and `alarms`."""
        return asdict(self.facts) | {
            "sorts": self.sorts,
            "journal": None if self.journal is None else asdict(self.journal),
            "reporters": [asdict(one) for one in self.reporters],
            "alarms": [asdict(one) for one in self.alarms],
        }
