"""How many quantisation samples does int8 need, and should they be augmented?

32, 128 and 512 training pictures of a run, plain and as training augments them, for both quantisers: agreement with the
Keras model, and root mean square error of the logits, over the validation and held-out pictures on `ai-edge-litert`.

    python benchmarks/export_samples.py --run RUN [--data DATA] [--quick] [--json]
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, publish

from evaluation.dataset import load_inputs
from evaluation.split import Split
from export.formats import parse_formats
from export.graph import Network
from export.measure import Measured, measure
from export.samples import choose_samples

QUANTIZERS = ("tflite-converter", "ai-edge-quantizer")
COUNTS = (32, 128, 512)


def main() -> None:
    """Every case; publish."""
    options = arguments(
        __doc__ or "",
        ("--run", {"type": Path, "required": True, "help": "a finished run"}),
        ("--data", {"type": Path, "help": "its pictures, if these have moved"}),
    )
    rows = study(options.run, options.data, COUNTS[:1] if options.quick else COUNTS)
    publish("export_samples", {"run": options.run.name, "rows": rows}, table(rows), options)


def study(run: Path, data: Path | None, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Agreement with Keras of int8 on validation and held-out pictures, by the samples that its quantiser saw."""
    from train import load_keras_model, logits_model
    from train.augment import augmented_view
    from train.run_directory import match_data, read_run

    opened = read_run(run)
    items, spec, seed = match_data(opened, data), opened.record.input, opened.record.config.seed
    seen = load_inputs([*items[Split.VALIDATION], *items[Split.TEST]], spec)
    model = logits_model(load_keras_model(opened))
    expected = model.predict(seen, verbose=0)
    rows = []
    for count, augmented in product(counts, (False, True)):
        pictures = load_inputs(choose_samples(items[Split.TRAIN], count, seed), spec)
        if augmented:
            pictures = augmented_view(pictures, np.random.default_rng(seed))
        network = Network(model, pictures)
        for quantizer in QUANTIZERS:
            (one,) = (one for one in parse_formats(["tflite-int8"], quantizer) if one.name == "tflite-int8")
            with tempfile.TemporaryDirectory() as scratch:
                one.convert(network, Path(scratch, "one.tflite"))
                for found in measure(Path(scratch, "one.tflite"), seen, ["ai-edge-litert"]):
                    assert isinstance(found, Measured)
                    rows.append(
                        {
                            "samples": len(pictures),
                            "augmented": augmented,
                            "quantizer": quantizer,
                            "engine": found.engine,
                            "n": len(seen),
                            "agreement": float(np.mean(found.logits.argmax(-1) == expected.argmax(-1))),
                            "rms_logits": float(np.sqrt(np.square(found.logits - expected).mean())),
                        }
                    )
        print(f"{count} samples{', augmented' if augmented else ''} done", file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The study in lines."""
    header = "| samples | pictures | quantiser | agreement | RMS error of logits |\n|---|---|---|---|---|"
    return "\n".join(
        [header]
        + [
            f"| {row['samples']} | {'augmented' if row['augmented'] else 'plain'} | {row['quantizer']} "
            f"| {row['agreement']:.1%} | {row['rms_logits']:.3f} |"
            for row in rows
        ]
    )


if __name__ == "__main__":
    main()
