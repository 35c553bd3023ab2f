"""One artefact: converted, inspected, run on every engine here, and held against the Keras model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from edge_runtime.bundles.manifest import Artefact, EngineRecord, FloatTolerance, QuantizedTolerance, Result
from edge_runtime.deciding.decide import Policy, energy
from evaluation.temperature import cautious_temperature
from export.decisions import compare_decisions
from export.diagnosis import HANDFUL, Suspects
from export.findings import ArtefactParity, Missing
from export.formats import Format, converted
from export.golden import MAX_FLOAT_LOGIT_DIFFERENCE, tolerance_for
from export.graph import Network
from export.inputs import Images, Inputs, Logits
from export.inspect import Inspection, assert_sound
from export.ladder import Outcome, Step, climb
from export.layer_error import LOOKED_AT, LayerError, layer_errors
from export.measure import Measured, Unavailable, measure
from export.parity import FLOAT_MARGINS, PARITY_MARGINS, death, judge
from train.run_directory import Run

USUAL_ENERGY = 0.995
"""Share of the validation pictures that the runtime is to find usual."""
_WORST_LAYERS = 5

Progress = Callable[[str], None]


class Reference:
    """What artefacts are held against: the run's Keras model, run once over everything that engines are shown."""

    def __init__(self, run: Run, inputs: Inputs, policy: Policy) -> None:
        from train import load_keras_model, logits_model  # seconds of TensorFlow

        model = logits_model(load_keras_model(run))

        def logits(seen: Images) -> Logits:
            found: Logits = model.predict(seen, batch_size=64, verbose=0)
            return found

        self.run, self.inputs, self.policy = run, inputs, policy
        self.network = Network(model, inputs.samples)
        self.outputs = logits(inputs.stacked())
        self.handful = np.unique(np.linspace(0, len(inputs.test) - 1, HANDFUL).astype(np.int64))
        pictures = [inputs.test_pictures[place] for place in self.handful]
        self.suspects = Suspects(logits, inputs.test[self.handful], pictures, inputs.spec)


@dataclass(frozen=True)
class Pair:
    """What was found of an artefact on one engine; `golden` are its logits for the golden inputs."""

    parity: ArtefactParity
    record: EngineRecord
    golden: Logits


@dataclass(frozen=True)
class Made:
    """A finished artefact; `steps` are the rungs of the ladder, of integer formats alone."""

    record: Artefact
    options: dict[str, JsonValue]
    pairs: tuple[Pair, ...]
    missing: tuple[Missing, ...]
    steps: tuple[Step, ...]

    def samples(self) -> int:
        """How many pictures its quantiser saw, the first ones of the pool."""
        count = self.options.get("quantization_samples", 0)
        return count if isinstance(count, int) else 0


@dataclass(frozen=True)
class _Converted:
    options: dict[str, JsonValue]
    inspection: Inspection
    measured: Iterable[Measured | Unavailable]
    steps: tuple[Step, ...] = ()


def make(one: Format, file: Path, reference: Reference, progress: Progress) -> Made:
    """Write the file of a format and prove it on every engine installed here.

    Raises:
        ConversionError: The converter wrote something else than was asked for.
        EngineError: No engine for this kind of file is installed.
    """
    ready = _convert(one, file, reference, progress)
    pairs: list[Pair] = []
    missing: list[Missing] = []
    layers: tuple[LayerError, ...] = ()
    for measured in ready.measured:
        if isinstance(measured, Unavailable):
            missing.append(Missing(name=one.name, engine=measured.engine, reason=measured.reason))
            continue
        progress(f"measured {one.name} on {measured.engine}")
        pair = _judge(one, file, reference, ready.inspection, measured)
        if pair.parity.parity.result is Result.FAIL:
            if one.precision == "int8" and not layers:
                progress(f"looking for the layers in which {one.name} loses most")
                seen = reference.inputs.some_validation(LOOKED_AT)
                layers = layer_errors(reference.network.unscaled, file, seen)[:_WORST_LAYERS]
            found = reference.inputs.split(measured.logits)[1][reference.handful]
            cause = reference.suspects.explain(reference.run.record.labels, found)
            why = {"diagnosis": (cause,) if cause else (), "layers": layers}
            pair = replace(pair, parity=pair.parity.model_copy(update=why))
        pairs.append(pair)
    record = Artefact(
        name=one.name,
        file=file.name,
        format=one.name,
        bytes=file.stat().st_size,
        engines={pair.parity.engine: pair.record for pair in pairs},
    )
    return Made(record, ready.options, tuple(pairs), tuple(missing), ready.steps)


