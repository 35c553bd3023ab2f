"""When a simulated line starts by the real clock: not before the processes can have laid it out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_runtime.settings.config import LineConfig
from ripeline import in_processes, line_ports
from ripeline.asked import Asked
from ripeline.line_ports import SimulatedPorts
from simulator import line as simulated


@pytest.mark.parametrize(("slow_s", "after_s"), [(0.0, 2.0), (1.5, 5.5)])
def test_a_belt_that_takes_long_to_lay_out_starts_later(
    slow_s: float, after_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = simulated.build_world
    built: list[int] = []

    def slowly(*words: object, **more: object) -> object:
        time.sleep(slow_s)
        built.append(1)
        return build(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(simulated, "build_world", slowly)
    line_ports._laid_out.cache_clear()
    asked = Asked(f"sim:calm?seed={slow_s}".replace(".", ""), None, tmp_path, False, False, 5.0, False, "")
    begun_ns = time.monotonic_ns()
    edges, _, line = in_processes.ports(asked, LineConfig())
    assert isinstance(edges, SimulatedPorts)
    assert line is not None
    assert edges.start_ns - begun_ns >= after_s * 1e9
    assert line.encoder.start_ns == edges.start_ns
    assert line.camera.live
    # What this process has laid out serves its camera too.
    assert edges.line() is line
    assert len(built) == 1
