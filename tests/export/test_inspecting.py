"""Converters fail silently; each of these files was really written by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.formats import FORMATS
from export.graph import OFFSET, SCALE
from export.inspect import ConversionError, assert_sound, inspect_onnx, inspect_tflite

# Safe here: tests/conftest.py has imported tflite-runtime before.
tf = pytest.importorskip("tensorflow")

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)


def write_int8(model: Any, file: Path, samples: np.ndarray, **settings: object) -> Path:
    """Integer conversion of a float-input model with whatever samples, as a hasty exporter would do it."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None].astype(np.float32)] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    for name, value in settings.items():
        setattr(converter, name, value)
    file.write_bytes(converter.convert())
    return file


@pytest.fixture(scope="module")
def scaled_model(tiny_model: Any) -> Any:
    from export.graph import without_rescaling

    return without_rescaling(tiny_model)


def test_every_format_is_what_its_name_says(other_models: dict[str, Path]) -> None:
    for name, file in other_models.items():
        found = assert_sound(file, quantized=FORMATS[name].quantized)
        assert (found.input_dtype, found.output_dtype) == ("uint8", "float32")
    integer = inspect_tflite(other_models["tflite-int8"])
    assert integer.input_scale == pytest.approx(SCALE, rel=1e-3)
    assert integer.input_zero_point == pytest.approx(-OFFSET / SCALE, abs=1)
    assert integer.per_channel_tensors >= 1
    assert not {"CAST", "MUL"} & set(integer.operators)


def test_the_real_bundle_is_sound(bundle_dir: Path) -> None:
    for name, one in FORMATS.items():
        assert_sound(bundle_dir / f"{name}{one.suffix}", quantized=one.quantized)


def test_unfrozen_variables_are_noticed(tiny_model: Any, tmp_path: Path) -> None:
    call = tf.function(tiny_model).get_concrete_function(tf.TensorSpec((1, 96, 96, 3), tf.uint8))
    file = tmp_path / "silent.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call], tiny_model).convert())
    with pytest.raises(ConversionError, match="READ_VARIABLE"):
        assert_sound(file, quantized=False)


def test_quantisation_samples_that_were_not_scaled_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    file = write_int8(scaled_model, tmp_path / "raw.tflite", PIXELS)
    with pytest.raises(ConversionError, match="quantisation samples were not scaled pixels"):
        assert_sound(file, quantized=True)


def test_samples_scaled_to_0_and_1_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    file = write_int8(scaled_model, tmp_path / "unit.tflite", PIXELS / 255)
    with pytest.raises(ConversionError, match="input scale"):
        assert_sound(file, quantized=True)


def test_a_float_file_named_int8_is_noticed(other_models: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "tflite-int8.tflite"
    file.write_bytes(other_models["tflite-fp32"].read_bytes())
    with pytest.raises(ConversionError) as caught:
        assert_sound(file, quantized=True)
    assert "per channel" in caught.value.what
    assert "float arithmetic" in caught.value.what


def test_scaling_left_in_an_integer_graph_is_noticed(tiny_model: Any, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(tiny_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in PIXELS)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    (tmp_path / "cast.tflite").write_bytes(converter.convert())
    with pytest.raises(ConversionError, match="float arithmetic"):
        assert_sound(tmp_path / "cast.tflite", quantized=True)


def test_weights_quantised_per_tensor_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    scaled = PIXELS * SCALE + OFFSET
    file = write_int8(scaled_model, tmp_path / "tensor.tflite", scaled, _experimental_disable_per_channel=True)
    with pytest.raises(ConversionError, match="per channel"):
        assert_sound(file, quantized=True)


@pytest.mark.parametrize(("side", "dtype"), [("inference_input_type", "int8"), ("inference_output_type", "uint8")])
def test_other_types_at_the_ends_are_noticed(scaled_model: Any, tmp_path: Path, side: str, dtype: str) -> None:
    scaled = PIXELS * SCALE + OFFSET
    file = write_int8(scaled_model, tmp_path / "ends.tflite", scaled, **{side: getattr(tf, dtype)})
    with pytest.raises(ConversionError, match="not uint8 and float32"):
        assert_sound(file, quantized=True)


def test_operators_that_are_not_built_in_are_noticed(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec((1, 96, 96, 3), tf.uint8)])
    def unusual(image: Any) -> Any:
        return tf.linalg.inv(tf.cast(image[..., 0], tf.float32))[:, 0, :2]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([unusual.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    with pytest.raises(ConversionError, match="a device cannot run"):
        assert_sound(tmp_path / "flex.tflite", quantized=False)


def test_onnx_operators_of_another_domain_are_noticed(other_models: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(other_models["onnx-fp32"]))
    model.graph.node[-1].domain = "com.microsoft"
    onnx.save_model(model, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ConversionError, match=r"com\.microsoft"):
        inspect_onnx(tmp_path / "foreign.onnx")


def test_the_batch_of_an_onnx_file_is_called_n(bundle_dir: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(bundle_dir / "onnx-fp32.onnx")).graph
    assert [graph.input[0].name, graph.output[0].name] == ["image", "logits"]
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)} == {"N"}


def test_a_model_without_the_backbones_scaling_cannot_be_quantised() -> None:
    import keras

    from export.graph import without_rescaling

    image = keras.Input((96, 96, 3), dtype="uint8")
    other = keras.Model(image, keras.layers.Rescaling(1 / 255)(image))
    with pytest.raises(ValueError, match="Rescaling"):
        without_rescaling(other)
