"""A converter with a usual mistake in it: the export says no and names the mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.config import PolicySettings
from edge_runtime.manifest import Result
from export import exporter
from export.document import remarks
from export.exporter import export_run
from export.formats import FORMATS
from export.inspect import ConversionError
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
    assert named in " ".join(text for text, _ in remarks(export.parities, export.missing))
    assert named in (tmp_path / "bundle" / "junit.xml").read_text("utf-8")


def test_quantisation_samples_of_noise_stop_the_export(
    run_dir: Path, dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load = read_run(run_dir), exporter._load

    def noisy(*words: Any) -> Any:
        inputs = load(*words)
        return replace(inputs, samples=np.random.default_rng(0).integers(0, 256, inputs.samples.shape, np.uint8))

    monkeypatch.setattr(exporter, "_load", noisy)
    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    with pytest.raises(ConversionError, match="quantisation samples do not look like pictures"):
        export_run(run, tmp_path / "b", formats=(FORMATS["tflite-int8"],), policy=policy, data=dataset_dir)
    assert not (tmp_path / "b").exists()
