"""How fast does the simulated line draw?

Frames of 1280×720 with 15 fruit in view on one core, sprites drawn as they come in; and each scenario that ships.
`bare_ms` is a frame without new fruit. The bar is 60 frames a second.

    python benchmarks/rendering.py [--quick] [--json]
"""

from __future__ import annotations

import resource
import statistics
import time
from typing import Any

import cv2
from record import arguments, publish

from simulator.line import line_of
from simulator.scenario import load_scenario, parse_scenario, scenario_names
from simulator.world import build_world

BAR_HZ = 60
FIFTEEN = """
[fruit]
per_second = 7.4
lanes = 4
[camera]
width_px = 1280
height_px = 720
frame_rate_hz = 60.0
"""


def main() -> None:
    """Draw, measure the processor's time, publish."""
    options = arguments(__doc__ or "")
    cv2.setNumThreads(1)
    seconds = 4.0 if options.quick else 20.0
    rows = [measure("fifteen_in_view", parse_scenario(FIFTEEN, "fifteen"), seconds)]
    rows += [measure(name, load_scenario(name), seconds) for name in scenario_names()]
    lines = [f"{'scenario':16} {'frames/s':>8} {'bare':>8} {'in view':>8} {'memory':>9}"]
    lines += [
        f"{one['scenario']:16} {one['frames_per_s']:8.1f} {one['bare_ms']:5.2f} ms {one['in_view']:8.1f} "
        f"{one['peak_rss_mb']:6.0f} MB"
        for one in rows
    ]
    publish("rendering", {"bar_hz": BAR_HZ, "rows": rows}, "\n".join(lines), options)


def measure(name: str, scenario: Any, seconds: float) -> dict[str, Any]:
    """Processor time of one scenario's frames once the belt is full."""
    line = line_of(build_world(scenario.model_copy(update={"seconds": seconds + 4}), seed=1), name=name)
    shutter = line.world.shutter
    first, scale = shutter.frames // 4, line.mm_per_px * scenario.camera.width_px
    line.renderer.render(first - 1)
    times, in_view = [], []
    for index in range(first, shutter.frames):
        begun = time.process_time()
        line.renderer.render(index)
        times.append(time.process_time() - begun)
        belt_mm = shutter.belt_mm[index]
        in_view.append(sum(belt_mm < fruit.position_mm < belt_mm + scale for fruit in line.world.fruits))
    return {
        "scenario": name,
        "frames_per_s": len(times) / sum(times),
        "bare_ms": 1000 * statistics.median(times),
        "in_view": statistics.mean(in_view),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
