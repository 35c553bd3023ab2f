"""From a run to a bundle: convert, inspect, measure, judge, write aside, rename."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundles.bundle import CHECKSUMS, GOLDEN, MANIFEST, TRAINED_ON, Golden, checksums
from edge_runtime.bundles.manifest import Manifest, Result
from edge_runtime.deciding.decide import Policy
from edge_runtime.errors import EngineError
from edge_runtime.preprocess import fingerprint
from evaluation.aside import filled_aside
from export.diagnosis import samples_unlike
from export.document import write_documents
from export.findings import ArtefactParity, Missing
from export.formats import Format
from export.inputs import load
from export.inspect import ConversionError
from export.ladder import Step
from export.making import Made, Progress, Reference, make
from export.provenance import created, provenance
from train.run_directory import Run

DEFAULT_ARTEFACTS = ("tflite-int8", "tflite-fp32")
"""What a bundle is known by, first choice first: the first that did not fail parity."""


@dataclass(frozen=True)
class Export:
    """A written bundle and what was found about it."""

    folder: Path
    manifest: Manifest
    parities: tuple[ArtefactParity, ...]
    missing: tuple[Missing, ...]
    ladders: Mapping[str, tuple[Step, ...]]

    def summary(self) -> dict[str, Any]:
        """What `ripeline export --json` prints."""
        return {
            "bundle": str(self.folder),
            "bundle_id": self.manifest.bundle_id,
            "result": self.manifest.result,
            "artefacts": [one.row() for one in self.parities],
            "unavailable": [one.model_dump() for one in self.missing],
            "ladders": {name: [step.model_dump(mode="json") for step in steps] for name, steps in self.ladders.items()},
        }


def export_run(
    run: Run,
    output: Path,
    *,
    formats: Sequence[Format],
    policy: Policy,
    data: Path | None = None,
    strict: bool = False,
    any_samples: bool = False,
    progress: Progress = lambda _: None,
) -> Export:
    """Write the bundle of a run, also when parity fails: then it is marked rejected.

    Args:
        run: A finished run; its data are found again by content hash.
        output: The bundle's folder; replaced as a whole, at the end.
        formats: Of `export.formats`.
        policy: Which verdict the bundle gives; its labels are the run's.
        data: Where the pictures are now; None for where the run read them.
        strict: Whether too few pictures are a failure in the bundle's `junit.xml`.
        any_samples: Whether quantisers may see samples that look unlike the other pictures.
        progress: Told what is being done.

    Raises:
        InputError: Pictures are missing or changed.
        ConversionError: A converter wrote something else than was asked for.
        EngineError: No engine for a kind of artefact is installed, or none could run any of them.
    """
    progress("finding the run's pictures again")
    inputs = load(run, data)
    unlike = samples_unlike(inputs.samples, inputs.validation)
    if unlike and not any_samples and any(one.precision == "int8" for one in formats):
        # A net can bear it on few pictures, so that parity alone would not notice.
        raise ConversionError(
            f"{unlike[0].upper()}{unlike[1:]}.",
            remedy="look at the training pictures of the run: a quantiser must see what the line will. If "
            "they are right, export with --any-samples",
        )
    progress("running the Keras model")
    reference = Reference(run, inputs, policy)
    with filled_aside(output) as folder:
        made: list[Made] = []
        for one in formats:
            progress(f"converting to {one.name}")
            made.append(make(one, folder / f"{one.name}{one.suffix}", reference, progress))
        parities = tuple(pair.parity for artefact in made for pair in artefact.pairs)
        missing = tuple(pair for artefact in made for pair in artefact.missing)
        if not parities:
            raise EngineError(
                "No engine could run any artefact: " + "; ".join(f"{one.engine}: {one.reason}" for one in missing),
                remedy="install another version of the engines",
            )
        progress("writing the bundle")
        golden = {(pair.parity.name, pair.parity.engine): pair.golden for artefact in made for pair in artefact.pairs}
        Golden(inputs.golden, inputs.split(reference.outputs)[2], golden, fingerprint(inputs.spec)).save(
            folder / GOLDEN
        )
        manifest = _manifest(reference, made, folder)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
        ladders = {artefact.record.name: artefact.steps for artefact in made if artefact.steps}
        write_documents(
            folder, run, manifest, parities, missing, ladders, inputs.test, inputs.test_truth, strict=strict
        )
        (folder / TRAINED_ON).write_text("".join(f"{digest}\n" for digest in sorted(run.learned)), "utf-8")
        (folder / CHECKSUMS).write_text(checksums(folder), "utf-8")
    return Export(output, manifest, parities, missing, ladders)


def _manifest(reference: Reference, made: Sequence[Made], folder: Path) -> Manifest:
    run, policy, artefacts = reference.run, reference.policy, tuple(one.record for one in made)
    record, results = run.record, {one.name: one.result() for one in artefacts}
    default = next(
        (name for name in DEFAULT_ARTEFACTS if results.get(name, Result.FAIL) is not Result.FAIL), artefacts[0].name
    )
    identity = hashlib.sha256(
        json.dumps(
            [
                record.labels,
                record.input.model_dump(mode="json"),
                policy.model_dump(mode="json"),
                [default, record.evidence.view_correlation.rho],
                [one.model_dump(mode="json") for one in artefacts],
                [hashlib.sha256((folder / one.file).read_bytes()).hexdigest() for one in artefacts],
            ],
            sort_keys=True,
        ).encode()
    )
    samples = [item.sha256 for item in reference.inputs.pool[: max(one.samples() for one in made)]]
    return Manifest(
        bundle_id=identity.hexdigest()[:16],
        created=created(record.created_at),
        result=Result.worst(list(results.values())),
        labels=record.labels,
        input=record.input,
        policy=policy,
        view_correlation=record.evidence.view_correlation.rho,
        default_artefact=default,
        artefacts=artefacts,
        provenance=provenance(run, {one.record.name: one.options for one in made}, samples),
    )
