"""How fast does the simulated line draw?

Frames of 1280×720 with 15 fruit in view on one core, sprites drawn as they come in; and each scenario that ships.
`bare_ms` is a frame without new fruit. The bar is 60 frames a second. Then an hour of belt, two frames a second of it,
with the process's memory on the way: what ten minutes take, an hour may take.

    python benchmarks/rendering.py [--quick] [--json]
"""

from __future__ import annotations

import resource
import statistics
import time
from pathlib import Path
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

SLOW = """
base = "dirty_lens"
seconds = {seconds}
[fruit]
per_second = 0.4
[camera]
frame_rate_hz = 2.0
"""


def main() -> None:
    """Draw, measure the processor's time, publish."""
    options = arguments(__doc__ or "")
    cv2.setNumThreads(1)
    seconds = 4.0 if options.quick else 20.0
    rows = [measure("fifteen_in_view", parse_scenario(FIFTEEN, "fifteen"), seconds)]
    rows += [measure(name, load_scenario(name), seconds) for name in scenario_names()]
    memory = hour(minutes=6 if options.quick else 60)
    lines = [f"{'scenario':16} {'frames/s':>8} {'bare':>8} {'in view':>8} {'memory':>9}"]
    lines += [
        f"{one['scenario']:16} {one['frames_per_s']:8.1f} {one['bare_ms']:5.2f} ms {one['in_view']:8.1f} "
        f"{one['peak_rss_mb']:6.0f} MB"
        for one in rows
    ]
    lines += [f"after {minute:2} min of belt {megabytes:6.1f} MB" for minute, megabytes in memory.items()]
    publish("rendering", {"bar_hz": BAR_HZ, "rows": rows, "resident_mb": memory}, "\n".join(lines), options)


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
        in_view.append(sum(bool(belt_mm < fruit.position_mm < belt_mm + scale) for fruit in line.world.fruits))
    return {
        "scenario": name,
        "frames_per_s": len(times) / sum(times),
        "bare_ms": 1000 * statistics.median(times),
        "in_view": statistics.mean(in_view),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def hour(*, minutes: int) -> dict[int, float]:
    """Resident memory in MB at each tenth of so many minutes of belt, every fruit of which is drawn."""
    line = line_of(build_world(parse_scenario(SLOW.format(seconds=60.0 * minutes), "hour"), seed=1), name="hour")
    shutter, memory = line.world.shutter, {}
    for index in range(shutter.frames):
        line.renderer.render(index)
        if (index + 1) % (shutter.frames // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
            memory[round((index + 1) / shutter.frames * minutes)] = pages * resource.getpagesize() / 1e6
    return memory


if __name__ == "__main__":
    main()
