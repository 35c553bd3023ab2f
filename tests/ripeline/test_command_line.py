"""What every verb keeps: help with an example, JSON alone on stdout, exit codes, and which packages it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ripeline.main import VERBS, cli

if TYPE_CHECKING:
    from tests.conftest import Ripeline

Absent = Callable[..., dict[str, str]]

HEAVY = ("numpy", "cv2", "pydantic", "tensorflow", "keras", "onnx", "matplotlib", "jinja2", "tflite_runtime")
OURS = ("train", "export", "edge_runtime", "evaluation", "simulator", "ripeline.verbs")
EXTRAS_BUT_EDGE = (
    "tensorflow", "keras", "onnx", "tf2onnx", "onnxruntime", "openvino", "ai_edge_litert", "matplotlib", "jinja2",
    "sklearn", "scipy", "cryptography", "optuna", "cleanlab", "imagehash", "PIL",
)  # fmt: skip
"""Everything that the `edge` extra does not bring."""

COMMANDS = [(verb,) for verb in VERBS] + [("simulate", "dataset"), ("simulate", "clip")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_every_verb_has_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"], prog_name="ripeline")
    assert result.exit_code == 0
    examples = result.output.split("Example", 1)[1]
    assert f"ripeline {' '.join(command)} " in examples


def test_help_lists_every_verb_and_imports_none(ripeline: Ripeline) -> None:
    names = (*HEAVY, *OURS)
    script = f"""
import sys
from ripeline.main import main
sys.argv[1:] = ["--help"]
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {names!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("train", {"run", "labels", "test", "events", "seconds"}),
        ("export", {"bundle", "result", "artefacts"}),
        ("simulate dataset", {"folder", "pictures", "labels", "seed"}),
        ("simulate clip", {"folder", "source", "frames", "fruits", "labels", "seed"}),
    ],
)
def test_the_document_of_a_verb_that_makes_a_folder(
    command: str, keys: set[str], documents: dict[str, Any], bundle_dir: Path, clip_dir: Path
) -> None:
    assert keys <= set(documents[command])


def test_the_document_of_train_in_depth(documents: dict[str, Any], run_dir: Path) -> None:
    test = documents["train"]["test"]
    assert {"n", "accuracy", "accuracy_ci95", "balanced_accuracy", "recall"} <= set(test)
    assert set(test["recall"]) == set(documents["train"]["labels"]) == {"unripe", "ripe"}
    assert test["accuracy_ci95"][0] <= test["accuracy"] <= test["accuracy_ci95"][1]
    assert documents["train"]["events"]


def test_the_document_of_export_in_depth(documents: dict[str, Any], bundle_dir: Path) -> None:
    export = documents["export"]
    assert export["result"] in ("PASS", "INCONCLUSIVE")
    wanted = {"name", "format", "engine", "bytes", "accuracy", "agreement", "max_abs_diff", "result"}
    for row in export["artefacts"]:
        assert wanted <= set(row)
        if row["name"].endswith("fp32"):
            assert row["agreement"] == 1.0
            assert row["max_abs_diff"] < 1e-3
    assert {row["name"] for row in export["artefacts"]} == {"tflite-fp32", "tflite-int8", "onnx-fp32"}


def test_the_document_of_check(ripeline: Ripeline, bundle_dir: Path) -> None:
    outcome = ripeline("check", bundle_dir, "--json")
    assert outcome.code == 0
    assert outcome.document["result"] == "PASS"
    assert outcome.document["reasons"] == []


