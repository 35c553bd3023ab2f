"""Run artefacts on the engines that ship, each pair in a process of its own.

TensorFlow and tflite-runtime cannot share a process once TensorFlow came first, and an engine that crashes on a file
must not take the export with it. The process is this module itself, not a `multiprocessing` child: those import the
caller's main module again, TensorFlow included.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.select import median_latency_ms
from edge_runtime.engines import engines_for, is_installed, open_engine
from edge_runtime.errors import EngineError, RipelineError

Images = npt.NDArray[np.uint8]

_BATCH = 64
_REFUSED = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """Logits `[n, labels]` float32 of all images, the median time of one on one thread, the process's peak memory."""

    engine: str
    logits: npt.NDArray[np.float32]
    p50_ms: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Unavailable:
    """An engine that could not run the artefact, and why; such a pair has no parity and so never runs."""

    engine: str
    reason: str


def measure(artefact: Path, inputs: Images, engines: Iterable[str] | None = None) -> Iterator[Measured | Unavailable]:
    """Yield outputs of an artefact for `inputs` `[n, size, size, 3]` from each engine installed here that can run it.

    Raises:
        EngineError: No engine for this kind of file is installed.
    """
    names = [name for name in engines or engines_for(artefact) if is_installed(name)]
    if not names:
        raise EngineError(
            f"No engine for {artefact.name} is installed.",
            expected=f"one of {', '.join(engines_for(artefact))}",
            remedy="pip install 'ripeline[edge]', [litert] or [onnx]",
        )
    with TemporaryDirectory() as scratch:
        inputs_file, outputs_file = Path(scratch) / "inputs.npy", Path(scratch) / "outputs.npz"
        np.save(inputs_file, inputs)
        for name in names:
            words = [str(artefact), name, str(inputs_file), str(outputs_file)]
            command = [sys.executable, "-m", "export.measure", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == _REFUSED:
                yield Unavailable(name, done.stdout.strip())
                continue
            if done.returncode != 0:
                said = done.stderr.strip().splitlines()
                yield Unavailable(
                    name,
                    f"{name} crashed on {artefact.name} (exit code {done.returncode}): {said[-1] if said else ''}",
                )
                continue
            with np.load(outputs_file) as outputs:
                yield Measured(name, outputs["logits"], float(outputs["p50_ms"]), float(outputs["peak_mb"]))


def _main(artefact: str, engine: str, inputs_file: str, outputs_file: str) -> int:
    inputs = np.load(inputs_file, mmap_mode="r")
    try:
        loaded = open_engine(engine, Path(artefact))
        starts = range(0, len(inputs), _BATCH)
        logits = np.concatenate([loaded.logits(np.ascontiguousarray(inputs[at : at + _BATCH])) for at in starts])
    except RipelineError as error:
        print(error.what)
        return _REFUSED
    p50_ms = median_latency_ms(loaded, np.ascontiguousarray(inputs[:1]))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    np.savez(outputs_file, logits=logits, p50_ms=p50_ms, peak_mb=peak_mb)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
