"""What commissioning finds of simulated lines that hide their delay, scale, latency and distance.

Each seed is another line: belt, light, speed, focus, jitter of the stamps, and a technician who reads a ruler to half a
millimetre. Errors are found less hidden.

    python benchmarks/commissioning.py
"""

from __future__ import annotations

import time
from typing import Any

from record import arguments, publish

from edge_runtime.commissioning.markers import SheetMarker
from edge_runtime.commissioning.session import Session, Trial
from edge_runtime.commissioning.sheet import Sheet
from edge_runtime.commissioning.strokes import StrokePlan
from ripeline.console import table
from simulator.commissioning import open_commissioning

LARGEST = {"delay_ms": 2.0, "picture_mm": 1.0, "at_mm": 1.0}
"""What the errors may be at most; `picture_mm` is the scale's error over the whole picture."""


def commissioned(seed: int) -> dict[str, Any]:
    """Errors of one line."""
    begun = time.process_time()
    line = open_commissioning(seed=seed)
    trial = Trial(StrokePlan(line.tape_mm, 45.0), lambda now_ns: line.ejector.fire(0, 0, now_ns), line.read_mark)
    session = Session(SheetMarker(Sheet()), line.encoder, trial)
    for frame in line.camera.frames():
        session.add(frame, frame.captured_ns)
    found, hidden = session.figures(), line.hidden
    if found.travel is None or found.lag is None or found.ejector is None:
        return {"seed": seed, "sightings": len(session.sightings)}
    place = found.ejector
    return {
        "seed": seed,
        "sightings": len(session.sightings),
        "strokes": len(session.orders),
        "delay_ms": round(found.lag.lag_ms - hidden.delay_ms, 3),
        "picture_mm": round(session.picture_px[0] * (found.travel.mm_per_px - hidden.mm_per_px), 3),
        "tick_percent": round(100 * (found.lag.scale / hidden.mm_per_tick - 1), 4),
        "at_mm": round(place.at_mm - hidden.at_mm, 3),
        "latency_ms": None if place.latency_ms is None else round(place.latency_ms - hidden.latency_ms, 2),
        "hidden": {name: round(getattr(hidden, name), 4) for name in hidden.__slots__},
        "processor_s": round(time.process_time() - begun, 1),
    }


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "", ("--lines", {"type": int, "default": 8, "help": "how many lines"}))
    lines = [commissioned(seed) for seed in range(2 if options.quick else options.lines)]
    within = {
        name: sum(name in each and abs(each[name]) <= largest for each in lines) for name, largest in LARGEST.items()
    }
    shown = ("seed", "sightings", "strokes", "delay_ms", "picture_mm", "tick_percent", "at_mm", "latency_ms")
    rows = [{name: str(each.get(name, "-")) for name in shown} for each in lines]
    words = ", ".join(f"{name} within {LARGEST[name]:g}: {count} of {len(lines)}" for name, count in within.items())
    publish("commissioning", {"lines": lines, "within": within}, f"{table(rows)}\n{words}", options)


if __name__ == "__main__":
    main()
