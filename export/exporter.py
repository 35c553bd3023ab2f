"""From a run to a bundle: convert, inspect, measure, judge, write aside, rename."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from edge_runtime.bundle import CHECKSUMS, GOLDEN, MANIFEST, TRAINED_ON, Golden, checksums
from edge_runtime.decide import Policy
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Artefact, EngineRecord, FloatTolerance, Manifest, QuantizedTolerance, Result
from edge_runtime.preprocess import fingerprint
from evaluation.aside import filled_aside
from evaluation.dataset import Item, load_inputs
from evaluation.split import Split
from evaluation.temperature import fit_temperature
from export.decisions import compare_decisions
from export.diagnosis import HANDFUL, Suspects, samples_unlike
from export.document import ArtefactParity, Missing, write_documents
from export.formats import Format
from export.golden import (
    GOLDEN_INPUTS,
    MAX_FLOAT_LOGIT_DIFFERENCE,
    choose_golden,
    swapped_colours,
    tolerance_for,
    wrong_scaling,
)
from export.graph import Network
from export.inspect import ConversionError, Inspection, assert_sound
from export.measure import Measured, Unavailable, measure
from export.parity import FLOAT_MARGINS, PARITY_MARGINS, death, judge
from export.provenance import created, provenance
from export.samples import QUANTIZATION_SAMPLES, choose_samples
from train.run_directory import Run, match_data

DEFAULT_ARTEFACTS = ("tflite-int8", "tflite-fp32")
"""What a bundle is known by, first choice first: the first that did not fail parity."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Export:
    """A written bundle and what was found about it."""

    folder: Path
    manifest: Manifest
    parities: tuple[ArtefactParity, ...]
    missing: tuple[Missing, ...]

    def summary(self) -> dict[str, Any]:
        """What `ripeline export --json` prints."""
        return {
            "bundle": str(self.folder),
            "bundle_id": self.manifest.bundle_id,
            "result": self.manifest.result,
            "artefacts": [one.row() for one in self.parities],
            "unavailable": [one.model_dump() for one in self.missing],
        }


