"""What every benchmark writes beside its figures: the machine, the versions and the date."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "ripeline",
    "numpy",
    "opencv-python-headless",
    "tensorflow",
    "keras",
    "tflite-runtime",
    "ai-edge-litert",
    "onnxruntime",
    "openvino",
)

ON_PICTURES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--data", {"type": Path, "required": True, "help": "labelled pictures"}),
    ("--weights", {"type": Path, "required": True, "help": "ImageNet weights of the backbone, without the top"}),
    ("--alpha", {"type": float, "default": 0.35, "help": "width of the backbone"}),
)
"""Options of benchmarks that train."""


def arguments(description: str, *more: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """The command line that all benchmarks share, with further options as (flag, settings)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; results are not kept")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    for flag, settings in more:
        parser.add_argument(flag, **settings)
    return parser.parse_args()


def publish(name: str, figures: dict[str, Any], table: str, options: argparse.Namespace) -> None:
    """Print the figures, and unless `--quick` keep them in `benchmarks/results/NAME.json`."""
    document = {"benchmark": name, "date": datetime.now(UTC).date().isoformat(), **_surroundings(), **figures}
    print(json.dumps(document, indent=2) if options.json else table)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _surroundings() -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line.split(":", 1)[1].split() for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        return platform.machine()
    known = [name for name in ("avx2", "avx512f", "avx512_vnni") if name in flags]
    return f"{platform.machine()} {model} ({', '.join(known)})"
