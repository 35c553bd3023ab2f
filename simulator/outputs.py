"""What a simulated line's outputs did, as lines in files, so that nothing is lost however the process ends."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulator.ejector import SimulatedEjector

OUTPUTS, EJECTIONS = "outputs.jsonl", "ejections.jsonl"


class SimulatedOutputs:
    """See `edge_runtime.ports.Outputs`.

    `ejections.jsonl` gets a line a stroke, as `ripeline score` reads it; `outputs.jsonl` gets one whenever the `hold`,
    `permit` or `beat` output is set: `output`, `on`, `time_ns` (monotonic).

    Args:
        ejector: Knows when a stroke acts.
        folder: Of the run.
    """

    def __init__(self, ejector: SimulatedEjector, folder: Path) -> None:
        self._ejector = ejector
        self._ejections = (folder / EJECTIONS).open("a", encoding="utf-8")
        self._outputs = (folder / OUTPUTS).open("a", encoding="utf-8")

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:
        """One stroke."""
        self._ejector.fire(ejector, fruit_id, now_ns)
        _write(self._ejections, asdict(self._ejector.actions.pop()))

    def hold(self, on: bool) -> None:
        """See the port."""
        self._set("hold", on)

    def permit(self, on: bool) -> None:
        """See the port."""
        self._set("permit", on)

    def beat(self, on: bool) -> None:
        """See the port."""
        self._set("beat", on)

    def close(self) -> None:
        """Everything off."""
        if not self._outputs.closed:
            for name in ("hold", "permit", "beat"):
                self._set(name, False)
            self._outputs.close()
            self._ejections.close()

    def _set(self, output: str, on: bool) -> None:
        _write(self._outputs, {"output": output, "on": on, "time_ns": time.monotonic_ns()})


def relay_drops_ns(rows: Sequence[dict[str, Any]], timeout_ms: float, end_ns: int) -> list[int]:
    """When a relay of the plant that watches the heartbeat stops the line: `timeout_ms` after a toggle without another.

    Args:
        rows: Of `outputs.jsonl`.
        timeout_ms: Of the relay.
        end_ns: How far the rows go.
    """
    toggles: list[int] = []
    level = None
    for row in rows:
        if row["output"] == "beat" and row["on"] != level:
            level = row["on"]
            toggles.append(row["time_ns"])
    patience_ns = round(timeout_ms * 1e6)
    return [
        one + patience_ns
        for one, following in zip(toggles, [*toggles[1:], end_ns], strict=True)
        if following - one > patience_ns
    ]


def _write(stream: Any, row: dict[str, Any]) -> None:
    stream.write(json.dumps(row) + "\n")
    stream.flush()
