"""How heavy is the edge? A fresh environment with the `edge` extra alone, and a real run in it.

Builds the wheel, installs it with `requirements/edge.txt` into a new virtual environment, imports every module of
`edge_runtime` there, and runs a bundle over a clip. Reports the size of what was installed (bar 280 MB, without pip and
setuptools, which the environment brings), the peak memory of the run, and the time from the start of the process to the
first frame's answer (cold start).

    python benchmarks/edge_footprint.py --bundle BUNDLE --source CLIP [--quick] [--json]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median
from typing import Any

from record import arguments, publish

BAR_MB = 280
ROOT = Path(__file__).resolve().parent.parent
_BROUGHT_ALONG = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
_IMPORT_ALL = (
    "import edge_runtime, importlib, pkgutil; "
    "names = [m.name for m in pkgutil.walk_packages(edge_runtime.__path__, 'edge_runtime.')]; "
    "[importlib.import_module(name) for name in names]; print(len(names))"
)


def main() -> None:
    """Install, run, measure, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "required": True}),
        ("--source", {"required": True, "help": "a clip, for example of `ripeline simulate clip`"}),
    )
    with tempfile.TemporaryDirectory() as scratch:
        python = install(Path(scratch))
        modules = int(subprocess.run([python, "-c", _IMPORT_ALL], capture_output=True, text=True, check=True).stdout)
        runs = [
            run(python, options.bundle, options.source, Path(scratch) / str(number))
            for number in range(1 if options.quick else 5)
        ]
        starts = [
            cold_start(python, options.bundle, options.source, Path(scratch) / f"one{n}") for n in range(len(runs))
        ]
        figures: dict[str, Any] = {
            "bar_mb": BAR_MB,
            "installed_mb": round(installed_mb(python), 1),
            "modules_imported": modules,
            "peak_memory_mb": round(median(peak for peak, _ in runs), 1),
            "cold_start_s": round(median(starts), 2),
            "fruits": runs[0][1]["fruits"],
            "frames": runs[0][1]["frames"]["processed"],
            "engine": f"{runs[0][1]['artefact']} on {runs[0][1]['engine']}",
        }
    publish("edge_footprint", figures, "\n".join(f"{name:18} {value}" for name, value in figures.items()), options)


def install(folder: Path) -> Path:
    """A new environment with the locked edge requirements and the project's wheel; returns its Python."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT],
        check=True,
    )
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "edge.txt")], check=True)
    subprocess.run([*pip, "--no-deps", *map(str, folder.glob("ripeline-*.whl"))], check=True)
    return python


def installed_mb(python: Path) -> float:
    """Size of site-packages, byte code included."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    return (
        sum(
            file.stat().st_size
            for file in packages.rglob("*")
            if file.is_file() and not file.relative_to(packages).parts[0].startswith(_BROUGHT_ALONG)
        )
        / 1e6
    )


def run(python: Path, bundle: Path, source: str, output: Path, *more: str) -> tuple[float, dict[str, Any]]:
    """Peak memory in MB and the summary of one `ripeline run`."""
    words = ["run", str(bundle), "--source", source, "-o", str(output), "--json", *more]
    process = subprocess.Popen(
        [python.parent / "ripeline", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=output.parent
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"ripeline run ended with status {status}: {text.decode()}")
    return usage.ru_maxrss / 1024, json.loads(text)


def cold_start(python: Path, bundle: Path, source: str, output: Path) -> float:
    """Seconds of a whole process that opens everything and ends after the first frame."""
    import time

    begun = time.perf_counter()
    run(python, bundle, source, output, "--duration", "0.001")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
