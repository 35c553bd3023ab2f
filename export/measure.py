"""Run artefacts on the engines that ship, each pair in a process of its own.

TensorFlow and tflite-runtime cannot share a process once TensorFlow came first, and an engine that crashes on a file
must not take the export with it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import engines_for, is_installed, open_engine
from edge_runtime.errors import EngineError
from edge_runtime.select import median_latency_ms

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Measured:
    """Logits `[n, labels]` float32 of all images, and the median time of one of them on one thread."""

    engine: str
    logits: npt.NDArray[np.float32]
    p50_ms: float


def measure(artefact: Path, inputs: Images, engines: Iterable[str] | None = None) -> Iterator[Measured]:
    """Yield outputs of an artefact for `inputs` `[n, size, size, 3]` from each engine installed here that can run it.

    Raises:
        EngineError: No engine for this kind of file is installed, or one of them failed.
    """
    names = [name for name in engines or engines_for(artefact) if is_installed(name)]
    if not names:
        raise EngineError(
            f"No engine for {artefact.name} is installed.",
            expected=f"one of {', '.join(engines_for(artefact))}",
            remedy="pip install 'ripeline[edge]', [litert] or [onnx]",
        )
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "inputs.npy"
        np.save(file, inputs)
        for name in names:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                try:
                    yield pool.submit(_measure_here, artefact, name, file).result()
                except BrokenProcessPool as error:
                    raise EngineError(
                        f"{name} crashed while it ran {artefact}.", remedy="leave it out, or report it"
                    ) from error


def _measure_here(artefact: Path, engine: str, inputs_file: Path) -> Measured:
    inputs = np.load(inputs_file, mmap_mode="r")
    loaded = open_engine(engine, artefact)
    batches = [loaded.logits(np.ascontiguousarray(inputs[start : start + 64])) for start in range(0, len(inputs), 64)]
    return Measured(engine, np.concatenate(batches), median_latency_ms(loaded, np.ascontiguousarray(inputs[:1])))
