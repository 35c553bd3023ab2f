"""Does a line stay what it was: memory, speed, open files?

Paced (default): a simulated line by the real clock in its processes, 320x180 at 10 frames/s, sampled every ten seconds.
Slopes of each process's memory (its own, without what it shares) and of the p99 of capture to decision, with 95 %
intervals by least squares; open files at both ends; dropped frames; restarts. The first fifth is warming up and left
out of the slopes; the medians of ten equal parts of the rest tell a step from a slope.

Virtual (`--virtual-hours 24`): the same line in one process as fast as it goes.

    python benchmarks/soak.py [--bundle BUNDLE] [--minutes M] [--virtual-hours H] [--quick] [--json]
"""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from overhead import make_bundle
from record import arguments, publish

from edge_runtime.monitoring.health_server import STATUS, ask

EVERY_S = 10.0
WARMING_UP = 0.2
BARS = {"memory_mb_per_hour": 1.0, "p99_ms_per_hour": 1.0, "files": 0, "dropped": 0, "virtual_minutes": 60.0}
SCENARIO = """
base = "calm"
seconds = {seconds}
[camera]
width_px = 320
height_px = 180
mm_per_px = 1.2
frame_rate_hz = 10
"""
_NAME = "soak"


def main() -> None:
    """Measure and publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: a small one made now"}),
        ("--minutes", {"type": float, "default": 30.0, "help": "of the paced soak"}),
        ("--virtual-hours", {"type": float, "default": 0.0, "help": "instead: so much virtual time"}),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = options.bundle or make_bundle(folder)
        if options.virtual_hours:
            found = virtual(bundle, folder, 0.02 if options.quick else options.virtual_hours)
            publish("soak_virtual", {"bars": BARS, **found}, json.dumps(found, indent=2), options)
        else:
            found = paced(bundle, folder, 1.0 if options.quick else options.minutes)
            publish("soak", {"bars": BARS, **found}, _table(found), options)


def start(bundle: Path, folder: Path, seconds: float, *words: str, query: str = "") -> subprocess.Popen[bytes]:
    """`ripeline run` on the small line."""
    (folder / "belt.toml").write_text(SCENARIO.format(seconds=seconds))
    (folder / "line.toml").write_text(f'name = "{_NAME}"\n')
    command = [sys.executable, "-m", "ripeline.main", "run", str(bundle), "-o", str(folder / "out"), *words]
    command += ["--source", f"sim:{folder / 'belt.toml'}{query}", "--config", str(folder / "line.toml"), "--trace"]
    return subprocess.Popen(command, env=os.environ | {"RUNTIME_DIRECTORY": str(folder / "runtime")})


def paced(bundle: Path, folder: Path, minutes: float) -> dict[str, Any]:
    """By the clock, in processes."""
    process = start(bundle, folder, 60 * minutes + 120, query="?clock=real")
    samples: list[dict[str, Any]] = []
    try:
        _await_sorting(process)
        begun = time.monotonic()
        while (at := time.monotonic() - begun) < 60 * minutes:
            facts = ask(_NAME, STATUS)
            held = {one["name"]: _held(one["pid"]) for one in facts["processes"] if one["pid"]}
            samples.append({"minutes": at / 60, "held": held, "facts": facts})
            time.sleep(EVERY_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    finally:
        process.kill()
    steady = [one for one in samples if one["minutes"] >= WARMING_UP * minutes]
    at = np.array([one["minutes"] for one in steady])
    last = samples[-1]["facts"]
    processes = {}
    for name in samples[0]["held"]:
        memory = np.array([one["held"][name]["mb"] for one in steady])
        files = [one["held"][name]["files"] for one in steady]
        processes[name] = {
            "mb": round(float(memory[-1]), 1),
            "mb_per_hour": slope(at, memory),
            "mb_at_tenths": [round(float(np.median(part)), 2) for part in np.array_split(memory, 10)],
            "files": [files[0], files[-1]],
        }
    minute, p99 = _latency(folder / "out")
    kept = minute >= WARMING_UP * minutes
    return {
        "minutes": minutes,
        "processes": processes,
        "p99_ms": round(float(np.median(p99)), 2),
        "p99_ms_per_hour": slope(minute[kept], p99[kept]),
        "frames": {"read": last["cameras"][0]["frames"], "dropped": last["cameras"][0]["dropped"]},
        "restarts": sum(one["restarts"] for one in last["processes"]),
        "decided": last["decided"],
        "fired": last["fired"],
        "missed": last["missed"],
        "unsafe_samples": sum(one["facts"]["state"] != "running" for one in samples),
    }


def virtual(bundle: Path, folder: Path, hours: float) -> dict[str, Any]:
    """As fast as it goes, in one process."""
    begun, before_s = time.monotonic(), _children_s()
    process = start(bundle, folder, 3600 * hours)
    at, memory = [], []
    while process.poll() is None:
        if held := _held(process.pid):
            at.append((time.monotonic() - begun) / 60)
            memory.append(held["mb"])
        time.sleep(1.0)
    took_s, worked_s = time.monotonic() - begun, _children_s() - before_s
    assert process.returncode == 0
    summary = json.loads((folder / "out" / "summary.json").read_text("utf-8"))
    frames = summary["frames"]["processed"]
    steady = len(at) // 5
    virtual_hours = np.array(at[steady:]) / at[-1] * hours * 60
    return {
        "virtual_hours": hours,
        "frames": frames,
        "fruits": summary["fruits"],
        "minutes": round(took_s / 60, 2),
        "minutes_for_24_hours": round(took_s / 60 * 24 / hours, 1),
        "processor_minutes_for_24_hours": round(worked_s / 60 * 24 / hours, 1),
        "mb": round(memory[-1], 1),
        "mb_per_virtual_hour": slope(virtual_hours, np.array(memory[steady:])),
        "mb_at_tenths": [round(float(np.median(part)), 1) for part in np.array_split(np.array(memory[steady:]), 10)],
    }


def slope(minutes: Any, values: Any) -> list[float] | None:
    """Change an hour by least squares: estimate and 95 % interval; None for less than three values."""
    if len(minutes) < 3:
        return None
    x = np.asarray(minutes, float) / 60
    y = np.asarray(values, float)
    centred = x - x.mean()
    spread = float((centred**2).sum())
    rise = float((centred * (y - y.mean())).sum() / spread)
    rest = y - y.mean() - rise * centred
    error = float(np.sqrt((rest**2).sum() / max(1, len(x) - 2) / spread))
    return [round(rise, 3), round(rise - 1.96 * error, 3), round(rise + 1.96 * error, 3)]


def _latency(output: Path) -> tuple[Any, Any]:
    """Minutes, and the p99 within each of the time from the last view's exposure to the decision, ms."""
    with (output / "tracks.csv").open(encoding="utf-8", newline="") as stream:
        captured_ns = {int(row["frame"]): int(row["captured_ns"]) for row in csv.DictReader(stream)}
    rows = [json.loads(line) for line in (output / "decisions.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["last_frame"] in captured_ns]
    decided = np.array([row["decided_ns"] for row in rows])
    late_ms = (decided - np.array([captured_ns[row["last_frame"]] for row in rows])) / 1e6
    minute = ((decided - decided[0]) // 60_000_000_000).astype(int)
    whole = np.unique(minute)[:-1] if len(np.unique(minute)) > 1 else np.unique(minute)
    return whole.astype(float), np.array([np.percentile(late_ms[minute == one], 99) for one in whole])


def _await_sorting(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, "it ended"
        try:
            if ask(_NAME, STATUS)["state"] == "running":
                return
        except Exception:
            pass
        time.sleep(0.5)
    raise TimeoutError("it never sorts")


def _children_s() -> float:
    """Processor time of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _held(pid: int) -> dict[str, float]:
    try:
        # Without shared pages: those of rings come one by one until they have once been gone round.
        resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        return {
            "mb": (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e6,
            "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        }
    except OSError:
        return {}


def _table(found: dict[str, Any]) -> str:
    rows = [f"{'process':10} {'MB':>7} {'MB an hour (95 %)':>26} {'files':>9}"]
    for name, one in found["processes"].items():
        rise = _words(one["mb_per_hour"])
        rows.append(f"{name:10} {one['mb']:7.1f} {rise:>26} {one['files'][0]:>5} {one['files'][1]}")
    rows.append(f"p99 capture to decision {found['p99_ms']} ms, {_words(found['p99_ms_per_hour'])} ms an hour")
    rows.append(
        f"frames {found['frames']}, restarts {found['restarts']}, samples not sorting {found['unsafe_samples']}"
    )
    return "\n".join(rows)


def _words(rise: list[float] | None) -> str:
    return "too short for a slope" if rise is None else f"{rise[0]:.2f} ({rise[1]:.2f} to {rise[2]:.2f})"


if __name__ == "__main__":
    main()