def test_the_document_of_evaluate(ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    outcome = ripeline("evaluate", bundle_dir, dataset_dir, "-o", tmp_path / "evaluation", "--json")
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    assert json.loads((tmp_path / "evaluation" / "evaluation.json").read_text("utf-8")) == document
    assert {"n", "accuracy", "accuracy_ci95", "balanced_accuracy", "recall", "confusion"} <= set(document)
    assert (document["n"], document["ignored"]) == (60, 60)  # spoiled and turning are none of the model's labels
    assert document["artefact"] == "tflite-int8"
    trained = (bundle_dir / "trained_on.txt").read_text().split()
    assert document["seen_in_training"] == len(trained) > 0
    assert f"{len(trained)} of 60 pictures were trained on" in outcome.stderr


def test_the_document_of_predict(ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "ripe.csv"
    outcome = ripeline("predict", bundle_dir, dataset_dir / "ripe", "-o", file, "--json")
    assert outcome.code == 0
    assert outcome.document["n"] == sum(outcome.document["counts"].values()) == 30
    lines = file.read_text("utf-8").splitlines()
    assert lines[0] == "file,label,unripe,ripe"
    assert len(lines) == 31
    assert outcome.document["counts"]["ripe"] >= 27


def test_a_verb_without_json_prints_nothing_to_stdout(ripeline: Ripeline, bundle_dir: Path) -> None:
    outcome = ripeline("check", bundle_dir)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert "PASS" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "fly"),
        (["train"], "DATA"),
        (["train", "photos"], "-o RUN"),
        (["run", "bundle", "-o", "out"], "--source"),
        (["run", "bundle", "--source", "0", "-o", "out", "--duration", "-3"], "--duration"),
        (["check", "--frobnicate"], "--frobnicate"),
        (["simulate", "clip", "c", "--fps", "fast"], "--fps"),
        (["simulate", "dataset", "d", "--image-size", "7"], "--image-size"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what(ripeline: Ripeline, words: list[str], said: str, tmp_path: Path) -> None:
    outcome = ripeline(*words, "--json", cwd=tmp_path)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert said in outcome.document["error"]["what"]
    assert "Traceback" not in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_document_too(ripeline: Ripeline, tmp_path: Path) -> None:
    outcome = ripeline("check", tmp_path / "nowhere", "--json")
    assert outcome.code == 2
    assert set(outcome.document) == {"error"}
    assert set(outcome.document["error"]) == {"what", "expected", "remedy"}
    assert str(tmp_path / "nowhere") in outcome.document["error"]["what"]


@pytest.mark.parametrize(
    ("gone", "words", "extra"),
    [
        ("tensorflow", ["train", "DATA", "-o", "RUN"], "train"),
        ("tensorflow", ["export", "RUN_DIR", "-o", "B"], "export"),
        ("tf2onnx", ["export", "RUN_DIR", "-o", "B"], "export"),
        ("tensorflow", ["evaluate", "RUN_DIR", "DATA"], "train"),
        ("cv2", ["run", "BUNDLE", "--source", "0", "-o", "OUT"], "edge"),
        ("pydantic", ["check", "BUNDLE"], "edge"),
        ("numpy", ["predict", "BUNDLE", "DATA", "-o", "p.csv"], "edge"),
        ("numpy", ["simulate", "clip", "CLIP"], "edge"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    ripeline: Ripeline, absent: Absent, tmp_path: Path, run_dir: Path, bundle_dir: Path, dataset_dir: Path,
    gone: str, words: list[str], extra: str,
) -> None:  # fmt: skip
    real = {"RUN_DIR": run_dir, "BUNDLE": bundle_dir, "DATA": dataset_dir}
    outcome = ripeline(*(real.get(word, word) for word in words), "--json", cwd=tmp_path, env=absent(gone))
    assert outcome.code == 2
    assert gone in outcome.document["error"]["what"]
    assert f"pip install 'ripeline[{extra}]'" in outcome.document["error"]["remedy"]
    assert "Traceback" not in outcome.stderr


def test_every_module_of_the_edge_imports_with_the_edge_extra_alone(absent: Absent) -> None:
    script = """
import importlib, json, pkgutil, edge_runtime
names = [module.name for module in pkgutil.walk_packages(edge_runtime.__path__, "edge_runtime.")]
for name in names:
    importlib.import_module(name)
print(json.dumps(names))
"""
    env = absent(*EXTRAS_BUT_EDGE, "train", "export", "simulator", "evaluation")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout)
    assert {"edge_runtime.engines.onnx", "edge_runtime.cameras.device", "edge_runtime.reporters.video"} <= set(names)


def test_run_check_evaluate_and_predict_need_the_edge_extra_alone(
    ripeline: Ripeline, absent: Absent, tmp_path: Path, bundle_dir: Path, clip_dir: Path, dataset_dir: Path
) -> None:
    edge = absent(*EXTRAS_BUT_EDGE)
    line = ripeline("run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out", "--json", env=edge)
    assert line.code == 0, line.stderr
    assert line.document["engine"] == "tflite-runtime"
    assert line.document["fruits"] > 0
    check = ripeline("check", bundle_dir, dataset_dir, "--json", env=edge)
    assert check.code == 0, check.stderr
    assert {one["engine"] for one in check.document["checks"]} == {"tflite-runtime"}
    evaluation = ripeline("evaluate", bundle_dir, dataset_dir, "--json", env=edge)
    assert evaluation.code == 0, evaluation.stderr
    assert ripeline("predict", bundle_dir, dataset_dir, "-o", tmp_path / "p.csv", env=edge).code == 0


def test_no_engine_at_all_is_said_so(
    ripeline: Ripeline, absent: Absent, tmp_path: Path, bundle_dir: Path, clip_dir: Path
) -> None:
    bare = absent(*EXTRAS_BUT_EDGE, "tflite_runtime")
    words = ["run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out", "--json"]
    outcome = ripeline(*words, env=bare)
    assert outcome.code == 2
    assert "not installed" in outcome.document["error"]["what"]
    assert not (tmp_path / "out").exists()
    assert ripeline("check", bundle_dir, env=bare).code == 2
