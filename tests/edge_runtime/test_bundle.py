from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.bundles.bundle import CHECKSUMS, GOLDEN, MANIFEST, Golden, open_bundle, read_manifest
from edge_runtime.bundles.manifest import Manifest, Result
from edge_runtime.errors import BundleError

FILES = (
    "MODEL_CARD.md", "SHA256SUMS", "golden.npz", "junit.xml", "manifest.json", "measured.json", "onnx-fp32.onnx",
    "parity.html", "parity.json", "tflite-fp32.tflite", "tflite-int8.tflite", "trained_on.txt",
)  # fmt: skip

Seal = Callable[[Path], None]
Document = dict[str, Any]


def edit_manifest(folder: Path, change: Callable[[Document], object]) -> None:
    document = json.loads((folder / MANIFEST).read_text("utf-8"))
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document), "utf-8")


def test_a_bundle_holds_exactly_the_files_that_the_document_lists(bundle_dir: Path) -> None:
    assert sorted(file.name for file in bundle_dir.iterdir()) == sorted(FILES)


def test_the_bundle_as_exported_opens(bundle_dir: Path) -> None:
    opened = open_bundle(bundle_dir)
    assert [artefact.name for artefact in opened.manifest.artefacts] == ["tflite-fp32", "tflite-int8", "onnx-fp32"]
    assert opened.golden.inputs.shape[0] >= 32
    assert len(opened.trained_on()) > 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("position", [0.0, 0.31, 0.73, 1.0])
def test_one_changed_byte_in_any_file_is_refused(bundle: Path, name: str, position: float) -> None:
    file = bundle / name
    content = bytearray(file.read_bytes())
    content[round(position * (len(content) - 1))] ^= 0x01
    file.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    if name != CHECKSUMS:  # the list itself is what the others are held against, so it cannot name the culprit surely
        assert name in caught.value.what


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name if name not in (MANIFEST, CHECKSUMS) else "no bundle"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_off_file_is_refused(bundle: Path, name: str) -> None:
    file = bundle / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError):
        open_bundle(bundle)


def test_an_extra_file_is_refused(bundle: Path) -> None:
    (bundle / "sub").mkdir()
    (bundle / "sub" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"sub/notes\.txt"):
        open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        open_bundle(tmp_path)
    with pytest.raises(BundleError, match="no bundle at"):
        open_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_schema_version_is_refused(bundle: Path, seal: Seal, version: object) -> None:
    edit_manifest(bundle, lambda document: document.update(schema_version=version))
    seal(bundle)
    with pytest.raises(BundleError, match="schema version"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d.update(colour="red"), "colour"),
        (lambda d: d.pop("labels"), "labels"),
        (lambda d: d.update(labels=["ripe"]), "labels"),
        (lambda d: d.update(default_artefact="none"), "default_artefact"),
        (lambda d: d["policy"]["costs"].pop("ripe"), "policy"),
        (lambda d: d["artefacts"].append(d["artefacts"][0]), "share a name"),
        (lambda d: d["artefacts"][0].update(file="../../etc/passwd"), "file"),
        (lambda d: d["input"].update(channels="BGR"), "channels"),
        (lambda d: next(iter(d["artefacts"][0]["engines"].values())).update(parity="FAIL"), "an artefact's is FAIL"),
        (lambda d: d["artefacts"][0].update(engines={}), "an artefact's is FAIL"),
        (lambda d: d["artefacts"][0]["engines"].values().__iter__().__next__().update(temperature=0), "temperature"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    bundle: Path, seal: Seal, change: Callable[[Document], object], word: str
) -> None:
    edit_manifest(bundle, change)
    seal(bundle)
    with pytest.raises(BundleError, match=word):
        open_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\xff"])
def test_a_manifest_that_is_no_document_is_refused(bundle: Path, seal: Seal, text: str) -> None:
    (bundle / MANIFEST).write_bytes(text.encode("latin-1"))
    seal(bundle)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(bundle)


def test_another_preprocessing_is_refused(bundle: Path, seal: Seal) -> None:
    golden = Golden.load(bundle / GOLDEN)
    replace(golden, preprocess=np.ascontiguousarray(golden.preprocess[..., ::-1])).save(bundle / GOLDEN)
    seal(bundle)
    with pytest.raises(BundleError, match=r"prepares pictures differently.*RGB and BGR are swapped"):
        open_bundle(bundle)