@dataclass(frozen=True)
class _Inputs:
    """Model inputs `[n, size, size, 3]` and label indices `[n]` of what each step needs."""

    samples: npt.NDArray[np.uint8]
    sample_sha256: tuple[str, ...]
    validation: npt.NDArray[np.uint8]
    validation_truth: npt.NDArray[np.int64]
    test: npt.NDArray[np.uint8]
    test_truth: npt.NDArray[np.int64]
    test_pictures: tuple[Item, ...]
    golden: npt.NDArray[np.uint8]

    def stacked(self) -> npt.NDArray[np.uint8]:
        """Everything that each engine is shown, in one array; `split` takes outputs apart again."""
        return np.concatenate(
            [self.validation, self.test, self.golden, swapped_colours(self.golden), wrong_scaling(self.golden)]
        )

    def split(self, outputs: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Validation, test, golden, golden with swapped colours, golden wrongly scaled."""
        sizes = [len(self.validation), len(self.test), *3 * [len(self.golden)]]
        return np.split(outputs, np.cumsum(sizes)[:-1])


def export_run(
    run: Run,
    output: Path,
    *,
    formats: Sequence[Format],
    policy: Policy,
    data: Path | None = None,
    progress: Progress = lambda _: None,
) -> Export:
    """Write the bundle of a run, also when parity fails: then it is marked rejected.

    Args:
        run: A finished run; its data are found again by content hash.
        output: The bundle's folder; replaced as a whole, at the end.
        formats: Of `export.formats`.
        policy: Which verdict the bundle gives; its labels are the run's.
        data: Where the pictures are now; None for where the run read them.
        progress: Told what is being done.

    Raises:
        InputError: Pictures are missing or changed.
        ConversionError: A converter wrote something else than was asked for.
        EngineError: No engine for a kind of artefact is installed, or none could run any of them.
    """
    record = run.record
    progress("finding the run's pictures again")
    inputs = _load(run, data)
    unlike = samples_unlike(inputs.samples, inputs.validation)
    if unlike and any(one.precision == "int8" for one in formats):
        # A net can bear it on few pictures, so that parity alone would not notice.
        raise ConversionError(
            f"{unlike[0].upper()}{unlike[1:]}.",
            remedy="look at the training pictures of the run; a quantiser must see what the line will",
        )
    from train import load_keras_model, logits_model  # seconds of TensorFlow, after all that may be refused

    model = logits_model(load_keras_model(run))
    progress("running the Keras model")
    stacked = inputs.stacked()
    keras_outputs: npt.NDArray[np.float32] = model.predict(stacked, batch_size=64, verbose=0)
    network = Network(model, inputs.samples)
    few = np.unique(np.linspace(0, len(inputs.test) - 1, HANDFUL).astype(np.int64))
    suspects = Suspects(
        lambda seen: model.predict(seen, batch_size=64, verbose=0),
        inputs.test[few],
        [inputs.test_pictures[place] for place in few],
        record.input,
    )
    with filled_aside(output) as folder:
        artefacts: list[Artefact] = []
        parities: list[ArtefactParity] = []
        missing: list[Missing] = []
        golden_logits: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
        conversions: dict[str, JsonValue] = {}
        for one in formats:
            progress(f"converting to {one.name}")
            file = folder / f"{one.name}{one.suffix}"
            conversions[one.name] = one.convert(network, file)
            inspection = assert_sound(file, precision=one.precision)
            engines: dict[str, EngineRecord] = {}
            for measured in measure(file, stacked):
                if isinstance(measured, Unavailable):
                    missing.append(Missing(name=one.name, engine=measured.engine, reason=measured.reason))
                    continue
                progress(f"measured {one.name} on {measured.engine}")
                parity, engines[measured.engine] = _judge(
                    run, one, inputs, policy, keras_outputs, measured, file, inspection
                )
                if parity.parity.result is Result.FAIL:
                    found = inputs.split(measured.logits)[1][few]
                    cause = suspects.explain(record.labels, found)
                    parity = parity.model_copy(update={"diagnosis": (cause,) if cause else ()})
                parities.append(parity)
                golden_logits[one.name, measured.engine] = inputs.split(measured.logits)[2]
            artefacts.append(
                Artefact(name=one.name, file=file.name, format=one.name, bytes=file.stat().st_size, engines=engines)
            )
        if not parities:
            raise EngineError(
                "No engine could run any artefact: " + "; ".join(f"{one.engine}: {one.reason}" for one in missing),
                remedy="install another version of the engines",
            )
        progress("writing the bundle")
        Golden(inputs.golden, inputs.split(keras_outputs)[2], golden_logits, fingerprint(record.input)).save(
            folder / GOLDEN
        )
        manifest = _manifest(run, policy, artefacts, conversions, inputs.sample_sha256, parities, folder)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
        write_documents(folder, run, manifest, parities, missing, inputs.test, inputs.test_truth)
        (folder / TRAINED_ON).write_text("".join(f"{digest}\n" for digest in sorted(run.learned)), "utf-8")
        (folder / CHECKSUMS).write_text(checksums(folder), "utf-8")
    return Export(output, manifest, tuple(parities), tuple(missing))


def _load(run: Run, data: Path | None) -> _Inputs:
    items, spec, seed = match_data(run, data), run.record.input, run.record.config.seed
    index = {label: place for place, label in enumerate(run.record.labels)}
    samples = choose_samples(items[Split.TRAIN], QUANTIZATION_SAMPLES, seed)
    # Few validation images: training ones fill up the golden set, which asks for behaviour, not for accuracy.
    pool = (
        items[Split.VALIDATION] if len(items[Split.VALIDATION]) >= GOLDEN_INPUTS else items[Split.VALIDATION] + samples
    )

    def truth(some: Sequence[Any]) -> npt.NDArray[np.int64]:
        return np.array([index[item.label] for item in some], np.int64)

    golden = [pool[place] for place in choose_golden(truth(pool), seed)]
    return _Inputs(
        samples=load_inputs(samples, spec),
        sample_sha256=tuple(item.sha256 for item in samples),
        validation=load_inputs(items[Split.VALIDATION], spec),
        validation_truth=truth(items[Split.VALIDATION]),
        test=load_inputs(items[Split.TEST], spec),
        test_truth=truth(items[Split.TEST]),
        test_pictures=tuple(items[Split.TEST]),
        golden=load_inputs(golden, spec),
    )


def _judge(
    run: Run,
    one: Format,
    inputs: _Inputs,
    policy: Policy,
    keras_outputs: npt.NDArray[np.float32],
    measured: Measured,
    file: Path,
    inspection: Inspection,
) -> tuple[ArtefactParity, EngineRecord]:
    validation, test, golden, swapped, misscaled = inputs.split(measured.logits)
    keras_validation, keras_test, keras_golden, _, _ = inputs.split(keras_outputs)
    labels, truth, groups = run.record.labels, inputs.test_truth, [item.group for item in inputs.test_pictures]
    margins = PARITY_MARGINS if one.quantized else FLOAT_MARGINS
    parity = judge(labels, truth, keras_test, test, margins, groups)
    tolerance: FloatTolerance | QuantizedTolerance
    if death(keras_outputs, measured.logits):
        # No temperature and no tolerance can be had from it, and none is needed: it never runs.
        temperature, tolerance = 1.0, FloatTolerance(max_logit_difference=MAX_FLOAT_LOGIT_DIFFERENCE)
    else:
        temperature = fit_temperature(validation, inputs.validation_truth) * run.record.temperature_factor
        tolerance = tolerance_for(
            quantized=one.quantized, recorded=golden, keras_logits=keras_golden, swapped=swapped, misscaled=misscaled
        )
    keras_temperature = fit_temperature(keras_validation, inputs.validation_truth) * run.record.temperature_factor
    decisions = compare_decisions(
        policy, labels, truth, keras_test, test, temperatures=(keras_temperature, temperature), groups=groups
    )
    record = EngineRecord(temperature=temperature, parity=parity.result, golden=tolerance)
    return (
        ArtefactParity(
            name=one.name,
            format=one.name,
            engine=measured.engine,
            bytes=file.stat().st_size,
            p50_ms=measured.p50_ms,
            temperature=temperature,
            operators=inspection.operators,
            parity=parity,
            decisions=decisions,
            flipped=tuple(int(i) for i in np.flatnonzero(keras_test.argmax(-1) != test.argmax(-1))),
            keras_labels=tuple(int(i) for i in keras_test.argmax(-1)),
            found_labels=tuple(int(i) for i in test.argmax(-1)),
        ),
        record,
    )


def _manifest(
    run: Run,
    policy: Policy,
    artefacts: Sequence[Artefact],
    conversions: dict[str, JsonValue],
    samples: Sequence[str],
    parities: Sequence[ArtefactParity],
    folder: Path,
) -> Manifest:
    record = run.record
    result = Result.worst([one.parity.result for one in parities])
    sound = {one.name for one in parities} - {one.name for one in parities if one.parity.result is Result.FAIL}
    default = next((name for name in DEFAULT_ARTEFACTS if name in sound), artefacts[0].name)
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
    return Manifest(
        bundle_id=identity.hexdigest()[:16],
        created=created(record.created_at),
        result=result,
        labels=record.labels,
        input=record.input,
        policy=policy,
        view_correlation=record.evidence.view_correlation.rho,
        default_artefact=default,
        artefacts=tuple(artefacts),
        provenance=provenance(run, conversions, samples),
    )
