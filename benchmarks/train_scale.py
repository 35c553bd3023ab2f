"""Does training many pictures take longer, but no more memory?

For each number of pictures a synthetic set (JPEGs of coloured discs, every file different) is trained in a process of
its own, from reading the files to the finished run directory, with a small memory budget for caches: what does not fit
goes to disk. Bars: from 2,000 to 40,000 pictures the time a picture grows by no more than a quarter, and the peak
memory by no more than the budget and a tenth.

    python benchmarks/train_scale.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, publish

SIZES = (500, 2000, 8000, 40000)
BUDGET_MB = 8.0
SIZE_PX = 96
LABELS = {"green": (60, 170, 60), "pink": (220, 150, 130), "red": (200, 30, 40)}
BARS = {"growth_of_time_a_picture": 1.25, "growth_of_memory": 1.1}


def main() -> None:
    """Measure every size, or one when called by itself."""
    options = arguments(__doc__ or "", ("--folder", {"type": Path, "help": argparse.SUPPRESS}))
    if options.folder:
        print(json.dumps(measured(options.folder)))
        return
    rows = []
    for number in SIZES[:2] if options.quick else SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch) / "data", number)
            command = [sys.executable, __file__, "--folder", scratch]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            rows.append({"pictures": number} | json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], file=sys.stderr)
    lines = [
        f"{'pictures':>8} {'seconds':>8} {'CPU s':>7} {'ms a picture':>13} {'peak memory':>12} {'caches on disk':>15}"
    ]
    lines += [
        f"{row['pictures']:8} {row['seconds']:8.1f} {row['cpu_s']:7.1f} {1e3 * row['seconds'] / row['pictures']:13.2f}"
        f" {row['peak_mb']:9.0f} MB {row['disk_mb']:12.0f} MB"
        for row in rows
    ]
    publish("train_scale", {"bars": BARS, "budget_mb": BUDGET_MB, "rows": rows}, "\n".join(lines), options)


def draw(folder: Path, number: int) -> None:
    """Some drawn discs, each file with bytes of its own behind the picture."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    for label, colour in LABELS.items():
        (folder / label).mkdir(parents=True)
        drawn = []
        for _ in range(100):
            picture = np.full((SIZE_PX, SIZE_PX, 3), (90, 70, 50), np.float32)
            x, y = (int(place) for place in rng.integers(38, 58, 2))
            cv2.circle(picture, (x, y), int(rng.integers(22, 34)), colour, -1)
            noisy = np.clip(picture + rng.normal(0, 15, picture.shape), 0, 255).astype(np.uint8)
            drawn.append(cv2.imencode(".jpg", cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))[1].tobytes())
        for i in range(number // len(LABELS)):
            (folder / label / f"{i:06}.jpg").write_bytes(drawn[i % len(drawn)] + i.to_bytes(4, "big"))


def measured(folder: Path) -> dict[str, Any]:
    """Train in this process, and say what it took."""
    from train import TrainConfig, train_run
    from train.events import Progress

    config = TrainConfig(
        data=folder / "data", labels=tuple(LABELS), weights="starter", size_px=SIZE_PX, epochs=5, fine_tune_epochs=2,
        fine_tune_at="block_16_expand", select_by="validation", views=2, cache_budget_mb=BUDGET_MB,
    )  # fmt: skip
    disk_bytes = 0

    def watch(event: Any) -> None:
        nonlocal disk_bytes
        if isinstance(event, Progress) and event.stage == "evaluate":
            disk_bytes = max(disk_bytes, sum(file.stat().st_size for file in folder.rglob("*.f32")))

    began, cpu = time.perf_counter(), time.process_time()
    train_run(config, folder / "run", on_event=watch)
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "disk_mb": round(disk_bytes / 2**20, 1),
    }


if __name__ == "__main__":
    main()
