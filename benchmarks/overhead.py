"""What does the runtime add to the bare engine?

For each (artefact, engine) of a bundle: the time of one crop through the runtime (box in a frame -> model input ->
engine -> probabilities) beside the bare interpreter with nothing but its resize, in turn, in one process.
`ratio` is the median over pairs; the bar is 1.10.

    python benchmarks/overhead.py [--bundle BUNDLE] [--quick] [--json]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from record import arguments, publish

from edge_runtime.bundles.bundle import Bundle, open_bundle
from edge_runtime.deciding.decide import softmax
from edge_runtime.engines import is_installed, open_engine
from edge_runtime.preprocess import to_model_inputs
from edge_runtime.quiet import native_stderr_silenced
from edge_runtime.records import Box

BAR = 1.10
FRAME_PX = (720, 1280)
BOX = Box(600, 300, 110, 96)


def main() -> None:
    """Measure every pair and publish."""
    options = arguments(
        __doc__ or "", ("--bundle", {"type": Path, "help": "default: a small one made now, alpha 0.35 at 160 px"})
    )
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = open_bundle(options.bundle or make_bundle(Path(scratch)))
        rows = [
            measure(bundle, artefact.name, engine, pairs=60 if options.quick else 600)
            for artefact, engine, _ in bundle.manifest.pairs()
            if is_installed(engine)
        ]
    lines = [f"{'artefact':13} {'engine':15} {'runtime':>9} {'bare':>9} {'ratio':>6}"]
    lines += [
        f"{one['artefact']:13} {one['engine']:15} {one['runtime_ms']:6.3f} ms {one['bare_ms']:6.3f} ms "
        f"{one['ratio']:6.3f}"
        for one in rows
    ]
    publish("overhead", {"bar": BAR, "size_px": bundle.manifest.input.size_px, "rows": rows}, "\n".join(lines), options)


def measure(bundle: Bundle, artefact: str, engine_name: str, *, pairs: int) -> dict[str, Any]:
    """Alternate between the two ways, each first half of the time; medians and the median ratio of pairs."""
    spec, file = bundle.manifest.input, bundle.file(bundle.artefact(artefact))
    temperature = bundle.record(artefact, engine_name).temperature
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME_PX, 3), np.uint8)
    engine = open_engine(engine_name, file)
    side = round(max(BOX.width_px, BOX.height_px) * (1 + 2 * spec.margin))
    x, y = round(BOX.centre_px[0] - side / 2), round(BOX.centre_px[1] - side / 2)
    invoke = bare_engine(engine_name, file)
    interpolation = cv2.INTER_AREA if side > spec.size_px else cv2.INTER_LINEAR

    def runtime() -> object:
        return softmax(engine.logits(to_model_inputs([(frame, BOX)], spec)), temperature)

    def bare() -> object:
        crop = cv2.resize(frame[y : y + side, x : x + side], (spec.size_px, spec.size_px), interpolation=interpolation)
        return invoke(crop[np.newaxis])

    for _ in range(10):
        runtime(), bare()
    runtime_s, bare_s = [], []
    for number in range(pairs):
        order = (runtime, bare) if number % 2 else (bare, runtime)
        times = {way: stopwatch(way) for way in order}
        runtime_s.append(times[runtime])
        bare_s.append(times[bare])
    return {
        "artefact": artefact,
        "engine": engine_name,
        "runtime_ms": statistics.median(runtime_s) * 1000,
        "bare_ms": statistics.median(bare_s) * 1000,
        "ratio": statistics.median(a / b for a, b in zip(runtime_s, bare_s, strict=True)),
        "pairs": pairs,
    }


def stopwatch(way: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def bare_engine(name: str, file: Path) -> Callable[[npt.NDArray[np.uint8]], object]:
    """The engine's own calls and nothing else, one thread."""
    if name == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0].name
        return lambda batch: session.run(None, {source: batch})[0]
    if name == "tflite-runtime":
        from tflite_runtime.interpreter import Interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter
    with native_stderr_silenced():
        interpreter = Interpreter(model_path=str(file), num_threads=1)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def invoke(batch: npt.NDArray[np.uint8]) -> object:
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return invoke


def make_bundle(folder: Path) -> Path:
    """A bundle trained on a few simulated crops: speed does not depend on what the weights are.

    So few may fail parity by chance; then others are drawn.
    """
    for seed in range(4):
        data, run, bundle = (folder / str(seed) / name for name in ("data", "run", "bundle"))
        frozen = ["--epochs", 5, "--fine-tune-epochs", 0]
        for words in (
            ["simulate", "dataset", data, "--per-class", 40, "--seed", seed],
            ["train", data, "-o", run, "--weights", "starter", "--image-size", 160, *frozen],
            ["export", run, "-o", bundle, "--accept", "ripe"],
        ):
            command = [sys.executable, "-m", "ripeline.main", *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            # 1 is a gate's no: no obstacle after training, and after export a reason to try others.
            if done.returncode not in (0, 1):
                sys.exit(done.stderr)
        if done.returncode == 0:
            return bundle
    sys.exit(f"No bundle of four passed parity; the last is {bundle}.")


if __name__ == "__main__":
    main()
