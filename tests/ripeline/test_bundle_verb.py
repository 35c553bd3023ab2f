from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edge_runtime.bundles.bundle import MANIFEST, verify_checksums
from edge_runtime.errors import InputError
from evaluation.aside import filled_aside
from export.provenance import code_sha256, created
from ripeline.bundle_facts import differences, facts

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

Here = Callable[..., "Outcome"]
Seal = Callable[[Path], None]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("ours", "theirs"):
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(pem)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
    return tmp_path


@pytest.fixture
def signed(made_bundle: Path, keys: Path, ripeline_here: Here) -> Path:
    assert ripeline_here("bundle", "sign", made_bundle, "--key", keys / "ours.pem").code == 0
    return made_bundle


def test_inspect_says_what_a_bundle_is(made_bundle: Path, ripeline: Ripeline) -> None:
    outcome = ripeline("bundle", "inspect", made_bundle, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["signed"] is False
    assert outcome.document["labels"] == ["unripe", "ripe"]
    for word in ("0123456789abcdef, not signed", "unripe, ripe", "tflite-fp32 *", "onnxruntime", "numpy 1.26.4"):
        assert word in outcome.stderr


def test_from_signing_to_a_device_and_back(signed: Path, keys: Path, ripeline_here: Here, tmp_path: Path) -> None:
    packed, out = tmp_path / "b.tar", tmp_path / "out"
    assert ripeline_here("bundle", "pack", signed, "-o", packed).code == 0
    for bundle in (signed, packed):
        assert ripeline_here("bundle", "verify", bundle, "--public-key", keys / "ours.pub").code == 0
        refused = ripeline_here("bundle", "verify", bundle, "--public-key", keys / "theirs.pub")
        assert (refused.code, "not from the key" in refused.stderr) == (2, True)
    refused = ripeline_here("bundle", "unpack", packed, "-o", out, "--public-key", keys / "theirs.pub")
    assert (refused.code, out.exists()) == (2, False)
    assert not list(tmp_path.glob(".*"))
    assert ripeline_here("bundle", "unpack", packed, "-o", out, "--public-key", keys / "ours.pub").code == 0
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {
        file.name: file.read_bytes() for file in signed.iterdir()
    }


def test_pack_replaces_no_file_unasked(made_bundle: Path, ripeline_here: Here, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    file.write_text("mine")
    assert ripeline_here("bundle", "pack", made_bundle, "-o", file).code == 2
    assert file.read_text() == "mine"
    assert ripeline_here("bundle", "pack", made_bundle, "-o", file, "--force").code == 0
    assert file.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("2026-05-31", 0),
        ("2026-05-31T12:00:00+00:00", 0),
        ("2026-05-31T14:00:00+02:00", 0),
        ("2026-05-31T12:00:01", 2),
        ("2026-06-01", 2),
        ("yesterday", 2),
    ],
)
def test_an_older_bundle_played_again_is_refused(
    signed: Path, keys: Path, ripeline_here: Here, moment: str, code: int
) -> None:
    words = ["--public-key", keys / "ours.pub", "--min-created", moment]
    outcome = ripeline_here("bundle", "verify", signed, *words)
    assert outcome.code == code
    assert code == 0 or "too old" in outcome.stderr or "is no time" in outcome.stderr


def run_words(bundle: Path, tmp_path: Path) -> list[object]:
    """`run` as far as its settings, which are not there: what a bundle that is trusted comes to."""
    return ["run", bundle, "--source", tmp_path, "-o", tmp_path / "result", "--config", tmp_path / "nowhere.toml"]


def test_run_takes_what_we_signed(signed: Path, keys: Path, ripeline_here: Here, tmp_path: Path) -> None:
    words = run_words(signed, tmp_path)
    outcome = ripeline_here(*words, "--require-signature", keys / "ours.pub", "--min-created", "2026-05-31")
    assert "nowhere.toml" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--require-signature", "theirs.pub"], "not from the key"),
        (["--min-created", "2026-06-01"], "too old"),
        (["--require-signature", "ours.pub", "--min-created", "2026-06-01"], "too old"),
        (["--require-signature", "none.pub"], "none.pub"),
    ],
)
def test_run_refuses_what_is_not_trusted(
    signed: Path, keys: Path, ripeline_here: Here, tmp_path: Path, options: list[str], reason: str
) -> None:
    placed = [keys / word if word.endswith(".pub") else word for word in options]
    outcome = ripeline_here(*run_words(signed, tmp_path), *placed)
    assert outcome.code == 2
    assert reason in outcome.stderr
    assert not (tmp_path / "result").exists()


def test_run_refuses_an_unsigned_bundle(made_bundle: Path, keys: Path, ripeline_here: Here, tmp_path: Path) -> None:
    outcome = ripeline_here(*run_words(made_bundle, tmp_path), "--require-signature", keys / "ours.pub")
    assert (outcome.code, "is not signed" in outcome.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--require-signature", "theirs.pub"], 1, "not from the key"),
        (["--min-created", "2026-06-01"], 1, "too old"),
        (["--require-signature", "none.pub"], 2, "none.pub"),
        # What is trusted is looked at: these models are noise.
        (["--require-signature", "ours.pub", "--min-created", "2026-05-31"], 1, "self-test"),
    ],
)
def test_check_says_no_to_what_is_not_trusted(
    signed: Path, keys: Path, ripeline_here: Here, options: list[str], code: int, reason: str
) -> None:
    placed = [keys / word if word.endswith(".pub") else word for word in options]
    report = signed.parent / "junit.xml"
    outcome = ripeline_here("check", signed, *placed, "--junit", report)
    assert (outcome.code, reason in outcome.stderr) == (code, True)
    assert ("self-test" in outcome.stderr) == (reason == "self-test")
    # Also of a bundle that is not even opened; not where it was the words that were wrong.
    assert report.is_file() == (code == 1)
    if code == 1:
        suite = ElementTree.parse(report).getroot()
        assert int(suite.get("failures", "0")) > 0
        assert reason in ElementTree.tostring(suite, encoding="unicode")


