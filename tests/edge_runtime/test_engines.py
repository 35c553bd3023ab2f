"""Every (artefact, engine) of the real bundle: they agree, a batch is its images, and what is wrong is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import engines
from edge_runtime.bundles import select
from edge_runtime.bundles.bundle import GOLDEN, MANIFEST, Golden, open_bundle
from edge_runtime.bundles.golden import compare, open_proven_engine, run_self_test
from edge_runtime.bundles.manifest import FloatTolerance, QuantizedTolerance
from edge_runtime.bundles.select import select_engine
from edge_runtime.deciding.decide import softmax
from edge_runtime.engines import ENGINES, engines_for, is_installed, open_engine
from edge_runtime.errors import BundleError, EngineError

TFLITE = tuple(name for name in ("ai-edge-litert", "tflite-runtime") if is_installed(name))
ONNX = tuple(name for name in ("onnxruntime", "openvino") if is_installed(name))
PAIRS = [(f"tflite-{kind}", engine) for kind in ("fp32", "int8") for engine in TFLITE]
PAIRS += [("onnx-fp32", engine) for engine in ONNX]

every_pair = pytest.mark.parametrize(("artefact", "engine"), PAIRS)
Seal = Callable[[Path], None]


def logits_of(folder: Path, artefact: str, engine: str, inputs: np.ndarray) -> np.ndarray:
    opened = open_bundle(folder)
    return open_engine(engine, opened.file(opened.artefact(artefact))).logits(inputs)


def test_the_bundle_was_measured_on_every_engine_here(bundle_dir: Path) -> None:
    assert [(artefact.name, engine) for artefact, engine, _ in open_bundle(bundle_dir).manifest.pairs()] == PAIRS


@every_pair
def test_an_engine_says_what_keras_says(bundle_dir: Path, artefact: str, engine: str) -> None:
    golden = Golden.load(bundle_dir / GOLDEN)
    found = logits_of(bundle_dir, artefact, engine, golden.inputs)
    assert (found.dtype, found.shape) == (np.float32, golden.keras_logits.shape)
    if artefact.endswith("fp32"):
        np.testing.assert_allclose(found, golden.keras_logits, atol=1e-3)
    else:
        sure = np.abs(np.diff(softmax(golden.keras_logits)))[:, 0] >= 0.3
        assert sure.sum() >= 16
        np.testing.assert_array_equal(found.argmax(-1)[sure], golden.keras_logits.argmax(-1)[sure])


@every_pair
def test_a_batch_is_its_images_one_by_one(bundle_dir: Path, artefact: str, engine: str) -> None:
    inputs = Golden.load(bundle_dir / GOLDEN).inputs[:5]
    batch = logits_of(bundle_dir, artefact, engine, inputs)
    alone = [logits_of(bundle_dir, artefact, engine, inputs[i : i + 1])[0] for i in (4, 0, 2)]
    np.testing.assert_allclose(batch[[4, 0, 2]], alone, atol=1e-5)


@every_pair
def test_an_engine_keeps_nothing_of_the_last_batch(bundle_dir: Path, artefact: str, engine: str) -> None:
    opened, inputs = open_bundle(bundle_dir), Golden.load(bundle_dir / GOLDEN).inputs
    loaded = open_engine(engine, opened.file(opened.artefact(artefact)))
    first = loaded.logits(inputs[:3])
    kept = first.copy()
    loaded.logits(inputs[3:9])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(loaded.logits(inputs[:3]), kept, atol=1e-5)


@every_pair
def test_the_self_test_passes_with_the_golden_inputs(bundle_dir: Path, artefact: str, engine: str) -> None:
    opened = open_bundle(bundle_dir)
    assert run_self_test(opened, artefact, open_proven_engine(opened, artefact, engine)).passed


@every_pair
@pytest.mark.parametrize(
    "mistake",
    [
        lambda pixels: pixels[..., ::-1],
        lambda pixels: np.rint(127.5 + pixels / 2),  # x / 255 instead of x / 127.5 - 1
        lambda pixels: pixels * 0,
        lambda pixels: np.roll(pixels, 1, axis=0),
    ],
    ids=["swapped colours", "wrong scaling", "black", "another picture"],
)
def test_the_self_test_fails_with_wrong_inputs(
    bundle_dir: Path, artefact: str, engine: str, mistake: Callable[[np.ndarray], np.ndarray]
) -> None:
    opened = open_bundle(bundle_dir)
    golden, record = opened.golden, opened.record(artefact, engine)
    wrong = np.ascontiguousarray(mistake(golden.inputs).astype(np.uint8))
    found = logits_of(bundle_dir, artefact, engine, wrong)
    outcome = compare(found, golden.logits[artefact, engine], golden.keras_logits, record.golden)
    assert not outcome.passed
    assert outcome.reason


@every_pair
def test_another_model_under_the_same_name_is_refused(
    bundle: Path, seal: Seal, other_models: dict[str, Path], artefact: str, engine: str
) -> None:
    opened = open_bundle(bundle)
    opened.file(opened.artefact(artefact)).write_bytes(other_models[artefact].read_bytes())
    seal(bundle)
    with pytest.raises(BundleError, match="does not behave on this machine"):
        open_proven_engine(open_bundle(bundle), artefact, engine)


@every_pair
def test_a_model_for_other_pictures_is_refused(bundle: Path, seal: Seal, artefact: str, engine: str) -> None:
    golden = Golden.load(bundle / GOLDEN)
    replace(golden, inputs=np.ascontiguousarray(golden.inputs[:, :-1])).save(bundle / GOLDEN)
    seal(bundle)
    with pytest.raises(BundleError, match=r"does not take the golden inputs|not finite numbers of shape"):
        open_proven_engine(open_bundle(bundle), artefact, engine)


def test_an_engine_without_golden_outputs_is_refused(bundle: Path, seal: Seal) -> None:
    golden = Golden.load(bundle / GOLDEN)
    replace(golden, logits={}).save(bundle / GOLDEN)
    seal(bundle)
    with pytest.raises(BundleError, match="no golden outputs"):
        open_proven_engine(open_bundle(bundle), "onnx-fp32", "onnxruntime")


def test_outputs_that_are_no_numbers_never_pass() -> None:
    good = np.array([[1.0, 2.0]], np.float32)
    for tolerance in (
        FloatTolerance(max_logit_difference=1),
        QuantizedTolerance(clear_margin=0.3, median_logit_difference=1),
    ):
        assert compare(good, good, good, tolerance).passed
        assert not compare(np.array([[np.nan, 2.0]], np.float32), good, good, tolerance).passed
        assert not compare(good[:, :1], good, good, tolerance).passed


def test_a_quantised_artefact_may_waver_only_where_the_float_model_wavers() -> None:
    keras = np.array([[0.0, 3.0], [0.0, 0.1], [3.0, 0.0]], np.float32)
    tolerance = QuantizedTolerance(clear_margin=0.3, median_logit_difference=0.2)
    wavering = keras + np.array([[0, 0], [0.2, 0], [0, 0]], np.float32)
    assert compare(wavering, keras, keras, tolerance).passed
    flipped = keras + np.array([[4, 0], [0, 0], [0, 0]], np.float32)
    assert "1 of 2 clear cases" in compare(flipped, keras, keras, tolerance).reason
    assert "median" in compare(keras + np.float32(0.5), keras, keras, tolerance).reason


def test_float_logits_may_differ_by_the_stated_amount_and_no_more() -> None:
    recorded = np.zeros((2, 2), np.float32)
    tolerance = FloatTolerance(max_logit_difference=1e-3)
    assert compare(recorded + np.float32(0.9e-3), recorded, recorded, tolerance).passed
    assert not compare(recorded + np.float32([[0, 0], [0, 1.1e-3]]), recorded, recorded, tolerance).passed


def test_auto_takes_the_fastest_proven_pair(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fastest = TFLITE[-1]
    monkeypatch.setattr(select, "median_latency_ms", lambda engine, _: 1.0 if engine.name == fastest else 5.0)
    chosen = select_engine(open_bundle(bundle_dir))
    assert (chosen.engine.name, chosen.artefact) == (fastest, "tflite-fp32")
    assert {(one.artefact, one.engine) for one in chosen.candidates} == set(PAIRS)
    assert chosen.temperature == open_bundle(bundle_dir).record("tflite-fp32", fastest).temperature


def test_auto_really_measures(bundle_dir: Path) -> None:
    chosen = select_engine(open_bundle(bundle_dir))
    times = {(one.artefact, one.engine): one.p50_ms for one in chosen.candidates}
    assert all(time is not None and time > 0 for time in times.values())
    assert times[chosen.artefact, chosen.engine.name] == min(time for time in times.values() if time)


def test_auto_passes_over_what_does_not_prove_itself(
    bundle: Path, seal: Seal, other_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "tflite-fp32.tflite").write_bytes(other_models["tflite-fp32"].read_bytes())
    document = json.loads((bundle / MANIFEST).read_text("utf-8"))
    document["artefacts"][1]["engines"][TFLITE[0]]["parity"] = document["result"] = "FAIL"
    (bundle / MANIFEST).write_text(json.dumps(document), "utf-8")
    seal(bundle)
    monkeypatch.setattr(engines, "is_installed", lambda name: name not in ONNX)
    monkeypatch.setattr(select, "is_installed", lambda name: name not in ONNX)
    if TFLITE[1:]:
        chosen = select_engine(open_bundle(bundle, allow_rejected=True))
        assert (chosen.artefact, chosen.engine.name) == ("tflite-int8", TFLITE[1])
        reasons = {(one.artefact, one.engine): one.reason for one in chosen.candidates if one.p50_ms is None}
        assert reasons["onnx-fp32", "onnxruntime"] == "not installed"
        assert "parity" in reasons["tflite-int8", TFLITE[0]]
        assert "does not behave" in reasons["tflite-fp32", TFLITE[0]]
    with pytest.raises(BundleError, match="can run here") as caught:
        select_engine(open_bundle(bundle, allow_rejected=True), engine=TFLITE[0])
    assert "failed parity" in caught.value.what
    assert "does not behave" in caught.value.what
    assert "install" not in str(caught.value.remedy), "nothing that could be installed would help"
    with pytest.raises(BundleError, match=r"failed parity when .* never runs"):
        select_engine(open_bundle(bundle, allow_rejected=True), artefact="tflite-int8", engine=TFLITE[0])


@pytest.mark.parametrize(
    ("artefact", "engine", "kind", "word"),
    [
        (None, "tensorrt", EngineError, "tensorrt"),
        ("tflite-int4", "auto", BundleError, "tflite-int4"),
        ("tflite-int4", "onnxruntime", BundleError, "tflite-int4"),
        ("onnx-fp32", "ai-edge-litert", BundleError, "never measured"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    bundle_dir: Path, artefact: str | None, engine: str, kind: type[Exception], word: str
) -> None:
    with pytest.raises(kind, match=word) as caught:
        select_engine(open_bundle(bundle_dir), artefact=artefact, engine=engine)
    assert getattr(caught.value, "expected", None)


def test_an_engine_that_is_not_installed_says_what_to_install(
    bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="not installed") as caught:
        select_engine(open_bundle(bundle_dir), artefact="onnx-fp32", engine="onnxruntime")
    assert "ripeline[onnx]" in str(caught.value.remedy)


@pytest.mark.parametrize("engine", [name for name in ENGINES if is_installed(name)])
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path, engine: str) -> None:
    file = tmp_path / ("broken.onnx" if engine == "onnxruntime" else "broken.tflite")
    file.write_bytes(b"not a model at all" * 100)
    with pytest.raises(EngineError, match=r"broken\."):
        open_engine(engine, file)


def test_engines_are_matched_by_the_kind_of_file(tmp_path: Path) -> None:
    assert engines_for(Path("a.onnx")) == ("onnxruntime", "openvino")
    assert engines_for(Path("a.engine")) == ()
    with pytest.raises(EngineError, match=r"does not run \.onnx"):
        open_engine("ai-edge-litert", tmp_path / "a.onnx")
