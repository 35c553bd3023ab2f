"""Engines that cannot, and bundles that do not compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundles.bundle import open_bundle
from edge_runtime.bundles.manifest import Result
from edge_runtime.errors import EngineError, InputError
from evaluation.dataset import read_dataset
from export.check import check_parity
from export.findings import Missing, remarks
from export.gate import GatePolicy
from export.measure import Measured, Unavailable, measure
from export.regression import check_regression
from tests.conftest import SIZE_PX

BLANK = np.zeros((3, SIZE_PX, SIZE_PX, 3), np.uint8)


@pytest.mark.parametrize("engine", ["ai-edge-litert", "tflite-runtime", "onnxruntime"])
def test_an_engine_that_refuses_the_file_is_unavailable_with_its_reason(engine: str, tmp_path: Path) -> None:
    file = tmp_path / f"broken{'.onnx' if engine == 'onnxruntime' else '.tflite'}"
    file.write_bytes(b"no model at all")
    (found,) = measure(file, BLANK, [engine])
    assert isinstance(found, Unavailable)
    assert (found.engine, f"{engine} cannot load" in found.reason) == (engine, True)


def test_an_engine_that_falls_over_is_unavailable_and_the_next_one_is_asked(
    other_models: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "half.tflite"
    whole = other_models["tflite-fp32"].read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    found = list(measure(file, BLANK, ["ai-edge-litert", "tflite-runtime"]))
    assert [type(one) for one in found] == [Unavailable, Unavailable]
    assert all(one.reason for one in found if isinstance(one, Unavailable))
    (sound,) = measure(other_models["tflite-fp32"], BLANK, ["ai-edge-litert"])
    assert isinstance(sound, Measured)
    assert sound.logits.shape == (3, 2)


def test_no_engine_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"No engine for model\.h5"):
        list(measure(tmp_path / "model.h5", BLANK))


def test_what_could_not_be_measured_is_told_as_a_failure() -> None:
    gone = Missing(name="tflite-int8", engine="tflite-runtime", reason="it does not know FULLY_CONNECTED version 12")
    said = "tflite-int8 cannot run on tflite-runtime: it does not know FULLY_CONNECTED version 12"
    assert remarks([], [gone]) == [(said, "bad")]


def test_a_pair_that_stopped_working_fails_the_check(bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_dir)
    for file in bundle_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tflite-int8.tflite").write_bytes(b"no model at all")
    broken = replace(bundle, folder=tmp_path)
    checks = check_parity(broken, read_dataset(dataset_dir, bundle.manifest.labels, every_label=False))
    found = {(one.artefact, one.engine): one for one in checks}
    assert all(one.result is Result.FAIL for (name, _), one in found.items() if name == "tflite-int8")
    assert all("cannot load" in one.reason for (name, _), one in found.items() if name == "tflite-int8")
    assert all(one.result is not Result.FAIL for (name, _), one in found.items() if name == "tflite-fp32")


def test_a_changed_label_set_is_refused_with_an_explanation(bundle_dir: Path, dataset_dir: Path) -> None:
    new = open_bundle(bundle_dir)
    old = replace(new, manifest=new.manifest.model_copy(update={"labels": ("unripe", "turning", "ripe")}))
    dataset = read_dataset(dataset_dir, new.manifest.labels, every_label=False)
    with pytest.raises(InputError, match="do not know the same labels: unripe, ripe and unripe, turning, ripe") as said:
        check_regression(new, old, dataset, GatePolicy())
    assert "no baseline yet" in str(said.value.remedy)


def test_labels_in_another_order_are_matched_by_name(bundle_dir: Path, dataset_dir: Path) -> None:
    """The same file under swapped names answers the opposite: matching by place would call it equal."""
    new = open_bundle(bundle_dir)
    old = replace(new, manifest=new.manifest.model_copy(update={"labels": ("ripe", "unripe")}))
    dataset = read_dataset(dataset_dir, new.manifest.labels, every_label=False)
    check = check_regression(new, old, dataset, GatePolicy())
    assert check.parity is not None
    assert check.parity.agreement < 0.1
