"""The unit as systemd reads it, and its command as the real command line takes it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "/opt/ripeline/venv/bin/ripeline"
FROM_SYSTEMD = {"STATE_DIRECTORY": "/var/lib/ripeline", "INVOCATION_ID": "0123456789abcdef0123456789abcdef"}


@pytest.fixture(scope="module")
def unit(repository: Path) -> Path:
    return repository / "deploy" / "systemd" / "ripeline.service"


@pytest.fixture(scope="module")
def settings(repository: Path) -> dict[str, str]:
    """The environment that the shipped `ripeline.env` and systemd give to the service."""
    text = (repository / "deploy" / "systemd" / "ripeline.env").read_text("utf-8")
    return FROM_SYSTEMD | dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def exec_start_line(unit: Path) -> str:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text("utf-8").replace("\\\n", " "), re.MULTILINE)
    return str(line)


def exec_start(unit: Path, environment: Mapping[str, str]) -> list[str]:
    """The words that systemd would start: `${X}` stays one word whatever is in it, a lone `$X` is split at blanks."""
    words: list[str] = []
    for word in shlex.split(exec_start_line(unit)):
        if lone := re.fullmatch(r"\$(\w+)", word):
            words += shlex.split(environment[lone[1]])
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], word))
    return words


@pytest.fixture
def installed_unit(unit: Path, tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine, as systemd-analyze wants."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "ripeline.service"
    copy.write_text(unit.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
    return copy


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_finds_nothing_to_complain_about(installed_unit: Path) -> None:
    done = analyze("verify", "--man=no", installed_unit)
    # Unknown keys are warnings only, with exit code 0; words about other units are none of ours.
    assert done.returncode == 0, done.stderr
    assert "ripeline" not in done.stderr


def test_an_intruder_could_do_little(installed_unit: Path) -> None:
    # systemd's own scale: 0 is sealed, 10 is naked; a service without any hardening has 9.6.
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=20", installed_unit)
    assert done.returncode == 0, done.stdout + done.stderr
    allowed = re.search(r"special devices: (.*?) {2,}", done.stdout)
    assert allowed is not None
    assert set(allowed[1].split()) == {"char-rtc:r", "char-video4linux:rw"}


def test_shipped_settings_make_a_command_line_that_parses(
    unit: Path, settings: dict[str, str], parse: Callable[..., dict[str, Any]]
) -> None:
    program, verb, *words = exec_start(unit, settings)
    assert (program, verb) == (PROGRAM, "run")
    given = parse([verb, *words])
    assert given["bundle"] == Path(settings["RIPELINE_BUNDLE"])
    assert given["source"] == settings["RIPELINE_SOURCE"]
    assert given["config"] == Path(settings["RIPELINE_CONFIG"])
    assert given["output"].is_relative_to("/var/lib/ripeline")
    assert not given["force"], "an earlier start's decisions must never be replaced"


def test_more_options_and_blanks_in_paths_keep_their_place(
    unit: Path, settings: dict[str, str], parse: Callable[..., dict[str, Any]]
) -> None:
    changed = settings | {
        "RIPELINE_BUNDLE": "/opt/my bundle",
        "RIPELINE_OPTIONS": "--engine onnxruntime --artefact onnx-fp32",
    }
    given = parse(exec_start(unit, changed)[1:])
    assert given["bundle"] == Path("/opt/my bundle")
    assert (given["engine"], given["artefact"]) == ("onnxruntime", "onnx-fp32")


def test_every_variable_is_explained_and_every_explained_one_is_used(unit: Path, settings: dict[str, str]) -> None:
    assert set(re.findall(r"\$\{?(\w+)", exec_start_line(unit))) == set(settings)


def start(unit: Path, bundle: Path, state: Path, invocation: str) -> subprocess.Popen[str]:
    """What systemd starts, on a simulated camera that would go on for a while."""
    (state / "line.toml").touch()
    environment = {
        "STATE_DIRECTORY": str(state),
        "INVOCATION_ID": invocation,
        "RIPELINE_BUNDLE": str(bundle),
        "RIPELINE_SOURCE": "sim:calm",
        "RIPELINE_CONFIG": str(state / "line.toml"),
        "RIPELINE_OPTIONS": "--duration 30",
    }
    words = [sys.executable, "-m", "ripeline.main", *exec_start(unit, environment)[1:]]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


def test_each_start_has_its_folder_and_a_stop_writes_the_summary(unit: Path, bundle_dir: Path, tmp_path: Path) -> None:
    for invocation in ("first", "second"):
        process = start(unit, bundle_dir, tmp_path, invocation)
        folder = tmp_path / "runs" / invocation
        try:
            while not _has_decided(folder) and process.poll() is None:
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)  # systemctl stop
            _, words = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0, words
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        decisions = (folder / "decisions.jsonl").read_text("utf-8").splitlines()
        assert summary["fruits"] == len(decisions) > 0
        assert summary["frames"]["processed"] < 30 * 30, "it ended because it was told to"
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["first", "second"]


def _has_decided(folder: Path) -> bool:
    decisions = folder / "decisions.jsonl"
    return decisions.is_file() and decisions.stat().st_size > 0
