"""How soon is a blind line safe, with thresholds as they ship?

The simulated line of `tests/faults` at 30 frames/s, each threshold three frame periods (100 ms). Every fault several
times; beyond its threshold the safe state may take 100 ms. An encoder that errs and a clock that is set have no
threshold. To be run on a quiet machine: what starves a process for 100 ms blinds the line too, and is counted as
`blind_by_itself`.

    python benchmarks/faults.py [--bundle BUNDLE] [--times N] [--quick] [--json]
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from overhead import make_bundle
from record import arguments, publish

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.faults.running import Line, begin_line, until

RATE_HZ, FRAMES, BAR_MS = 30.0, 3.0, 100.0
THRESHOLD_MS = 1000 * FRAMES / RATE_HZ
HELD = {"gone": THRESHOLD_MS, "frozen": THRESHOLD_MS, "black": THRESHOLD_MS, "half": THRESHOLD_MS, "hang": THRESHOLD_MS}
HELD |= {"stopped": THRESHOLD_MS, "speechless": THRESHOLD_MS, "backward": 0.0, "spiking": 0.0, "clock": 0.0}
SENT = [
    ("capture", signal.SIGKILL),
    ("capture", signal.SIGSTOP),
    ("vision", signal.SIGKILL),
    ("vision", signal.SIGSTOP),
]


def main() -> None:
    """Measure and publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: a small one made now"}),
        ("--times", {"type": int, "default": 10, "help": "that each fault is tried"}),
    )
    times = 2 if options.quick else options.times
    with tempfile.TemporaryDirectory() as scratch:
        bundle = (options.bundle or make_bundle(Path(scratch))).resolve()
        folder = Path(scratch) / "line"
        folder.mkdir()
        line = begin_line(folder, "benchmark-faults", bundle, seconds=1800, rate_hz=RATE_HZ, frames=FRAMES)
        try:
            until(lambda: line.permits(True, 0), what="it sorts")
            begun_ns = time.monotonic_ns()
            beyond_ms: dict[str, list[float]] = {}
            for _ in range(times):
                for fault, threshold_ms in HELD.items():
                    beyond_ms.setdefault(fault, []).append(held(line, fault) - threshold_ms)
                for role, number in SENT:
                    beyond_ms.setdefault(f"{number.name} {role}", []).append(sent(line, role, number) - THRESHOLD_MS)
            provoked = sum(map(len, beyond_ms.values()))
            by_itself = len(line.states("safe", begun_ns)) - provoked
            lost, doubled = line.lost(), line.doubled()
        finally:
            line.process.kill()
            line.process.wait()
    rows = {
        name: {"median": round(float(np.median(ms)), 1), "max": round(max(ms), 1)} for name, ms in beyond_ms.items()
    }
    figures = {
        "bar_ms": BAR_MS,
        "times": times,
        "beyond_threshold_ms": rows,
        "lost": lost,
        "doubled": doubled,
        "blind_by_itself": by_itself,
    }
    publish("faults", figures, _table(figures), options)


def held(line: Line, fault: str) -> float:
    """A fault that holds until the line is safe; milliseconds until then."""
    settle(line)
    old = line.pid("capture")
    took_ms = line.becomes_safe(line.switch(fault, True))
    gone_ns = line.switch(fault, False)
    if fault == "hang":
        line.restarted("capture", old)
    line.runs_again(gone_ns)
    return took_ms


def sent(line: Line, role: str, number: signal.Signals) -> float:
    """A signal to a process; milliseconds until the line is safe."""
    settle(line)
    old = line.pid(role)
    at_ns = line.send(role, number)
    took_ms = line.becomes_safe(at_ns)
    line.restarted(role, old)
    line.runs_again(at_ns)
    return took_ms


def settle(line: Line) -> None:
    """Wait until it has sorted for a while, at no fixed place between two frames."""
    time.sleep(float(np.random.default_rng().uniform(0.5, 0.6)))
    until(lambda: line.permits(True, 0)[-1] > (line.permits(False, 0) or [0])[-1], what="it sorts")


def _table(figures: dict[str, Any]) -> str:
    rows = [f"{'fault':20} {'ms beyond its threshold: median':>32} {'max':>8}"]
    rows += [
        f"{name:20} {one['median']:32.1f} {one['max']:8.1f}" for name, one in figures["beyond_threshold_ms"].items()
    ]
    rows.append(f"bar {figures['bar_ms']:g}; lost {figures['lost']}, doubled {figures['doubled']}")
    rows.append(f"blind by itself, {figures['blind_by_itself']} times")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
