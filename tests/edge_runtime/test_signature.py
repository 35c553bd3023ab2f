from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundles.bundle import CHECKSUMS, SIGNATURE, verify_checksums
from edge_runtime.bundles.signature import sign, verify_signature
from edge_runtime.errors import BundleError, InputError

Seal = Callable[[Path], None]


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        openssl("genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem")
        openssl("pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "curve.pem")
    openssl("pkey", "-in", folder / "curve.pem", "-pubout", "-out", folder / "curve.pub")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime192v2", "-out", folder / "exotic.pem")
    openssl("pkey", "-in", folder / "exotic.pem", "-pubout", "-out", folder / "exotic.pub")
    openssl("pkey", "-in", folder / "ours.pem", "-aes256", "-passout", "pass:x", "-out", folder / "locked.pem")
    return folder


@pytest.fixture
def signed(made_bundle: Path, keys: Path) -> Path:
    sign(made_bundle, keys / "ours.pem")
    return made_bundle


def test_a_signed_bundle_is_whole_and_ours(signed: Path, keys: Path) -> None:
    verify_checksums(signed)
    verify_signature(signed, keys / "ours.pub")
    assert SIGNATURE not in (signed / CHECKSUMS).read_text()


def test_openssl_agrees_with_the_signature(signed: Path, keys: Path) -> None:
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", keys / "ours.pub", "-rawin", "-in", signed / CHECKSUMS,
            "-sigfile", signed / SIGNATURE)  # fmt: skip


def test_one_flipped_bit_anywhere_is_refused(signed: Path, keys: Path) -> None:
    rng = random.Random(3)
    for file in sorted(signed.iterdir()):
        content = file.read_bytes()
        for position in {0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(6))}:
            changed = bytearray(content)
            changed[position] ^= 1 << rng.randrange(8)
            file.write_bytes(changed)
            with pytest.raises(BundleError):
                verify_signature(signed, keys / "ours.pub")
        file.write_bytes(content)
    verify_signature(signed, keys / "ours.pub")


def test_a_swapped_model_with_matching_hashes_is_refused(signed: Path, keys: Path, seal: Seal) -> None:
    (signed / "onnx-fp32.onnx").write_bytes(b"another model")
    seal(signed)
    verify_checksums(signed)
    with pytest.raises(BundleError, match="changed after it was signed"):
        verify_signature(signed, keys / "ours.pub")


def test_another_key_is_refused(signed: Path, keys: Path) -> None:
    with pytest.raises(BundleError, match=r"not from the key .*theirs\.pub"):
        verify_signature(signed, keys / "theirs.pub")


def test_a_removed_signature_is_refused(signed: Path, keys: Path) -> None:
    (signed / SIGNATURE).unlink()
    with pytest.raises(BundleError, match="is not signed"):
        verify_signature(signed, keys / "ours.pub")


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(signed: Path, keys: Path, length: int) -> None:
    (signed / SIGNATURE).write_bytes(((signed / SIGNATURE).read_bytes() + b"\n")[:length])
    with pytest.raises(BundleError, match="signature"):
        verify_signature(signed, keys / "ours.pub")


def test_an_extra_file_is_refused(signed: Path, keys: Path) -> None:
    (signed / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"not part of it: extra\.txt"):
        verify_signature(signed, keys / "ours.pub")


@pytest.mark.parametrize("target", ["manifest.json", "nowhere", "."])
def test_a_link_among_the_files_is_refused(signed: Path, keys: Path, target: str) -> None:
    (signed / "link").symlink_to(target)
    with pytest.raises(BundleError, match="no plain file: link"):
        verify_signature(signed, keys / "ours.pub")


def test_a_damaged_bundle_is_never_signed(made_bundle: Path, keys: Path) -> None:
    (made_bundle / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        sign(made_bundle, keys / "ours.pem")
    assert not (made_bundle / SIGNATURE).exists()


@pytest.mark.parametrize("name", ["curve.pem", "exotic.pem", "ours.pub", "locked.pem"])
def test_what_is_no_private_ed25519_key_is_refused(made_bundle: Path, keys: Path, name: str) -> None:
    with pytest.raises(InputError, match="no private Ed25519 key"):
        sign(made_bundle, keys / name)


@pytest.mark.parametrize("name", ["curve.pub", "exotic.pub", "ours.pem"])
def test_what_is_no_public_ed25519_key_is_refused(signed: Path, keys: Path, name: str) -> None:
    with pytest.raises(InputError, match="no public Ed25519 key"):
        verify_signature(signed, keys / name)
