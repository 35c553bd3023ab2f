"""A network that int8 cannot hold: the layer is named, and the ladder climbs to where it is held after all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundles.manifest import Result
from edge_runtime.engines import open_engine
from export.formats import FORMATS, Format
from export.graph import Network
from export.inspect import ConversionError, assert_sound
from export.ladder import Quantized, climb
from export.layer_error import layer_errors, worst_first
from export.layers import Operator, layers_of, places, touching
from export.measure import Measured
from export.parity import judge

keras = pytest.importorskip("keras")

LABELS = ("unripe", "ripe")
BAD = "wide"


def coarse(count: int, seed: int) -> np.ndarray:
    """Pictures with large patches, `[count, 96, 96, 3]`: noise would be averaged away by the network."""
    patches = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return patches.repeat(16, axis=1).repeat(16, axis=2)


PICTURES = coarse(80, 1)


def network_with(widest: float) -> Any:
    """Logits from pixels; one channel of a layer is `widest` times as wide, its reader as much less sensitive.

    A power of two: the float network gives the same answers to the bit (the reverse of Nagel et al. 2019). The scale
    that all channels of the integer layer share then resolves that one alone.
    """
    keras.utils.set_random_seed(3)
    scaled = keras.Input((96, 96, 3))
    first = keras.layers.BatchNormalization()(
        keras.layers.Conv2D(8, 5, strides=4, use_bias=False, name="first")(scaled)
    )
    wide = keras.layers.BatchNormalization(name="wide_norm")(
        keras.layers.Conv2D(8, 1, use_bias=False, name=BAD)(keras.layers.ReLU(6.0)(first))
    )
    spatial = keras.layers.ReLU(6.0)(
        keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, use_bias=False, name="spatial")(wide))
    )
    mixed = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 1, use_bias=False, name="mixed")(spatial))
    last = keras.layers.Conv2D(8, 1, use_bias=False, name="last")(keras.layers.Add(name="sum")([mixed, spatial]))
    backbone = keras.Model(scaled, keras.layers.BatchNormalization()(last))
    norm, reader = backbone.get_layer("wide_norm"), backbone.get_layer("spatial")
    gamma, beta, mean, variance = norm.get_weights()
    gamma[0], beta[0] = gamma[0] * widest, beta[0] * widest
    norm.set_weights([gamma, beta, mean, variance])
    (kernel,) = reader.get_weights()
    kernel[:, :, 0] /= widest
    reader.set_weights([kernel])
    image = keras.Input((96, 96, 3), dtype="uint8", name="image")
    features = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image))
    head = keras.layers.Dense(len(LABELS), name="logits")
    model = keras.Model(image, head(keras.layers.GlobalAveragePooling2D()(features)))
    # Half of the pictures on either side, so that a lost signal turns labels over.
    logits = model.predict(PICTURES, verbose=0)
    head.bias.assign([0.0, -np.median(logits[:, 1] - logits[:, 0])])
    return model


@pytest.fixture(scope="module")
def sound() -> Network:
    return Network(network_with(1), PICTURES[:24])


@pytest.fixture(scope="module")
def spoilt() -> Network:
    return Network(network_with(512), PICTURES[:24])


def climbed(one: Format, network: Network, file: Path, more: int = 24) -> Quantized:
    expected = network.logits.predict(PICTURES, verbose=0)
    clear = np.abs(expected[:, 1] - expected[:, 0]) > 0.015  # beyond what the rounding of a sound network moves
    expected, seen = expected[clear], PICTURES[clear]
    engine = "ai-edge-litert" if file.suffix == ".tflite" else "onnxruntime"

    def on_validation(file: Path) -> Any:
        found = open_engine(engine, file).logits(seen)
        return [(Measured(engine, found, 1.0, 1.0), judge(LABELS, expected.argmax(-1), expected, found))]

    return climb(
        one,
        file,
        network,
        more=lambda: PICTURES[:more],
        judge_on_validation=on_validation,
        looked_at=PICTURES[:4],
        progress=lambda _: None,
    )


def test_both_networks_give_the_same_answers_in_float(sound: Network, spoilt: Network) -> None:
    np.testing.assert_array_equal(sound.logits.predict(PICTURES, verbose=0), spoilt.logits.predict(PICTURES, verbose=0))


@pytest.mark.parametrize("name", ["tflite-int8", "onnx-int8"])
def test_a_sound_network_stays_on_the_first_rung(sound: Network, tmp_path: Path, name: str) -> None:
    one = FORMATS[name]
    file = tmp_path / f"{name}{one.suffix}"
    found = climbed(one, sound, file)
    assert [(step.rung, step.chosen) for step in found.steps] == [("24 samples", True)]
    assert found.steps[0].result is not Result.FAIL
    assert found.inspection.float_islands == ()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert max(error.lost for error in layer_errors(sound.unscaled, file, PICTURES[:4])) < 0.05


@pytest.mark.parametrize("name", ["tflite-int8", "onnx-int8"])
def test_a_spoilt_network_climbs_until_its_worst_layer_is_float(spoilt: Network, tmp_path: Path, name: str) -> None:
    one = FORMATS[name]
    file = tmp_path / f"{name}{one.suffix}"
    found = climbed(one, spoilt, file, more=32)
    others = [f"32 samples, {quantizer}" for quantizer, _ in one.others]
    assert [step.rung for step in found.steps] == ["24 samples", "32 samples", *others, f"32 samples, {BAD} in float"]
    assert [step.result is Result.FAIL for step in found.steps] == [True] * (len(others) + 2) + [False]
    assert [step.chosen for step in found.steps] == [False] * (len(others) + 2) + [True]
    assert found.options["float_layers"] == [BAD]
    assert len(found.inspection.float_islands) == 2, "the layer and its one reader"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    # The file as it lies there is the one that passed; an integer one it is not, and is let through knowingly only.
    assert_sound(file, precision="int8", float_layers=True)
    with pytest.raises(ConversionError, match="float arithmetic inside the integer graph"):
        assert_sound(file, precision="int8")
    assert max(error.lost for error in layer_errors(spoilt.unscaled, file, PICTURES[:4])) < 0.05


def test_the_layer_that_loses_its_signal_is_named(spoilt: Network, tmp_path: Path) -> None:
    file = tmp_path / "bad.tflite"
    FORMATS["tflite-int8"].convert(spoilt, file)
    errors = layer_errors(spoilt.unscaled, file, PICTURES[:4])
    assert {error.layer for error in errors} == {"first", BAD, "spatial", "mixed", "sum", "last"}
    assert errors[0].layer == BAD
    assert errors[0].added > 0.5
    assert all(error.added < errors[0].added / 2 for error in errors[1:]), "what follows only inherits"
    assert all((error.lost > 0.3) == (error.layer != "first") for error in errors)


def test_a_rung_whose_file_is_no_good_is_given_up_and_the_best_of_the_others_taken(
    spoilt: Network, tmp_path: Path
) -> None:
    sound_format = FORMATS["tflite-int8"]

    def broken(network: Network, file: Path, **_: Any) -> Any:
        file.write_bytes(b"half")
        raise ConversionError("a file of another kind.")

    def falls_over(network: Network, file: Path) -> Any:
        raise RuntimeError("a converter's own\nlong story")

    one = replace(sound_format, others=(("other", falls_over), ("good", sound_format.convert)), partly=broken)
    found = climbed(one, spoilt, tmp_path / "a.tflite")
    fell = "The converter ended on rung-1-a.tflite with RuntimeError: a converter's own."
    assert [(step.rung, step.reason) for step in found.steps] == [
        ("24 samples", ""),
        ("24 samples, other", fell),
        ("24 samples, good", ""),
        (f"24 samples, {BAD} in float", "a file of another kind."),
    ], "in the order in which they were tried"
    assert [step.chosen for step in found.steps] == [True, False, False, False]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tflite"]
    for first in (broken, falls_over):
        with pytest.raises(ConversionError):
            climbed(replace(one, convert=first), spoilt, tmp_path / "b.tflite")


def test_an_artefact_that_cannot_be_looked_into_has_no_layers_to_blame(spoilt: Network, tmp_path: Path) -> None:
    (tmp_path / "noise.tflite").write_bytes(b"no model at all")
    assert layer_errors(spoilt.unscaled, tmp_path / "noise.tflite", PICTURES[:4]) == ()


def test_layers_are_matched_by_kind_and_number(sound: Network) -> None:
    found = {layer.name: (layer.place, layer.reads) for layer in layers_of(sound.unscaled)}
    assert found == {
        "first": (("convolution", 0), ()),
        BAD: (("convolution", 1), ("first",)),
        "spatial": (("depthwise", 0), (BAD,)),
        "mixed": (("convolution", 2), ("spatial",)),
        "sum": (("add", 0), ("mixed", "spatial")),
        "last": (("convolution", 3), ("sum",)),
    }


def test_a_float_layer_takes_along_who_reads_it_through_whatever_lies_between() -> None:
    def operator(kind: Any, name: str, *inputs: str) -> Operator:
        return Operator(kind, name, inputs, (name,))

    graph = [
        operator("convolution", "a", "image"),
        operator(None, "pad", "a"),
        operator("depthwise", "b", "pad"),
        operator("convolution", "c", "b"),
        operator("add", "d", "a", "c"),
        operator("convolution", "e", "d"),
    ]
    assert [one.name for one in touching(graph, [("convolution", 0)])] == ["a", "pad", "b", "d"]
    assert [one.name for one in touching(graph, [("convolution", 2)])] == ["e"]
    assert touching(graph, []) == []
    assert places(graph)["convolution", 1].name == "c"


def test_a_layer_is_blamed_for_what_it_adds_not_for_what_it_inherits() -> None:
    reads = {"a": (), "b": ("a",), "c": ("b", "a")}
    errors = worst_first({"a": 0.1, "b": 0.7, "c": 0.75}, reads)
    assert [(one.layer, pytest.approx(one.added)) for one in errors] == [("b", 0.6), ("a", 0.1), ("c", 0.05)]


def test_weights_of_float_layers_are_not_rounded(sound: Network) -> None:
    kept = sound.rounded_but([BAD])
    weights = [
        {layer.name: layer.get_weights() for layer in next(m for m in one.layers if hasattr(m, "layers")).layers}
        for one in (sound.unscaled, sound.rounded, kept)
    ]
    before, rounded, now = weights
    np.testing.assert_array_equal(now[BAD][0], before[BAD][0])
    np.testing.assert_array_equal(now["wide_norm"], before["wide_norm"])
    assert not np.array_equal(rounded[BAD][0], before[BAD][0])
    np.testing.assert_array_equal(now["mixed"][0], rounded["mixed"][0])