def _convert(one: Format, file: Path, reference: Reference, progress: Progress) -> _Converted:
    inputs, labels = reference.inputs, reference.run.record.labels
    if one.precision != "int8":
        options = converted(one.convert, reference.network, file)
        return _Converted(options, assert_sound(file, precision=one.precision), measure(file, inputs.stacked()))
    expected, groups = inputs.split(reference.outputs)[0], [item.group for item in inputs.validation_pictures]

    def on_validation(file: Path) -> Outcome:
        return [
            (
                found,
                None
                if isinstance(found, Unavailable)
                else judge(labels, inputs.validation_truth, expected, found.logits, groups=groups),
            )
            for found in measure(file, inputs.validation)
        ]

    quantized = climb(
        one,
        file,
        reference.network,
        more=inputs.more_samples,
        judge_on_validation=on_validation,
        looked_at=inputs.some_validation(LOOKED_AT),
        progress=progress,
    )
    options = quantized.options
    if len(quantized.steps) > 1:
        options = options | {"ladder": [step.model_dump(mode="json") for step in quantized.steps]}
    # Only now, and only this file, sees the held-out pictures.
    rest = inputs.stacked()[len(inputs.validation) :]
    return _Converted(options, quantized.inspection, _with_rest(file, quantized.validation, rest), quantized.steps)


def _with_rest(
    file: Path, validation: Sequence[Measured | Unavailable], rest: Images
) -> Iterator[Measured | Unavailable]:
    yield from (one for one in validation if isinstance(one, Unavailable))
    before = {one.engine: one.logits for one in validation if isinstance(one, Measured)}
    for found in measure(file, rest, before) if before else ():
        if isinstance(found, Unavailable):
            yield found
        else:
            yield replace(found, logits=np.concatenate([before[found.engine], found.logits]))


def _judge(one: Format, file: Path, reference: Reference, inspection: Inspection, measured: Measured) -> Pair:
    inputs, record = reference.inputs, reference.run.record
    validation, test, golden, swapped, misscaled = inputs.split(measured.logits)
    keras_validation, keras_test, keras_golden, _, _ = inputs.split(reference.outputs)
    labels, truth, groups = record.labels, inputs.test_truth, [item.group for item in inputs.test_pictures]
    parity = judge(labels, truth, keras_test, test, PARITY_MARGINS if one.quantized else FLOAT_MARGINS, groups)
    tolerance: FloatTolerance | QuantizedTolerance
    energy_limit: float | None = None
    on_validation = inputs.validation_truth, [item.group for item in inputs.validation_pictures]
    if death(reference.outputs, measured.logits):
        # No temperature and no tolerance can be had from it, and none is needed: it never runs.
        temperature, tolerance = 1.0, FloatTolerance(max_logit_difference=MAX_FLOAT_LOGIT_DIFFERENCE)
    else:
        temperature = cautious_temperature(validation, *on_validation) * record.temperature_factor
        energy_limit = float(np.quantile(energy(validation), USUAL_ENERGY))
        tolerance = tolerance_for(
            quantized=one.quantized, recorded=golden, keras_logits=keras_golden, swapped=swapped, misscaled=misscaled
        )
    keras_temperature = cautious_temperature(keras_validation, *on_validation) * record.temperature_factor
    decisions = compare_decisions(
        reference.policy,
        labels,
        truth,
        keras_test,
        test,
        temperatures=(keras_temperature, temperature),
        groups=groups,
    )
    expected, found = keras_test.argmax(-1), test.argmax(-1)
    return Pair(
        ArtefactParity(
            name=one.name,
            format=one.name,
            engine=measured.engine,
            bytes=file.stat().st_size,
            p50_ms=measured.p50_ms,
            temperature=temperature,
            operators=inspection.operators,
            float_islands=inspection.float_islands if one.precision == "int8" else (),
            parity=parity,
            decisions=decisions,
            flipped=tuple(int(place) for place in np.flatnonzero(expected != found)),
            keras_labels=tuple(expected.tolist()),
            found_labels=tuple(found.tolist()),
        ),
        EngineRecord(temperature=temperature, energy_limit=energy_limit, parity=parity.result, golden=tolerance),
        golden,
    )
