"""`ripeline export` from run to bundle: what it writes, what it refuses, and what a killed one leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from edge_runtime.bundles.bundle import Bundle, open_bundle
from edge_runtime.bundles.manifest import Result
from edge_runtime.deciding.decide import energy
from edge_runtime.errors import BundleError
from edge_runtime.settings.decision_settings import PolicySettings
from evaluation.aside import filled_aside
from evaluation.dataset import hash_file, read_dataset
from evaluation.temperature import LOWEST
from export.check import check_parity, check_self_test, verdict
from export.exporter import export_run
from export.formats import FORMATS, parse_formats
from export.gate import GatePolicy
from export.history import best, read_history
from export.regression import check_regression
from train.run_directory import read_run

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

MEASURED = {"measured.json", "parity.html"}
"""What times make different, and with it their lines in SHA256SUMS."""


def kill_export_when(file: Path, words: list[str]) -> None:
    """Start an export and kill it, as a power cut would, as soon as `file` is there."""
    command = [sys.executable, "-m", "ripeline.main", "export", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(12_000):
            if file.is_file():
                break
            assert process.poll() is None, "the export ended before it could be killed"
            time.sleep(0.05)
        assert file.is_file(), "ten minutes were not enough to come so far"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def killed_and_repeated(
    tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, run_dir: Path, dataset_dir: Path
) -> tuple[list[Path], Bundle | Exception, Path]:
    """What a killed export left, what became of opening that, and the bundle of the same command run to its end."""
    folder = tmp_path_factory.mktemp("again")
    words = [str(run_dir), "-o", str(folder / "bundle"), "--accept", "ripe", "--data", str(dataset_dir)]
    kill_export_when(folder / ".bundle.partial" / "tflite-fp32.tflite", words)
    left = sorted(folder.iterdir())
    try:
        opened: Bundle | Exception = open_bundle(left[0])
    except BundleError as error:
        opened = error
    outcome = ripeline("export", *words)
    assert outcome.code == 0, outcome.stderr
    return left, opened, folder / "bundle"


def test_a_killed_export_leaves_nothing_that_looks_like_a_bundle(killed_and_repeated: Any) -> None:
    left, opened, bundle = killed_and_repeated
    assert [path.name for path in left] == [".bundle.partial"]
    assert isinstance(opened, BundleError)
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]  # the next one clears it away


def test_a_run_exported_twice_gives_the_same_bytes_but_for_the_times(
    killed_and_repeated: Any, bundle_dir: Path
) -> None:
    again = killed_and_repeated[2]
    names = {file.name for file in bundle_dir.iterdir()}
    assert {file.name for file in again.iterdir()} == names
    for name in names - MEASURED - {"SHA256SUMS"}:
        assert (again / name).read_bytes() == (bundle_dir / name).read_bytes(), name
    before, after = ((folder / "SHA256SUMS").read_text().splitlines() for folder in (bundle_dir, again))
    changed = {line[66:] for line in set(before) ^ set(after)}
    assert changed <= MEASURED


def test_a_folder_takes_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "bundle"

    def interrupted() -> None:
        with filled_aside(target) as aside:
            (aside / "manifest.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    (target / "old").write_text("old")
    with filled_aside(target) as aside:
        (aside / "new").write_text("new")
        assert (target / "old").read_text() == "old"
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "new"]


def test_the_documents_say_what_was_measured(bundle_dir: Path) -> None:
    parity = json.loads((bundle_dir / "parity.json").read_text("utf-8"))
    manifest = open_bundle(bundle_dir).manifest
    assert parity["result"] == manifest.result
    pairs = [(artefact.name, engine) for artefact, engine, _ in manifest.pairs()]
    assert [(one["name"], one["engine"]) for one in parity["artefacts"]] == pairs
    for one in parity["artefacts"]:
        assert one["parity"]["accuracy"]["lower_bound"] <= one["parity"]["accuracy"]["difference"]
        assert set(one["parity"]["recall"]) == {"unripe", "ripe"}
        assert sum(one["operators"].values()) > 10
    times = json.loads((bundle_dir / "measured.json").read_text("utf-8"))["latency"]
    assert [(one["artefact"], one["engine"]) for one in times] == pairs
    assert all(one["p50_ms"] > 0 for one in times)
    page = (bundle_dir / "parity.html").read_text("utf-8")
    assert all(name in page for pair in pairs for name in pair)
    card = (bundle_dir / "MODEL_CARD.md").read_text("utf-8")
    assert manifest.bundle_id in card
    assert "policy: ripe" in card
    assert "Views of one fruit: their errors are taken to correlate by 0.90, a cautious default" in card


def test_a_float_artefact_is_as_sure_as_its_run_and_a_few_clear_pictures_make_neither_much_surer(
    bundle_dir: Path, run_dir: Path
) -> None:
    calibrated = read_run(run_dir).record.validation.calibrated
    assert calibrated is not None
    assert calibrated.temperature > 2 * LOWEST
    pairs = [record for artefact, _, record in open_bundle(bundle_dir).manifest.pairs() if "fp32" in artefact.name]
    assert pairs
    assert all(record.temperature == pytest.approx(calibrated.temperature, rel=0.02) for record in pairs)


def test_each_pair_knows_what_is_usual_for_it(bundle_dir: Path) -> None:
    bundle = open_bundle(bundle_dir)
    for artefact, engine, record in bundle.manifest.pairs():
        usual = energy(bundle.golden.logits[artefact.name, engine])
        assert record.energy_limit is not None
        assert np.mean(usual <= record.energy_limit + 0.5) > 0.9, "golden pictures are validation and training pictures"
        assert usual.mean() < record.energy_limit


def test_the_manifest_says_where_it_came_from(bundle_dir: Path, run_dir: Path) -> None:
    manifest, run = open_bundle(bundle_dir).manifest, json.loads((run_dir / "run.json").read_text("utf-8"))
    assert list(manifest.labels) == run["labels"] == ["unripe", "ripe"]
    assert manifest.input.model_dump() == run["input"]
    assert manifest.provenance["data_sha256"] == run["data"]["sha256"]
    samples = manifest.provenance["quantization_samples"]
    assert samples["count"] > 0  # type: ignore[index,call-overload,operator]
    assert samples["drawn"] == ["black", "white"]  # type: ignore[index,call-overload]
    assert manifest.policy.accepted() == ("ripe",)
    assert str(run_dir.parent) not in manifest.model_dump_json()  # no path of the machine that trained


def test_the_bundle_knows_what_was_trained_on(bundle_dir: Path, run_dir: Path) -> None:
    rows = [line.split(",") for line in (run_dir / "splits.csv").read_text("utf-8").splitlines()]
    sha256, split = rows[0].index("sha256"), rows[0].index("split")
    assert open_bundle(bundle_dir).trained_on() == {row[sha256] for row in rows[1:] if row[split] == "train"}


def refused(outcome: Outcome) -> str:
    assert outcome.code == 2
    assert "Traceback" not in outcome.stderr
    return outcome.stderr


def test_pictures_that_are_lost_or_changed_are_refused_with_their_count(
    ripeline: Ripeline, run_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(dataset_dir, tmp_path / "moved"))
    (moved / "ripe" / "0000.jpg").write_bytes((moved / "ripe" / "0000.jpg").read_bytes() + b"\0")
    for number in (1, 2, 3):
        (moved / "unripe" / f"000{number}.jpg").unlink()
    (moved / "manifest.csv").unlink()
    stderr = refused(ripeline("export", run_dir, "-o", tmp_path / "b", "--data", moved))
    assert "4 of the run's 60 pictures" in stderr
    assert "3 missing, 1 changed" in stderr
    assert str(moved) in stderr
    assert not (tmp_path / "b").exists()


def test_pictures_that_moved_are_named_as_gone_unless_data_says_where(
    ripeline: Ripeline, run_dir: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    record = json.loads((run / "run.json").read_text("utf-8"))
    record["data"]["path"] = str(tmp_path / "was_here")
    (run / "run.json").write_text(json.dumps(record), "utf-8")
    stderr = refused(ripeline("export", run, "-o", tmp_path / "b"))
    assert str(tmp_path / "was_here") in stderr
    assert "--data" in stderr


@pytest.fixture(scope="module")
def rejected(
    tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, run_dir: Path, dataset_dir: Path
) -> tuple[Outcome, Path]:
    """A run that is fine in float and cannot be quantised, by no rung: export's outcome and the bundle.

    One channel of every layer without activation is made 256 times as large and the layers that read it as much less
    sensitive to it. A power of two, so Keras gives the very same outputs; but the layers' integer scales, shared by all
    channels, now resolve that channel alone (the reverse of cross-layer equalisation, Nagel et al. 2019).
    """
    import keras

    folder = tmp_path_factory.mktemp("rejected")
    run = Path(shutil.copytree(run_dir, folder / "run"))
    model = keras.models.load_model(run / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]), np.uint8)
    before = model.predict(pixels, verbose=0)
    for layer in model._flatten_layers():
        if layer.name.endswith("project_BN"):
            gamma, beta, *moments = layer.get_weights()
            gamma[0], beta[0] = gamma[0] * 256, beta[0] * 256
            layer.set_weights([gamma, beta, *moments])
        elif layer.name == "Conv_1" or (layer.name.startswith("block") and layer.name.endswith("expand")):
            (kernel,) = layer.get_weights()
            kernel[:, :, 0] /= 256
            layer.set_weights([kernel])
    np.testing.assert_array_equal(model.predict(pixels, verbose=0), before)
    model.save(run / "model.keras")
    # Its pictures are elsewhere now and have other names: they are known by their content.
    moved = Path(shutil.copytree(dataset_dir, folder / "moved"))
    (moved / "manifest.csv").unlink()
    (moved / "ripe").rename(moved / "red")
    words = ["--accept", "ripe", "--formats", "tflite-int8", "--data", moved, "--json"]
    return ripeline("export", run, "-o", folder / "bundle", *words), folder / "bundle"


def test_a_bundle_that_fails_parity_is_written_and_marked_rejected(rejected: tuple[Outcome, Path]) -> None:
    outcome, folder = rejected
    assert outcome.code == 1, outcome.stderr
    assert outcome.document["result"] == "FAIL"
    results = {(row["name"], row["engine"]): row["result"] for row in outcome.document["artefacts"]}
    assert "FAIL" in {result for (name, _), result in results.items() if name == "tflite-int8"}
    assert "FAIL" not in {result for (name, _), result in results.items() if name == "tflite-fp32"}
    assert "marked rejected" in outcome.stderr
    manifest = open_bundle(folder, allow_rejected=True).manifest
    assert manifest.result is Result.FAIL
    assert {artefact.name for artefact in manifest.artefacts} == {"tflite-fp32", "tflite-int8"}
    assert manifest.default_artefact == "tflite-fp32"
    assert "FAIL" in (folder / "parity.html").read_text("utf-8")


def test_what_was_tried_and_the_worst_layers_are_reported_everywhere(rejected: tuple[Outcome, Path]) -> None:
    outcome, folder = rejected
    parity = json.loads((folder / "parity.json").read_text("utf-8"))
    steps = parity["ladders"]["tflite-int8"]
    assert [step["result"] for step in steps] == ["FAIL"] * 3, "all rungs: there are no more samples than the 43"
    assert "ai-edge-quantizer" in steps[1]["rung"]
    assert steps[2]["float_layers"]
    assert sum(step["chosen"] for step in steps) == 1
    assert outcome.document["ladders"]["tflite-int8"] == steps
    manifest = open_bundle(folder, allow_rejected=True).manifest
    assert manifest.provenance["conversions"]["tflite-int8"]["ladder"] == steps  # type: ignore[index,call-overload]
    (failed, *_) = [one for one in parity["artefacts"] if one["parity"]["result"] == "FAIL"]
    layers = failed["layers"]
    assert len(layers) == 5
    assert layers == sorted(layers, key=lambda one: one["added"], reverse=True)
    assert layers[0]["layer"].endswith("project")
    page, junit = ((folder / name).read_text("utf-8") for name in ("parity.html", "junit.xml"))
    for text in (outcome.stderr, page, junit):
        assert layers[0]["layer"] in text
    assert "lost too much on the" in outcome.stderr
    assert steps[2]["rung"] in page


def test_a_sound_bundle_did_not_climb(bundle_dir: Path) -> None:
    parity = json.loads((bundle_dir / "parity.json").read_text("utf-8"))
    ((name, steps),) = parity["ladders"].items()
    assert (name, [step["chosen"] for step in steps]) == ("tflite-int8", [True])
    assert all(one["float_islands"] == one["layers"] == [] for one in parity["artefacts"])


def test_run_refuses_a_rejected_bundle_and_check_says_no(
    ripeline: Ripeline, rejected: tuple[Outcome, Path], clip_dir: Path, tmp_path: Path
) -> None:
    _, folder = rejected
    outcome = ripeline("run", folder, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out")
    assert "rejected" in refused(outcome)
    assert not (tmp_path / "out").exists()
    assert ripeline("check", folder).code == 1


def test_check_finds_the_bad_artefact_on_pictures(rejected: tuple[Outcome, Path], dataset_dir: Path) -> None:
    opened = open_bundle(rejected[1], allow_rejected=True)
    checks = check_parity(opened, read_dataset(dataset_dir, opened.manifest.labels, every_label=False))
    results = {(one.artefact, one.engine): one.result for one in checks}
    assert all(result is not Result.FAIL for (name, _), result in results.items() if name == "tflite-fp32")
    assert any(result is Result.FAIL for (name, _), result in results.items() if name == "tflite-int8")
    assert verdict(checks) is Result.FAIL


def test_a_bundle_is_no_worse_than_itself_and_worse_than_what_it_was(
    bundle_dir: Path, rejected: tuple[Outcome, Path], dataset_dir: Path
) -> None:
    dataset = read_dataset(dataset_dir, ("unripe", "ripe"))
    good = open_bundle(bundle_dir)
    assert check_regression(good, good, dataset, GatePolicy()).result is not Result.FAIL
    assert all(one.result is Result.PASS for one in check_self_test(good))


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_too_few_pictures_are_a_no_only_where_one_is_strict(
    ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, strict: list[str], code: int
) -> None:
    outcome = ripeline("check", bundle_dir, dataset_dir, *strict, "--json")
    assert outcome.code == code
    assert ("Reason: " in outcome.stderr) == bool(strict)
    assert outcome.document["result"] == "INCONCLUSIVE"  # 60 pictures exclude no loss of a hundredth
    assert "too few" in outcome.document["reasons"][0]


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_without_pictures_strict_goes_by_what_the_export_found(
    ripeline: Ripeline, bundle_dir: Path, strict: list[str], code: int
) -> None:
    assert open_bundle(bundle_dir).manifest.result is Result.INCONCLUSIVE
    outcome = ripeline("check", bundle_dir, *strict)
    assert outcome.code == code
    assert "too few pictures" in outcome.stderr


def test_a_default_artefact_that_cannot_be_loaded_is_a_no(
    ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    spoilt = Path(shutil.copytree(bundle_dir, tmp_path / "spoilt"))
    opened = open_bundle(spoilt)
    model = opened.file(opened.artefact(opened.manifest.default_artefact))
    model.write_bytes(bytes(model.stat().st_size))
    sums = spoilt / "SHA256SUMS"
    lines = [line.split("  ") for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{hash_file(spoilt / name)}  {name}\n" for _, name in lines))
    report = tmp_path / "junit.xml"
    outcome = ripeline("check", spoilt, dataset_dir, "--junit", report)
    assert outcome.code == 1, outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith("Reason: self-test")
    assert 'failures="' in report.read_text("utf-8")


def test_the_gate_compares_with_baseline_and_best_and_leaves_a_history(
    ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    gate, history, report = tmp_path / "gate.toml", tmp_path / "history.jsonl", tmp_path / "junit.xml"
    gate.write_text("[largest_ratio]\nsize = 0.5\n")
    words = ["--baseline", bundle_dir, "--gate", gate, "--record", history, "--junit", report, "--json"]
    outcome = ripeline("check", bundle_dir, dataset_dir, *words)
    assert outcome.code == 1
    assert outcome.document["result"] == "FAIL"
    assert outcome.stderr.splitlines()[-1].startswith("Reason: ratios")
    assert "size is 1.00 times the baseline's, 0.5 at most" in outcome.stderr.splitlines()[-1]
    entry = json.loads(history.read_text("utf-8"))
    assert (entry["result"], entry["refused"]) == ("FAIL", True)
    learned = len(open_bundle(bundle_dir).trained_on())
    assert entry["n"] == 60 - learned
    assert f"{learned} of 60 pictures are left out" in outcome.stderr
    assert history.with_suffix(".svg").read_text("utf-8").startswith("<?xml")
    assert 'failures="' in report.read_text("utf-8")


def test_a_bundle_that_the_gate_refuses_is_never_the_best_of_the_history(
    ripeline: Ripeline, bundle_dir: Path, rejected: tuple[Outcome, Path], dataset_dir: Path, tmp_path: Path
) -> None:
    """A rejected one though nothing else is wrong with its default artefact, and an INCONCLUSIVE under --strict."""
    history = tmp_path / "history.jsonl"
    assert ripeline("check", rejected[1], dataset_dir, "--record", history).code == 1
    assert ripeline("check", bundle_dir, dataset_dir, "--record", history, "--strict").code == 1
    last = ripeline("check", bundle_dir, dataset_dir, "--record", history)
    assert last.code == 0
    assert "nothing to compare with" in last.stderr
    entries = read_history(history)
    assert [(one.result, one.refused) for one in entries] == [
        (Result.FAIL, True),
        (Result.INCONCLUSIVE, True),
        (Result.INCONCLUSIVE, False),
    ]
    top = best(entries, entries[-1].model_copy(update={"bundle_id": "next"}))
    assert top == entries[-1]


def test_a_gate_by_itself_tightens_parity(
    ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate.toml"
    gate.write_text("[margins]\naccuracy = 0.002\n[largest_ratio]\nsize = 1.1\n[critical]\nripe = 0.01\n")
    outcome = ripeline("check", bundle_dir, dataset_dir, "--gate", gate, "--json")
    margins = {
        (one["parity"]["accuracy"]["margin"], one["parity"]["recall"]["ripe"]["margin"])
        for one in outcome.document["checks"]
        if one["parity"]
    }
    assert margins == {(0.002, 0.01)}
    assert "[largest_ratio]" in outcome.stderr, "what it cannot judge it says"


def test_strict_counts_too_few_pictures_as_failures_for_ci(
    run_dir: Path, dataset_dir: Path, bundle_dir: Path, tmp_path: Path
) -> None:
    run, formats = read_run(run_dir), parse_formats(["tflite-fp32"])
    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    export_run(run, tmp_path / "b", formats=formats, policy=policy, data=dataset_dir, strict=True)
    strict, loose = (ElementTree.parse(folder / "junit.xml").getroot() for folder in (tmp_path / "b", bundle_dir))
    assert (strict.get("failures"), strict.get("skipped")) == (strict.get("tests"), "0")
    assert (loose.get("failures"), loose.get("skipped")) == ("0", loose.get("tests"))


def test_an_artefact_that_no_engine_can_run_makes_the_export_say_no(
    run_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    """A file that is all that its name says, of a schema that no engine reads."""
    run, half = read_run(run_dir), FORMATS["tflite-fp16"]

    def convert(network: Any, file: Path) -> Any:
        from tensorflow.lite.tools import flatbuffer_utils

        options = half.convert(network, file)
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file.read_bytes()))
        model.version = 9
        file.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
        return options

    policy = PolicySettings(accept=("ripe",)).policy(run.record.labels, "bundle")
    formats = (FORMATS["tflite-fp32"], replace(half, convert=convert))
    export = export_run(run, tmp_path / "b", formats=formats, policy=policy, data=dataset_dir)
    assert {one.name for one in export.missing} == {"tflite-fp16"}
    assert all(one.parity.result is not Result.FAIL for one in export.parities)
    assert export.manifest.result is Result.FAIL
    assert export.manifest.default_artefact == "tflite-fp32"
    assert open_bundle(tmp_path / "b", allow_rejected=True).manifest == export.manifest
