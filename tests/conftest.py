"""What tests of the whole way share: one dataset, one run, one bundle and one clip, made by the real commands.

Order of imports: tflite-runtime no longer loads a model (`ValueError: vector::reserve`) in a process that imported
TensorFlow first. pytest reads this file before any test module, so importing it here makes both work in any order of
tests. The fixtures themselves run each command in a process of its own, as a user does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import pytest

with suppress(ModuleNotFoundError):  # there is none for Python 3.12
    import tflite_runtime.interpreter  # noqa: F401

cv2.setNumThreads(1)

ROOT = Path(__file__).parents[1]
SIZE_PX = 96
LABELS = ("unripe", "ripe")
"""Far apart, so that no artefact's label depends on the machine's rounding."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """Stdout as the one JSON document that it must be."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


class Ripeline(Protocol):
    """Runs the command line in a process of its own."""

    def __call__(self, *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Outcome: ...


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `run` remembers of engines stays out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def ripeline() -> Ripeline:
    """`ripeline WORDS…` in a process of its own; `env` is added to the environment."""

    def run(*words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "ripeline.main", *map(str, words)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ripeline_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The same command line in this process, which need not load TensorFlow anew for each refusal."""

    def run(*words: object) -> Outcome:
        from ripeline.main import main

        monkeypatch.setattr(sys, "argv", ["ripeline", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Outcome(int(end.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with `data/` and `weights/`: real photographs, footage and weights, which never enter the project."""
    folder = os.environ.get("RIPELINE_TEST_DATA")
    if not folder or not (Path(folder) / "data").is_dir():
        pytest.skip("RIPELINE_TEST_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, Any]]:
    """What the commands behind the fixtures printed with `--json`, by verb."""
    return {}


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, documents: dict[str, Any]) -> Path:
    """Simulated pictures of four labels; never change it, copy it."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    documents["simulate dataset"] = _done(
        ripeline("simulate", "dataset", folder, "--per-class", 30, "--image-size", SIZE_PX, "--seed", 5, "--json")
    )
    return folder


@pytest.fixture(scope="session")
def run_dir(
    tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, dataset_dir: Path, documents: dict[str, Any]
) -> Path:
    """A run on `dataset_dir` with the starter backbone and two clear labels; never change it, copy it."""
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["--labels", ",".join(LABELS), "--weights", "starter", "--image-size", SIZE_PX]
    words += ["--epochs", 12, "--fine-tune-epochs", 1]
    documents["train"] = _done(ripeline("train", dataset_dir, "-o", folder, *words, "--json"))
    return folder


@pytest.fixture(scope="session")
def bundle_dir(
    tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, run_dir: Path, documents: dict[str, Any]
) -> Path:
    """The bundle of `run_dir`, every format, accepting ripe fruit; never change it, copy it."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    documents["export"] = _done(ripeline("export", run_dir, "-o", folder, "--accept", "ripe", "--json"))
    return folder


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, documents: dict[str, Any]) -> Path:
    """A few seconds of a simulated belt; never change it, copy it."""
    folder = tmp_path_factory.mktemp("clip") / "clip"
    documents["simulate clip"] = _done(ripeline("simulate", "clip", folder, "--seconds", 4, "--seed", 3, "--json"))
    return folder


@pytest.fixture
def absent(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Environment of a process in which these top-level packages are not installed, neither found nor imported."""

    def absent(*packages: str) -> dict[str, str]:
        folder = tmp_path / "sitecustomize"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(f"ABSENT = {packages!r}\n{_HIDE_ABSENT}")
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    return absent


# Each finder of modules behind one that has never heard of them; Python runs this file before anything else.
_HIDE_ABSENT = """
import sys

class WithoutThem:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)

sys.meta_path[:] = map(WithoutThem, sys.meta_path)
"""


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """A Keras model built like a run's, but small enough to convert in a second, and never trained."""
    import keras

    keras.utils.set_random_seed(1)
    scaled = keras.Input((SIZE_PX, SIZE_PX, 3))
    convolved = keras.layers.Conv2D(16, 5, strides=4, use_bias=False)(scaled)
    filtered = keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.BatchNormalization()(convolved))
    backbone = keras.Model(scaled, keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(filtered)))
    image = keras.Input((SIZE_PX, SIZE_PX, 3), dtype="uint8", name="image")
    features = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image))
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(image, keras.layers.Dense(len(LABELS), name="logits")(pooled))


@pytest.fixture(scope="session")
def other_models(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any) -> dict[str, Path]:
    """By format name, `tiny_model` converted: fits in the place of an artefact of the bundle, and is another model."""
    from export.formats import FORMATS
    from export.graph import Network

    folder = tmp_path_factory.mktemp("other")
    pixels = np.random.default_rng(0).integers(0, 256, (8, SIZE_PX, SIZE_PX, 3), np.uint8)
    network = Network(tiny_model, pixels)
    files = {}
    for name, one in FORMATS.items():
        files[name] = folder / f"{name}{one.suffix}"
        one.convert(network, files[name])
    return files


@pytest.fixture
def bundle(bundle_dir: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to break."""
    return Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))


@pytest.fixture
def made_bundle(tmp_path: Path, seal: Callable[[Path], None]) -> Path:
    """A bundle in form, made without training: whole and readable, but its models are noise."""
    from edge_runtime.bundles.bundle import GOLDEN, MANIFEST, TRAINED_ON, Golden
    from edge_runtime.bundles.manifest import Artefact, EngineRecord, FloatTolerance, Manifest, Result
    from edge_runtime.deciding.decide import Policy
    from edge_runtime.preprocess import InputSpec, fingerprint

    folder = tmp_path / "made"
    folder.mkdir()
    record = EngineRecord(temperature=1.5, parity=Result.PASS, golden=FloatTolerance(max_logit_difference=1e-3))
    noise = np.random.default_rng(7).bytes(3000)
    for name in ("tflite-fp32.tflite", "onnx-fp32.onnx"):
        (folder / name).write_bytes(noise)
    artefacts = (
        Artefact(name="tflite-fp32", file="tflite-fp32.tflite", format="tflite-fp32", bytes=3000,
                 engines={"tflite-runtime": record}),
        Artefact(name="onnx-fp32", file="onnx-fp32.onnx", format="onnx-fp32", bytes=3000,
                 engines={"onnxruntime": record}),
    )  # fmt: skip
    spec, zeros = InputSpec(size_px=SIZE_PX), np.zeros((1, 2), np.float32)
    Golden(np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8), zeros, {}, fingerprint(spec)).save(folder / GOLDEN)
    manifest = Manifest(
        bundle_id="0123456789abcdef", created="2026-05-31T12:00:00+00:00", result=Result.PASS, labels=LABELS,
        input=spec, policy=Policy.accepting(LABELS, ["ripe"]), view_correlation=0.7, default_artefact="tflite-fp32",
        artefacts=artefacts, provenance={"run": "run", "versions": {"numpy": "1.26.4"}},
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    (folder / TRAINED_ON).write_text("ab" * 32 + "\n")
    seal(folder)
    return folder


@pytest.fixture(scope="session")
def seal() -> Callable[[Path], None]:
    """Make the hashes of a changed bundle right again, so that what is tested is not the hash."""

    def seal(folder: Path) -> None:
        from edge_runtime.bundles.bundle import CHECKSUMS, checksums

        (folder / CHECKSUMS).write_text(checksums(folder), "utf-8")

    return seal


def _done(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.stderr
    return outcome.document
