"""How long does the export of all formats take, with parity over 2,000 pictures?

A run's held-out pictures over and over, as files that differ in bytes behind the picture, through the command line,
stage by stage. Bar: 4 minutes on 2 cores, at alpha 0.35 and 160 px. On a busy machine the processor time tells more
than the clock; both are given, with the load.

    python benchmarks/export_time.py --run RUN [--data DATA] [--quick] [--json]
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, publish

BAR_S = 240
PICTURES, QUICK_PICTURES = 2000, 200
_STAGE = re.compile(r"^\[ *([0-9.]+) s\] export: (.*)$")


def main() -> None:
    """Time it; publish."""
    options = arguments(
        __doc__ or "",
        ("--run", {"type": Path, "required": True, "help": "a finished run"}),
        ("--data", {"type": Path, "help": "its pictures, if these have moved"}),
    )
    load = os.getloadavg()[0]
    timed = large_export(options.run, options.data, QUICK_PICTURES if options.quick else PICTURES)
    lines = [f"{seconds:6.1f} s  {stage}" for stage, seconds in timed["stages_s"].items()]
    word = "met" if timed["seconds"] <= BAR_S else "MISSED"
    lines.append(
        f"{word}: all formats over {timed['pictures']} pictures in {timed['seconds']:.0f} s "
        f"({timed['cpu_s']:.0f} s of processor time, load before {load:.1f}), bar {BAR_S} s"
    )
    publish("export_time", {"bar_s": BAR_S, "load_before": round(load, 1), **timed}, "\n".join(lines), options)


def export(run: Path, bundle: Path, data: Path | None, *words: object) -> list[tuple[float, str]]:
    """Export, whatever the gate says of it, and return when each of its steps began, in seconds."""
    more = ["--data", data] if data else []
    command = [sys.executable, "-m", "ripeline.main", "export", run, "-o", bundle, *more, *words]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return [(float(found[1]), found[2]) for line in done.stderr.splitlines() if (found := _STAGE.match(line))]


def large_export(run: Path, data: Path | None, pictures: int) -> dict[str, Any]:
    """All formats with parity over so many held-out pictures, and how long each stage took."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = larger(run, data, Path(scratch), pictures)
        begun, used = time.monotonic(), _cpu_s()
        steps = export(copy, Path(scratch, "bundle"), Path(scratch, "data"), "--formats", "all")
        seconds, cpu_s = time.monotonic() - begun, _cpu_s() - used
        parity = json.loads(Path(scratch, "bundle", "parity.json").read_text("utf-8"))
    ends = [at for at, _ in steps[1:]] + [seconds]
    return {
        "pictures": parity["artefacts"][0]["parity"]["n"],
        "pairs": len(parity["artefacts"]),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu_s, 1),
        "stages_s": {text: round(end - at, 1) for (at, text), end in zip(steps, ends, strict=True)},
    }


def larger(run: Path, data: Path | None, scratch: Path, pictures: int) -> Path:
    """A copy of a run with so many held-out pictures: the same ones again, each file with other bytes at its end."""
    from train.run_directory import match_data, read_run

    opened, folder = read_run(run), scratch / "data"
    copy = Path(shutil.copytree(run, scratch / "run"))
    matched = match_data(opened, data)
    rows = list(csv.DictReader((run / "splits.csv").open(encoding="utf-8", newline="")))
    written = []
    for split, items in matched.items():
        mine = [row for row in rows if row["split"] == split.value]
        copies = -(-pictures // len(items)) if split.value == "test" else 1
        for number in range(copies):
            for row, item in zip(mine, items, strict=True):
                if split.value == "test" and sum(one["split"] == "test" for one in written) == pictures:
                    break
                content = item.path.read_bytes() + b"\0" * number
                file = folder / f"{number}" / row["file"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                digest = hashlib.sha256(content).hexdigest()
                written.append(row | {"sha256": digest, "group": f"{row['group']}-{number}"})
    with (copy / "splits.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(written)
    return copy


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
