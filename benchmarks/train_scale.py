"""Does training many pictures take longer in proportion, and no more memory?

For each number of pictures a synthetic set (JPEGs of coloured discs of four places, no two alike) is trained
twice, each time in a process of its own from reading the files to the finished run directory: with nothing unfrozen,
and with the last block unfrozen. Sources held out in turn judge, as by default. Small pictures, two views and few
epochs keep 40,000 pictures within minutes; the budget for caches is so small that those of 2,000 pictures are past it
and go to disk. Above 10,000 pictures training looks for copies of whole files alone; without that bound, looking for
changed ones would be most of the time.

Bars, for each way: time is linear in the number of pictures (CPU seconds of the training proper, R² of a straight line
at least 0.99; and all told a further picture from 8,000 to 40,000 costs no more than 1.25 times what it costs from
2,000 to 8,000), and peak memory at 40,000 is no more than 1.15 times that at 2,000.

    python benchmarks/train_scale.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import arguments, publish

SIZES = (500, 2000, 8000, 40000)
BUDGET_MB = 8.0
SIZE_PX = 64
WAYS = {"nothing unfrozen": {"fine_tune_epochs": 0}, "last block unfrozen": {"fine_tune_at": "block_16_expand"}}
LABELS = {"green": (60, 170, 60), "pink": (220, 150, 130), "red": (200, 30, 40)}
PLACES, BLOTCHES = 4, 6
BARS = {"least_r2": 0.99, "further_picture": 1.25, "memory": 1.15}


def main() -> None:
    """Measure every size, or one when called by itself."""
    options = arguments(
        __doc__ or "",
        ("--folder", {"type": Path, "help": argparse.SUPPRESS}),
        ("--way", {"help": argparse.SUPPRESS}),
    )
    if options.folder:
        print(json.dumps(measured(options.folder, options.way)))
        return
    rows: list[dict[str, Any]] = []
    for number in SIZES[:2] if options.quick else SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch) / "data", number)
            for way in WAYS:
                command = [sys.executable, __file__, "--folder", scratch, "--way", way]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                rows.append({"pictures": number, "way": way} | json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1], file=sys.stderr)
    found = {} if options.quick else {way: judged([row for row in rows if row["way"] == way]) for way in WAYS}
    figures = {"bars": BARS, "budget_mb": BUDGET_MB, "size_px": SIZE_PX, "rows": rows, "verdicts": found}
    publish("train_scale", figures, table(rows, found), options)


def judged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows of one way, one a size, against the bars."""
    pictures, training = [row["pictures"] for row in rows], [row["cpu_s"] - row["cpu_before_s"] for row in rows]
    _, second, third, last = rows
    earlier, later = (
        (b["cpu_s"] - a["cpu_s"]) / (b["pictures"] - a["pictures"]) for a, b in ((second, third), (third, last))
    )
    figures = {
        "r2": round(statistics.correlation(pictures, training) ** 2, 4),
        "further_picture": round(later / earlier, 3),
        "memory": round(last["peak_mb"] / second["peak_mb"], 3),
    }
    met = {
        "linear_time": figures["r2"] >= BARS["least_r2"] and figures["further_picture"] <= BARS["further_picture"],
        "flat_memory": figures["memory"] <= BARS["memory"],
    }
    return figures | met


def table(rows: Sequence[dict[str, Any]], found: dict[str, dict[str, Any]]) -> str:
    """What people read."""
    lines = [
        f"{'pictures':>8}  {'way':20} {'seconds':>8} {'CPU s':>7} {'of it before':>12} {'peak memory':>12} "
        f"{'on disk':>9}  head finished"
    ]
    lines += [
        f"{row['pictures']:8}  {row['way']:20} {row['seconds']:8.1f} {row['cpu_s']:7.1f} {row['cpu_before_s']:12.1f} "
        f"{row['peak_mb']:9.0f} MB {row['disk_mb']:6.0f} MB  {'yes' if row['finished'] else 'no'}"
        for row in rows
    ]
    for way, one in found.items():
        lines.append(
            f"{way}: R² {one['r2']}, a further picture costs {one['further_picture']} times as much: linear time "
            f"{'met' if one['linear_time'] else 'NOT MET'}; peak at 40,000 is {one['memory']} times that at 2,000: "
            f"flat memory {'met' if one['flat_memory'] else 'NOT MET'}"
        )
    return "\n".join(lines)


def draw(folder: Path, number: int) -> None:
    """Discs on blotches, no picture like another."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    rows = ["file,source"]
    for label, colour in LABELS.items():
        (folder / label).mkdir(parents=True)
        for i in range(number // len(LABELS)):
            blotches = rng.integers(0, 150, (BLOTCHES, BLOTCHES, 3)).astype(np.float32)
            picture = cv2.resize(blotches, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
            x, y = (int(place) for place in rng.integers(26, 38, 2))
            cv2.circle(picture, (x, y), int(rng.integers(12, 18)), colour, -1)
            pixels = np.clip(picture, 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / label / f"{i:06}.jpg"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            rows.append(f"{label}/{i:06}.jpg,place {i % PLACES}")
    (folder / "manifest.csv").write_text("\n".join(rows), "utf-8")


def measured(folder: Path, way: str) -> dict[str, Any]:
    """Train in this process, and say what it took."""
    from train import TrainConfig, train_run
    from train.events import Progress

    usual = {"fine_tune_epochs": 1, "fine_tune_at": 0.0}
    config = TrainConfig.model_validate(
        {
            "data": folder / "data", "labels": tuple(LABELS), "weights": "starter", "size_px": SIZE_PX, "epochs": 3,
            "views": 2, "cache_budget_mb": BUDGET_MB, **usual, **WAYS[way],
        }
    )  # fmt: skip
    disk_bytes, cpu_before_s = 0, 0.0

    def watch(event: Any) -> None:
        nonlocal disk_bytes, cpu_before_s
        if isinstance(event, Progress) and event.stage == "features of train":
            cpu_before_s = cpu_before_s or time.process_time() - cpu
        if isinstance(event, Progress) and event.stage == "evaluate":
            disk_bytes = max(disk_bytes, sum(file.stat().st_size for file in folder.rglob("*.f32")))

    began, cpu = time.perf_counter(), time.process_time()
    run = train_run(config, folder / way, on_event=watch)
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "cpu_before_s": round(cpu_before_s, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "disk_mb": round(disk_bytes / 2**20, 1),
        "finished": any(event.kind == "finished" for event in run.record.events),
    }


if __name__ == "__main__":
    main()