def test_run_tells_how_to_open_a_packed_bundle(made_bundle: Path, ripeline_here: Here, tmp_path: Path) -> None:
    ripeline_here("bundle", "pack", made_bundle, "-o", tmp_path / "b.tar")
    outcome = ripeline_here(*run_words(tmp_path / "b.tar", tmp_path))
    assert (outcome.code, "ripeline bundle unpack" in outcome.stderr) == (2, True)


def test_a_device_without_the_extra_is_told_which(
    signed: Path, keys: Path, ripeline: Ripeline, absent: Callable[..., dict[str, str]]
) -> None:
    env = absent("cryptography")
    outcome = ripeline("bundle", "verify", signed, "--public-key", keys / "ours.pub", env=env)
    assert (outcome.code, "ripeline[sign]" in outcome.stderr) == (2, True)
    assert ripeline("bundle", "verify", signed, env=env).code == 0


def test_diff_names_what_differs_and_nothing_else(signed: Path, seal: Seal, ripeline: Ripeline, tmp_path: Path) -> None:
    other = Path(shutil.copytree(signed, tmp_path / "other"))
    assert ripeline("bundle", "diff", signed, other, "--json").document == {"same": True, "differences": []}
    manifest = json.loads((other / MANIFEST).read_text())
    manifest["policy"]["costs"]["ripe"]["DIVERT"] = 7.0
    manifest["provenance"]["versions"]["numpy"] = "2.0.0"
    manifest["artefacts"][1]["engines"]["onnxruntime"]["parity"] = manifest["result"] = "FAIL"
    (other / MANIFEST).write_text(json.dumps(manifest))
    (other / "tflite-fp32.tflite").write_bytes(bytes(3000))
    seal(other)
    document = ripeline("bundle", "diff", signed, other, "--json").document
    found = {one["what"]: one["new"] for one in document["differences"]}
    assert found.pop("artefacts.tflite-fp32.sha256") != facts(signed)["artefacts.tflite-fp32.sha256"]
    assert found == {
        "policy.costs.ripe.DIVERT": 7.0,
        "provenance.versions.numpy": "2.0.0",
        "artefacts.onnx-fp32.engines.onnxruntime.parity": "FAIL",
        "result": "FAIL",
    }
    assert differences(facts(signed), facts(signed)) == []


_WRITE_FOR_EVER = """
import sys
from pathlib import Path
from evaluation.aside import filled_aside
source, target = map(Path, sys.argv[1:])
print("begun", flush=True)
while True:
    with filled_aside(target) as folder:
        for file in source.iterdir():
            with (folder / file.name).open("wb") as stream:
                for byte in range(0, file.stat().st_size, 4000):
                    stream.write(file.read_bytes()[byte : byte + 4000])
"""


def test_killed_at_any_moment_the_name_holds_a_whole_bundle_or_nothing(made_bundle: Path, tmp_path: Path) -> None:
    rng, target = random.Random(11), tmp_path / "target" / "bundle"
    for _ in range(8):
        words = [sys.executable, "-c", _WRITE_FOR_EVER, str(made_bundle), str(target)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
        process.communicate()
        assert {path.name for path in target.parent.glob("*")} <= {"bundle", ".bundle.partial", ".bundle.old"}
        if target.exists():
            verify_checksums(target)


def test_all_is_on_the_disk_before_and_after_the_folder_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    target, real = tmp_path / "bundle", os.fsync

    def spy(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, target.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", spy)
    with filled_aside(target) as folder:
        (folder / "manifest.json").write_text("{}")
    assert {(target.stat().st_ino, False), ((target / "manifest.json").stat().st_ino, False)} <= set(synced)
    assert (tmp_path.stat().st_ino, True) in synced


def test_created_is_the_end_of_the_run_or_the_epoch_of_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    finished = datetime(2026, 5, 31, 12, 0, 0, 123, UTC)
    assert created(finished) == "2026-05-31T12:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert created(finished) == "2023-11-14T22:13:20+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        created(finished)
    assert len(code_sha256()) == 64


def test_verify_holds_the_manifest_against_the_files(made_bundle: Path, seal: Seal, ripeline_here: Here) -> None:
    (made_bundle / "onnx-fp32.onnx").write_bytes(b"short")
    seal(made_bundle)
    outcome = ripeline_here("bundle", "verify", made_bundle)
    assert (outcome.code, "onnx-fp32.onnx" in outcome.stderr) == (2, True)


def test_the_bundle_as_exported_is_packed_signed_and_compared(
    bundle_dir: Path, run_dir: Path, keys: Path, ripeline_here: Here, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    assert ripeline_here("bundle", "sign", bundle, "--key", keys / "ours.pem").code == 0
    assert ripeline_here("bundle", "pack", bundle, "-o", tmp_path / "b.tar").code == 0
    assert ripeline_here("bundle", "verify", tmp_path / "b.tar", "--public-key", keys / "ours.pub").code == 0
    assert "do not differ" in ripeline_here("bundle", "diff", bundle, tmp_path / "b.tar").stderr
    provenance = facts(bundle)
    assert provenance["provenance.quantization_samples.count"]
    assert provenance["provenance.run_sha256"] == hashlib.sha256((run_dir / "run.json").read_bytes()).hexdigest()
    for key in ("run", "data_sha256", "code_sha256", "versions.python", "quantization_samples.sha256"):
        assert provenance[f"provenance.{key}"], key
