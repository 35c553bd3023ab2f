"""Cameras and encoders that break on a line that goes on, and a clock that is set."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge_runtime.monitoring.watch import Fault
from tests.faults.running import Line, until

Note = Callable[..., None]


@pytest.mark.parametrize(
    ("switch", "fault"),
    [
        ("gone", Fault.CAMERA_SILENT),
        ("frozen", Fault.CAMERA_FROZEN),
        ("black", Fault.CAMERA_BLACK),
        ("half", Fault.CAMERA_SILENT),
        ("stopped", Fault.ENCODER),
        ("backward", Fault.ENCODER),
        ("spiking", Fault.ENCODER),
        ("speechless", Fault.ENCODER),
        ("clock", Fault.CLOCK),
    ],
)
def test_a_fault_stops_the_line_until_it_is_gone(line: Line, nothing_lost: Note, switch: str, fault: Fault) -> None:
    with line.broken(switch) as at_ns:
        to_safe_ms = line.becomes_safe(at_ns)
        until(lambda: fault in line.causes(at_ns), what=f"{fault} is named: {line.says()}")
    gone_ns = time.monotonic_ns()
    nothing_lost(line, NAMES[switch], to_safe_ms=to_safe_ms, recovered_ms=line.runs_again(gone_ns))


def test_a_read_that_hangs_is_killed(line: Line, nothing_lost: Note) -> None:
    old = line.pid("capture")
    with line.broken("hang") as at_ns:
        to_safe_ms = line.becomes_safe(at_ns)
    gone_ns = time.monotonic_ns()
    line.restarted("capture", old)
    nothing_lost(line, "camera read hangs", to_safe_ms=to_safe_ms, recovered_ms=line.runs_again(gone_ns))
    assert Fault.CAMERA_SILENT in line.causes(at_ns)


NAMES = {
    "gone": "camera unplugged",
    "frozen": "camera frozen",
    "black": "camera black",
    "half": "camera sends half frames",
    "stopped": "encoder stands while the belt runs",
    "backward": "encoder runs backward",
    "spiking": "encoder jumps",
    "speechless": "encoder has no word",
    "clock": "clock set back by an hour",
}
