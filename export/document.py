"""What a bundle says about its parity to people and tools; times stand apart, since they differ each time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.manifest import Manifest, Result
from export.card import model_card
from export.findings import ArtefactParity, Missing
from export.junit import Case, junit
from export.ladder import Step
from export.parity_page import parity_page
from train.run_directory import Run

PARITY = "parity.json"
PARITY_PAGE = "parity.html"
PARITY_JUNIT = "junit.xml"
MEASURED = "measured.json"
MODEL_CARD = "MODEL_CARD.md"


def write_documents(
    folder: Path,
    run: Run,
    manifest: Manifest,
    parities: Sequence[ArtefactParity],
    missing: Sequence[Missing],
    ladders: Mapping[str, Sequence[Step]],
    test_inputs: npt.NDArray[np.uint8],
    test_truth: npt.NDArray[np.int64],
    *,
    strict: bool,
) -> None:
    """Write all five into the bundle's folder.

    Args:
        folder: Of the bundle.
        run: Where it came from.
        manifest: Its own, complete.
        parities: Of every artefact on every engine.
        missing: Pairs that could not be measured.
        ladders: By integer artefact, the rungs that were tried on the validation pictures.
        test_inputs: What parity was measured on, `[n, size, size, 3]` uint8 RGB.
        test_truth: Label indices `[n]`.
        strict: Whether too few pictures are a failure for JUnit.
    """
    times = [{"artefact": one.name, "engine": one.engine, "p50_ms": round(one.p50_ms, 4)} for one in parities]
    _write_json(folder / MEASURED, {"threads": 1, "latency": times})
    left_out = {"p50_ms", "keras_labels", "found_labels"}
    _write_json(
        folder / PARITY,
        {
            "schema_version": 1,
            "result": manifest.result,
            "labels": manifest.labels,
            "artefacts": [one.model_dump(mode="json", exclude=left_out) for one in parities],
            "unavailable": [one.model_dump() for one in missing],
            "ladders": {name: [step.model_dump(mode="json") for step in steps] for name, steps in ladders.items()},
        },
    )
    page = parity_page(run.folder.name, manifest, parities, missing, ladders, test_inputs, test_truth)
    page.write(folder / PARITY_PAGE)
    cases = [
        Case("parity with Keras", f"{one.name} on {one.engine}", one.parity.result, "; ".join(one.causes()))
        for one in parities
    ] + [Case("parity with Keras", f"{one.name} on {one.engine}", Result.FAIL, one.reason) for one in missing]
    (folder / PARITY_JUNIT).write_text(junit(f"ripeline export {manifest.bundle_id}", cases, strict=strict), "utf-8")
    (folder / MODEL_CARD).write_text(model_card(run, manifest, parities), "utf-8")


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