def test_another_resize_is_refused_and_named(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "INTER_AREA", cv2.INTER_NEAREST)
    with pytest.raises(BundleError, match=r"prepares pictures differently.*another resize or padding"):
        open_bundle(bundle_dir)


def test_a_margin_that_is_not_the_recorded_one_is_refused(bundle: Path, seal: Seal) -> None:
    edit_manifest(bundle, lambda document: document["input"].update(margin=0.2))
    seal(bundle)
    with pytest.raises(BundleError, match=r"prepares pictures differently.*margin of 0\.1 instead of 0\.2"):
        open_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello"])
def test_golden_tensors_that_are_none_are_refused(bundle: Path, seal: Seal, content: bytes) -> None:
    (bundle / GOLDEN).write_bytes(content)
    seal(bundle)
    with pytest.raises(BundleError, match=r"golden\.npz"):
        open_bundle(bundle)


def test_golden_tensors_with_pickled_objects_are_refused(bundle: Path, seal: Seal) -> None:
    with (bundle / GOLDEN).open("wb") as stream:
        np.savez(stream, inputs=np.array([{"a": 1}], object), keras_logits=np.zeros(1), preprocess=np.zeros(1))
    seal(bundle)
    with pytest.raises(BundleError, match=r"golden\.npz"):
        open_bundle(bundle)


def test_golden_tensors_without_one_of_the_arrays_are_refused(bundle: Path, seal: Seal) -> None:
    with (bundle / GOLDEN).open("wb") as stream:
        np.savez(stream, inputs=np.zeros(1))
    seal(bundle)
    with pytest.raises(BundleError, match=r"golden\.npz"):
        open_bundle(bundle)


def test_golden_tensors_come_back_as_saved_and_always_as_the_same_bytes(bundle_dir: Path, tmp_path: Path) -> None:
    golden = Golden.load(bundle_dir / GOLDEN)
    golden.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (bundle_dir / GOLDEN).read_bytes()


def test_a_rejected_bundle_opens_only_for_those_who_ask(bundle: Path, seal: Seal) -> None:
    edit_manifest(bundle, lambda document: document.update(result="FAIL"))
    seal(bundle)
    with pytest.raises(BundleError, match="rejected"):
        open_bundle(bundle)
    assert open_bundle(bundle, allow_rejected=True).manifest.result is Result.FAIL


def test_an_inconclusive_bundle_opens(bundle: Path, seal: Seal) -> None:
    edit_manifest(bundle, lambda document: document.update(result="INCONCLUSIVE"))
    seal(bundle)
    assert open_bundle(bundle).manifest.result is Result.INCONCLUSIVE


def test_a_manifest_reads_back_as_written(bundle_dir: Path) -> None:
    manifest = read_manifest(bundle_dir)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_unknown_artefacts_and_engines_are_answered_with_what_there_is(bundle_dir: Path) -> None:
    opened = open_bundle(bundle_dir)
    with pytest.raises(BundleError) as caught:
        opened.artefact("tflite-int4")
    assert "tflite-int8" in str(caught.value.expected)
    with pytest.raises(BundleError) as caught:
        opened.record("onnx-fp32", "tflite-runtime")
    assert caught.value.expected == "one of onnxruntime, openvino"


def test_a_copied_bundle_is_the_same_bundle(bundle_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_dir, tmp_path / "elsewhere"))
    assert open_bundle(copy).manifest == open_bundle(bundle_dir).manifest


@pytest.mark.parametrize(
    ("results", "worst"),
    [
        ([], Result.FAIL),
        ([Result.PASS], Result.PASS),
        ([Result.PASS, Result.INCONCLUSIVE], Result.INCONCLUSIVE),
        ([Result.FAIL, Result.PASS, Result.INCONCLUSIVE], Result.FAIL),
    ],
)
def test_the_worst_result_counts_and_nothing_measured_is_a_fail(results: list[Result], worst: Result) -> None:
    assert Result.worst(results) is worst
