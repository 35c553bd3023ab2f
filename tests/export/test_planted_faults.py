"""A converter with a usual mistake in it: the export says no and names the mistake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundles.bundle import open_bundle
from edge_runtime.bundles.manifest import Result
from edge_runtime.engines import open_engine
from edge_runtime.settings.decision_settings import PolicySettings
from evaluation.dataset import load_inputs, read_dataset
from export import exporter
from export.exporter import export_run
from export.findings import remarks
from export.formats import FORMATS
from export.gate import GatePolicy, MarginSettings
from export.inspect import ConversionError
from export.regression import check_regression
from train.run_directory import read_run


def swap_colours(model: Any) -> None:
    (layer,) = [one for one in model._flatten_layers() if one.name == "Conv1"]
    (kernel,) = layer.get_weights()
    layer.set_weights([kernel[:, :, ::-1]])


def scale_to_one(model: Any) -> None:
    model.layers[1].scale, model.layers[1].offset = 1 / 255, 0.0


def shuffle_labels(model: Any) -> None:
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])


def lose_the_weights(model: Any) -> None:
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.zeros_like(kernel), bias])


def become_nan(model: Any) -> None:
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * np.nan, bias])


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (swap_colours, "matches if RGB and BGR are swapped"),
        (scale_to_one, "[0, 1] instead of [-1, 1]"),
        (shuffle_labels, "labels are permuted (ripe stands where unripe belongs"),
        (lose_the_weights, "same output for every image"),
        (become_nan, "not finite numbers"),
    ],
)
def test_a_converter_s_mistake_fails_the_export_and_is_named(
    run_dir: Path, dataset_dir: Path, tmp_path: Path, fault: Callable[[Any], None], named: str
) -> None:
    run, sound = read_run(run_dir), FORMATS["tflite-fp32"]

    def convert(network: Any, file: Path) -> Any:
        model = network.logits
        weights, scaling = model.get_weights(), (model.layers[1].scale, model.layers[1].offset)
        fault(model)
        try:
            return sound.convert(network, file)
        finally:
            model.set_weights(weights)
            model.layers[1].scale, model.layers[1].offset = scaling

    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    formats = (replace(sound, convert=convert),)
    export = export_run(run, tmp_path / "bundle", formats=formats, policy=policy, data=dataset_dir)
    assert export.manifest.result is Result.FAIL
    assert named in " ".join(text for text, _ in remarks(export.parities, export.missing, export.ladders))
    assert named in (tmp_path / "bundle" / "junit.xml").read_text("utf-8")


def test_unfrozen_variables_stop_the_export(run_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    """The silent failure: the file is written, loads in every engine, and answers nan."""
    run, sound = read_run(run_dir), FORMATS["tflite-fp32"]

    def convert(network: Any, file: Path) -> Any:
        import tensorflow as tf

        picture = tf.TensorSpec((1, *network.logits.input_shape[1:]), tf.uint8)
        call = tf.function(network.logits).get_concrete_function(picture)
        file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call], network.logits).convert())
        return {}

    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    with pytest.raises(ConversionError, match="variables were left unfrozen"):
        export_run(run, tmp_path / "b", formats=(replace(sound, convert=convert),), policy=policy, data=dataset_dir)
    assert not (tmp_path / "b").exists()


def test_a_label_that_lost_5_points_is_stopped_and_named(bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    """The head answers `ripe` a little less readily: of its 30 pictures two, and none of the other label, are lost."""
    from tensorflow.lite.tools import flatbuffer_utils

    old, dataset = open_bundle(bundle_dir), read_dataset(dataset_dir, ("unripe", "ripe"))
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "worse"))
    file = folder / "tflite-fp32.tflite"
    before = open_engine("ai-edge-litert", file).logits(load_inputs(dataset.items, old.manifest.input))
    truth, lead = dataset.label_indices(), before[:, 1] - before[:, 0]
    surest = np.sort(lead[(truth == 1) & (lead > 0)])
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file.read_bytes()))
    graph = model.subgraphs[0]
    (head,) = (one for one in graph.operators if one.inputs is not None and graph.outputs[0] in one.outputs)
    buffer = model.buffers[graph.tensors[head.inputs[2]].buffer]
    bias = np.frombuffer(bytes(buffer.data), np.float32).copy()
    bias[1] -= (surest[1] + surest[2]) / 2
    buffer.data = np.frombuffer(bias.tobytes(), np.uint8)
    file.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))

    as_default = {"default_artefact": "tflite-fp32"}
    new = replace(old, folder=folder, manifest=old.manifest.model_copy(update=as_default))
    released = replace(old, manifest=old.manifest.model_copy(update=as_default))
    check = check_regression(new, released, dataset, GatePolicy(margins=MarginSettings(accuracy=0.1)))
    assert check.result is Result.FAIL
    assert check.reason.startswith("recall of ripe -6.67%, beyond the margin of 5.0%")
    assert check_regression(released, released, dataset, GatePolicy()).result is not Result.FAIL


def test_quantisation_samples_of_noise_stop_the_export(
    run_dir: Path, dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load = read_run(run_dir), exporter.load

    def noisy(*words: Any) -> Any:
        inputs = load(*words)
        return replace(inputs, samples=np.random.default_rng(0).integers(0, 256, inputs.samples.shape, np.uint8))

    monkeypatch.setattr(exporter, "load", noisy)
    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    with pytest.raises(ConversionError, match="quantisation samples do not look like pictures") as said:
        export_run(run, tmp_path / "b", formats=(FORMATS["tflite-int8"],), policy=policy, data=dataset_dir)
    assert not (tmp_path / "b").exists()
    assert "--any-samples" in str(said.value.remedy)

    class Went(Exception):  # noqa: N818 - no error
        pass

    def on(*_: object) -> None:
        raise Went

    monkeypatch.setattr(exporter, "Reference", on)
    with pytest.raises(Went):
        export_run(
            run, tmp_path / "b", formats=(FORMATS["tflite-int8"],), policy=policy, data=dataset_dir, any_samples=True
        )
