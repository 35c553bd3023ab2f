"""Who made a bundle: an Ed25519 signature (RFC 8032) over `SHA256SUMS`, which covers every other file.

The signature file holds the 64 bytes that OpenSSL writes and reads as well:
`openssl pkeyutl -verify -pubin -inkey K.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig`.
"""

from __future__ import annotations

from pathlib import Path

from edge_runtime.bundles.bundle import CHECKSUMS, SIGNATURE, verify_checksums
from edge_runtime.errors import BundleError, InputError, MissingExtraError

_MAKE_KEYS = "openssl genpkey -algorithm ed25519 -out K.pem && openssl pkey -in K.pem -pubout -out K.pub"


def sign(folder: Path, key: Path) -> None:
    """Write the bundle's signature; an earlier one is replaced.

    Args:
        folder: A bundle; checked for being whole.
        key: Private key, PEM, without a passphrase, as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        BundleError: The bundle is damaged.
        InputError: The key cannot be read or is of another kind.
        MissingExtraError: `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(key, "private") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _no_key(key, "private")
    verify_checksums(folder)
    (folder / SIGNATURE).write_bytes(private.sign((folder / CHECKSUMS).read_bytes()))


def verify_signature(folder: Path, public_key: Path) -> None:
    """Raise unless the bundle is whole and signed with the other half of a key.

    Args:
        folder: A bundle.
        public_key: PEM, as `openssl pkey -pubout` writes it.

    Raises:
        BundleError: Not signed, signed with another key, or changed after it was signed.
        InputError: The key cannot be read or is of another kind.
        MissingExtraError: `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(public_key.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(public_key, "public") from error
    if not isinstance(public, Ed25519PublicKey):
        raise _no_key(public_key, "public")
    # Files before signature: what was damaged on its way is named as such.
    verify_checksums(folder)
    if not (folder / SIGNATURE).is_file():
        raise BundleError(
            f"The bundle {folder} is not signed: it holds no {SIGNATURE}.",
            expected=f"a bundle signed with the private half of {public_key}",
            remedy="get the signed bundle again from who made it, or sign it there: ripeline bundle sign",
        )
    try:
        public.verify((folder / SIGNATURE).read_bytes(), (folder / CHECKSUMS).read_bytes())
    except InvalidSignature as error:
        raise BundleError(
            f"The signature of the bundle {folder} is not from the key {public_key}, or the bundle was changed after "
            "it was signed.",
            expected=f"a bundle signed with the private half of {public_key}",
            remedy="do not use it; get it again from who made it",
        ) from error


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Signatures need the package cryptography, which is not installed.", remedy="pip install 'ripeline[sign]'"
        ) from error


def _no_key(file: Path, half: str) -> InputError:
    return InputError(
        f"{file} is no {half} Ed25519 key.",
        expected=f"a {half} key in PEM form, without a passphrase",
        remedy=_MAKE_KEYS,
    )
