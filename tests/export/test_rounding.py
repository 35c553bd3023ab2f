"""Weights rounded so that a layer's outputs stay: closer than each to its nearest step, and nothing left to round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.dataset import load_inputs, read_dataset
from export.graph import OFFSET, SCALE, without_rescaling
from export.rounding import round_rows, round_weights
from train import load_keras_model, logits_model, read_run


def nearest(rows: np.ndarray) -> np.ndarray:
    step = np.abs(rows).max(axis=-1, keepdims=True) / 127
    return np.rint(rows / step) * step


def output_error(rows: np.ndarray, rounded: np.ndarray, covariance: np.ndarray) -> float:
    """Mean square of what the error of the weights makes of inputs with this covariance."""
    error = rounded - rows
    return float(np.einsum("grn,gnm,grm->gr", error, covariance, error).mean())


@pytest.fixture
def neighbours() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depthwise filters over nine pixels that are nearly alike, as in a photograph: rows, mean, covariance."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 1, 9))
    inputs = rng.normal(2, 1, (40, 3000, 1)) + rng.normal(0, 0.1, (40, 3000, 9))
    mean = inputs.mean(axis=1)
    return rows, mean, np.stack([np.cov(group.T) for group in inputs])


def test_outputs_keep_far_closer_than_with_the_nearest_steps(neighbours: Any) -> None:
    rows, mean, covariance = neighbours
    rounded = round_rows(rows, mean, covariance)
    assert output_error(rows, rounded, covariance) < output_error(rows, nearest(rows), covariance) / 5


def test_rounded_weights_are_whole_steps_and_the_largest_stays(neighbours: Any) -> None:
    rows, mean, covariance = neighbours
    rounded = round_rows(rows, mean, covariance)
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    steps = rounded / largest * 127
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    np.testing.assert_array_equal(np.abs(rounded).max(axis=-1, keepdims=True), largest)
    np.testing.assert_array_equal(rounded[np.abs(rows) == largest], rows[np.abs(rows) == largest])


def test_independent_inputs_leave_each_weight_to_its_nearest_step() -> None:
    rows = np.random.default_rng(1).normal(size=(1, 30, 20))
    rounded = round_rows(rows, np.zeros((1, 20)), np.eye(20)[None])
    np.testing.assert_allclose(rounded, nearest(rows), atol=1e-12)


def test_inputs_that_never_vary_and_weights_of_nought_are_no_trouble() -> None:
    rows = np.random.default_rng(2).normal(size=(3, 2, 9))
    rows[1] = 0
    rounded = round_rows(rows, np.zeros((3, 9)), np.zeros((3, 9, 9)))
    assert np.isfinite(rounded).all()
    np.testing.assert_array_equal(rounded[1], 0)


@pytest.fixture(scope="module")
def network(run_dir: Path, dataset_dir: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """A trained network from scaled pixels to logits, pictures to round on, and others."""
    run = read_run(run_dir)
    pixels = load_inputs(read_dataset(dataset_dir, labels=run.record.labels).items, run.record.input)
    scaled = pixels.astype(np.float32) * SCALE + OFFSET
    return without_rescaling(logits_model(load_keras_model(run))), scaled[::2], scaled[1::2]


def convolutions(network: Any) -> list[Any]:
    import keras

    backbone = next(layer for layer in network.layers if isinstance(layer, keras.Model))
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    return [layer for layer in backbone.layers if isinstance(layer, kinds)]


def per_channel(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """`[channels, taps]`."""
    depthwise = "depthwise" in layer.name
    return kernel.reshape(-1, kernel.shape[2] if depthwise else kernel.shape[3]).T


def test_a_network_keeps_its_logits_far_better_than_with_the_nearest_steps(network: Any) -> None:
    import keras

    model, samples, others = network
    naive = keras.models.clone_model(model)
    naive.set_weights(model.get_weights())
    for layer in convolutions(naive):
        (kernel,) = layer.get_weights()
        layer.set_weights([nearest(per_channel(layer, kernel)).T.reshape(kernel.shape)])
    expected = model.predict(others, verbose=0)
    errors = [
        np.sqrt(np.mean((one.predict(others, verbose=0) - expected) ** 2))
        for one in (naive, round_weights(model, samples))
    ]
    assert errors[1] < 0.6 * errors[0]


def test_the_converter_finds_nothing_left_to_round_and_the_network_itself_is_untouched(network: Any) -> None:
    model, samples, _ = network
    before = model.get_weights()
    rounded = round_weights(model, samples)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    for layer in convolutions(rounded):
        (kernel,) = layer.get_weights()
        rows = per_channel(layer, kernel)
        np.testing.assert_allclose(nearest(rows), rows, atol=1e-5 * np.abs(rows).max(), err_msg=layer.name)
