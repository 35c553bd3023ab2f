"""Converters fail silently; each of these files was really written by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import InputError
from export.formats import DEFAULT_FORMATS, FORMATS, QUANTIZERS, parse_formats
from export.graph import OFFSET, SCALE, Network
from export.inspect import TFLITE_RUNTIME_2_14, ConversionError, assert_sound, inspect_onnx

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
        found = assert_sound(file, precision=FORMATS[name].precision)
        assert (found.input_dtype, found.output_dtype) == ("uint8", "float32")


@pytest.mark.parametrize("name", ["tflite-int8", "onnx-int8"])
def test_an_integer_file_takes_the_picture_itself(other_models: dict[str, Path], name: str) -> None:
    found = assert_sound(other_models[name], precision="int8")
    assert found.input_scale == pytest.approx(SCALE, rel=1e-3)
    assert found.input_zero_point == pytest.approx(-OFFSET / SCALE, abs=1)
    assert found.per_tensor == 0
    assert not {"CAST", "MUL", "Cast", "Mul"} & set(found.operators)


def test_each_quantizer_answers_like_the_keras_model(tiny_model: Any, tmp_path: Path) -> None:
    from edge_runtime.engines import open_engine

    network = Network(tiny_model, PIXELS)
    expected = tiny_model.predict(PIXELS, verbose=0)
    written = []
    for quantizer in QUANTIZERS:
        (one,) = (one for one in parse_formats(["tflite-int8"], quantizer) if one.name == "tflite-int8")
        file = tmp_path / f"{quantizer}.tflite"
        assert one.convert(network, file)["quantizer"] == quantizer
        assert_sound(file, precision="int8")
        for engine in ("ai-edge-litert", "tflite-runtime"):
            answer = open_engine(engine, file).logits(PIXELS)
            assert np.abs(answer - expected).max() < 0.1 * np.ptp(expected)
        written.append(file.read_bytes())
    assert written[0] != written[1]


def test_an_unknown_quantizer_is_refused() -> None:
    with pytest.raises(InputError, match="no quantizer magic"):
        parse_formats(["tflite-int8"], "magic")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("tflite-fp32", "float16"),
        ("tflite-fp16", "float32"),
        ("tflite-dynamic", "float32"),
        ("tflite-dynamic", "int8"),
        ("onnx-fp32", "int8"),
        ("onnx-int8", "float32"),
    ],
)
def test_a_file_that_is_another_format_is_noticed(other_models: dict[str, Path], name: str, precision: str) -> None:
    with pytest.raises(ConversionError, match="not what was asked for"):
        assert_sound(other_models[name], precision=precision)


def test_operators_are_known_up_to_the_version_that_tflite_runtime_loads(other_models: dict[str, Path]) -> None:
    """The table is what tflite-runtime 2.14 itself says of each operator: the version loads, the next does not."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    interpreter = pytest.importorskip("tflite_runtime.interpreter")
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(other_models["tflite-fp32"].read_bytes()))
    code = model.operatorCodes[0]
    for operator in model.subgraphs[0].operators:
        if operator.opcodeIndex == 0:
            operator.builtinOptions, operator.builtinOptionsType = None, 0
    for name, newest in TFLITE_RUNTIME_2_14.items():
        number = getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, newest
        interpreter.Interpreter(model_content=bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
        code.version = newest + 1
        with pytest.raises(ValueError, match=f"'{name}' version '{newest + 1}'"):
            interpreter.Interpreter(model_content=bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def test_an_operator_that_nobody_has_asked_tflite_runtime_for_is_refused(
    other_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(TFLITE_RUNTIME_2_14, "MEAN")
    with pytest.raises(ConversionError, match=r"newer than tflite-runtime 2\.14 knows: MEAN version"):
        assert_sound(other_models["tflite-fp32"], precision="float32")


def test_an_operator_too_new_for_tflite_runtime_is_noticed(other_models: dict[str, Path], tmp_path: Path) -> None:
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(other_models["tflite-int8"].read_bytes()))
    for code in model.operatorCodes:
        code.version = 12
    (tmp_path / "new.tflite").write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(ConversionError, match=r"newer than tflite-runtime.*FULLY_CONNECTED version 12"):
        assert_sound(tmp_path / "new.tflite", precision="int8")


def test_the_real_bundle_is_sound(bundle_dir: Path) -> None:
    for name in DEFAULT_FORMATS:
        one = FORMATS[name]
        assert_sound(bundle_dir / f"{name}{one.suffix}", precision=one.precision)


def test_unfrozen_variables_are_noticed(tiny_model: Any, tmp_path: Path) -> None:
    call = tf.function(tiny_model).get_concrete_function(tf.TensorSpec((1, 96, 96, 3), tf.uint8))
    file = tmp_path / "silent.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call], tiny_model).convert())
    with pytest.raises(ConversionError, match=r"variables were left unfrozen.*READ_VARIABLE"):
        assert_sound(file, precision="float32")


def test_quantisation_samples_that_were_not_scaled_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    file = write_int8(scaled_model, tmp_path / "raw.tflite", PIXELS)
    with pytest.raises(ConversionError, match="quantisation samples were not scaled pixels"):
        assert_sound(file, precision="int8")


def test_samples_scaled_to_0_and_1_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    file = write_int8(scaled_model, tmp_path / "unit.tflite", PIXELS / 255)
    with pytest.raises(ConversionError, match="input scale"):
        assert_sound(file, precision="int8")


def test_a_float_file_named_int8_is_noticed(other_models: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "tflite-int8.tflite"
    file.write_bytes(other_models["tflite-fp32"].read_bytes())
    with pytest.raises(ConversionError) as caught:
        assert_sound(file, precision="int8")
    assert "weights stored as float32" in caught.value.what
    assert "float arithmetic" in caught.value.what


def test_scaling_left_in_an_integer_graph_is_noticed(tiny_model: Any, tmp_path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(tiny_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in PIXELS)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    (tmp_path / "cast.tflite").write_bytes(converter.convert())
    with pytest.raises(ConversionError, match="float arithmetic"):
        assert_sound(tmp_path / "cast.tflite", precision="int8")


def test_weights_quantised_per_tensor_are_noticed(scaled_model: Any, tmp_path: Path) -> None:
    scaled = PIXELS * SCALE + OFFSET
    file = write_int8(scaled_model, tmp_path / "tensor.tflite", scaled, _experimental_disable_per_channel=True)
    with pytest.raises(ConversionError, match="per channel"):
        assert_sound(file, precision="int8")


def test_one_convolution_with_one_scale_for_all_channels_is_noticed(
    other_models: dict[str, Path], tmp_path: Path
) -> None:
    """The others keep theirs; and in ONNX, where a scale is an input of DequantizeLinear."""
    from tensorflow.lite.tools import flatbuffer_utils

    onnx = pytest.importorskip("onnx")
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(other_models["tflite-int8"].read_bytes()))
    graph = model.subgraphs[0]
    kernel = next(
        graph.tensors[one.inputs[1]] for one in graph.operators
        if len(graph.tensors[one.outputs[0]].shape) == 4 and len(one.inputs) == 3
    )  # fmt: skip
    kernel.quantization.scale, kernel.quantization.zeroPoint = kernel.quantization.scale[:1], [0]
    (tmp_path / "one.tflite").write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    loaded = onnx.load(str(other_models["onnx-int8"]))
    kernels = {node.input[1] for node in loaded.graph.node if node.op_type == "Conv"}
    dequantizer = next(node for node in loaded.graph.node if node.output[0] in kernels)
    scales = {one.name: one for one in loaded.graph.initializer}
    for name in dequantizer.input[1:]:
        one = onnx.numpy_helper.to_array(scales[name])[0]
        scales[name].CopyFrom(onnx.numpy_helper.from_array(np.array(one), name))
    onnx.save_model(loaded, str(tmp_path / "one.onnx"))
    for file in ("one.tflite", "one.onnx"):
        with pytest.raises(ConversionError, match="weights of 1 convolutions not quantised per channel"):
            assert_sound(tmp_path / file, precision="int8")


def test_float_arithmetic_of_any_kind_in_an_onnx_integer_graph_is_noticed(
    other_models: dict[str, Path], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(other_models["onnx-int8"]))
    (logits,) = model.graph.output
    last = next(node for node in model.graph.node if node.output[0] == logits.name)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Erf", ["before"], ["between"]))
    model.graph.node.append(onnx.helper.make_node("Erf", ["between"], [logits.name]))
    onnx.save_model(model, str(tmp_path / "erf.onnx"))
    with pytest.raises(ConversionError, match="float arithmetic inside the integer graph, in Erf"):
        assert_sound(tmp_path / "erf.onnx", precision="int8")


def test_onnx_files_ask_for_no_operators_that_they_do_not_use(other_models: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for name in ("onnx-fp32", "onnx-int8"):
        model = onnx.load(str(other_models[name]))
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save_model(model, str(tmp_path / "asks.onnx"))
    with pytest.raises(ConversionError, match=r"com\.microsoft"):
        inspect_onnx(tmp_path / "asks.onnx")


@pytest.mark.parametrize(("side", "dtype"), [("inference_input_type", "int8"), ("inference_output_type", "uint8")])
def test_other_types_at_the_ends_are_noticed(scaled_model: Any, tmp_path: Path, side: str, dtype: str) -> None:
    scaled = PIXELS * SCALE + OFFSET
    file = write_int8(scaled_model, tmp_path / "ends.tflite", scaled, **{side: getattr(tf, dtype)})
    with pytest.raises(ConversionError, match="not uint8 and float32"):
        assert_sound(file, precision="int8")


def test_operators_that_are_not_built_in_are_noticed(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec((1, 96, 96, 3), tf.uint8)])
    def unusual(image: Any) -> Any:
        return tf.linalg.inv(tf.cast(image[..., 0], tf.float32))[:, 0, :2]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([unusual.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    with pytest.raises(ConversionError, match="a device cannot run"):
        assert_sound(tmp_path / "flex.tflite", precision="float32")


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
