"""Open a bundle and trust nothing that it does not state and this machine does not confirm."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from edge_runtime.bundles.manifest import SCHEMA_VERSION, Artefact, EngineRecord, Manifest, Result
from edge_runtime.errors import BundleError
from edge_runtime.preprocess import InputSpec, fingerprint, fingerprints_agree

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
CHECKSUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
"""Of `CHECKSUMS`, by `edge_runtime.bundles.signature`; the one file that it cannot cover."""
TRAINED_ON = "trained_on.txt"
"""SHA-256 of every picture that the run trained on, one a line, so that an evaluation can tell."""
_USUAL_MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
_EXPORT_AGAIN = "copy the bundle again from where it was made, or export it again"


@dataclass(frozen=True)
class Golden:
    """Recorded inputs and what came out of them when the bundle was made.

    `inputs` `[n, size, size, 3]` uint8; `keras_logits` `[n, labels]` float32; `logits` by (artefact, engine), the same
    shape; `preprocess` the fingerprint of `edge_runtime.preprocess`.
    """

    inputs: npt.NDArray[np.uint8]
    keras_logits: npt.NDArray[np.float32]
    logits: dict[tuple[str, str], npt.NDArray[np.float32]]
    preprocess: npt.NDArray[np.uint8]

    def save(self, file: Path) -> None:
        """Write as compressed npz; the same arrays give the same bytes."""
        by_key = {f"logits/{artefact}/{engine}": values for (artefact, engine), values in self.logits.items()}
        np.savez_compressed(
            file, inputs=self.inputs, keras_logits=self.keras_logits, preprocess=self.preprocess, **by_key
        )

    @classmethod
    def load(cls, file: Path) -> Golden:
        """Read what `save` wrote; raises BundleError when it is something else."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                logits = {}
                for key in arrays.files:
                    if key.startswith("logits/"):
                        _, artefact, engine = key.split("/")
                        logits[artefact, engine] = arrays[key]
                return cls(arrays["inputs"], arrays["keras_logits"], logits, arrays["preprocess"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{file} holds no golden tensors: {error}", remedy=_EXPORT_AGAIN) from error


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are whole and whose preprocessing is this machine's."""

    folder: Path
    manifest: Manifest

    @cached_property
    def golden(self) -> Golden:
        """Read when first asked for: the line needs it for the self-test alone."""
        return Golden.load(self.folder / GOLDEN)

    def trained_on(self) -> frozenset[str]:
        """SHA-256 of the pictures that the model was trained on; raises BundleError when the bundle does not say."""
        try:
            return frozenset((self.folder / TRAINED_ON).read_text("utf-8").split())
        except (OSError, ValueError) as error:
            raise BundleError(
                f"The bundle {self.folder} does not say what it was trained on: {TRAINED_ON} cannot be read.",
                remedy=_EXPORT_AGAIN,
            ) from error

    def artefact(self, name: str) -> Artefact:
        """An artefact by name; raises BundleError listing what there is."""
        for artefact in self.manifest.artefacts:
            if artefact.name == name:
                return artefact
        raise BundleError(
            f"The bundle {self.folder} holds no artefact named {name}.",
            expected=f"one of {', '.join(artefact.name for artefact in self.manifest.artefacts)}",
        )

    def record(self, artefact: str, engine: str) -> EngineRecord:
        """What was measured of this pair; raises BundleError when it never was."""
        engines = self.artefact(artefact).engines
        if engine not in engines:
            raise BundleError(
                f"{artefact} was never measured on {engine} when {self.folder} was exported.",
                expected=f"one of {', '.join(engines)}",
                remedy="choose one of those, or export again where that engine is installed",
            )
        return engines[engine]

    def file(self, artefact: Artefact) -> Path:
        """Where the artefact's model lies."""
        return self.folder / artefact.file


def open_bundle(folder: Path, *, allow_rejected: bool = False) -> Bundle:
    """Open a bundle after checking every file's hash, the schema, the verdict on it and the preprocessing.

    Args:
        folder: As `ripeline export` wrote it.
        allow_rejected: Also open a bundle that failed parity, to look into it.

    Raises:
        BundleError: Missing, damaged, of another schema, rejected, or made for another preprocessing.
    """
    verify_checksums(folder)
    manifest = read_manifest(folder)
    if manifest.result is Result.FAIL and not allow_rejected:
        raise BundleError(
            f"The bundle {folder} was rejected when it was exported: it failed the parity test.",
            remedy=f"read {folder / 'parity.html'} for the reason; train or export again",
        )
    bundle = Bundle(folder, manifest)
    if not fingerprints_agree(fingerprint(manifest.input), bundle.golden.preprocess):
        raise BundleError(
            f"This machine prepares pictures differently from the one that exported {folder}: "
            f"{_difference(manifest.input, bundle.golden.preprocess)}.",
            expected="crops that differ by 4 grey levels at most",
            remedy="install the ripeline and opencv-python-headless versions that manifest.json names",
        )
    return bundle


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` alone; raises BundleError when it is unreadable or of an unknown schema version."""
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read: {error}", remedy=_EXPORT_AGAIN) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{file} has schema version {version}.",
            expected=f"version {SCHEMA_VERSION}, the one that this ripeline knows",
            remedy="update ripeline on this machine, or export with the version installed here",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{file} is not valid: {where}: {first['msg']}", remedy=_EXPORT_AGAIN) from error


def require_created_since(manifest: Manifest, moment: datetime) -> None:
    """Raise BundleError when the bundle is older than `moment` (with a time zone): an old one played again."""
    try:
        created = datetime.fromisoformat(manifest.created)
        older = created < moment
    except (ValueError, TypeError) as error:
        raise BundleError(f"The bundle does not say when it was created: {manifest.created!r}.") from error
    if older:
        raise BundleError(
            f"The bundle {manifest.bundle_id} is too old: it was created {manifest.created}.",
            expected=f"one created {moment.isoformat()} or later",
            remedy="install the current bundle, or lower --min-created if the older one is meant",
        )


def bundle_files(folder: Path) -> list[Path]:
    """Every file of a bundle but its signature, sorted; raises BundleError when something else lies among them."""
    entries = sorted(folder.rglob("*"), key=lambda entry: entry.relative_to(folder).as_posix())
    strange = [entry for entry in entries if entry.is_symlink() or not (entry.is_file() or entry.is_dir())]
    if strange:
        raise BundleError(
            f"The bundle {folder} holds something that is no plain file: "
            f"{', '.join(entry.relative_to(folder).as_posix() for entry in strange)}.",
            remedy=_EXPORT_AGAIN,
        )
    return [entry for entry in entries if entry.is_file() and entry != folder / SIGNATURE]


def proof(folder: Path) -> str:
    """A fingerprint of a bundle whose hashes are right: SHA-256 of their list, "" where there is none."""
    file = folder / CHECKSUMS
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def checksums(folder: Path) -> str:
    """The text of `SHA256SUMS` for the folder as it is now, as `sha256sum` writes it: neither it nor its signature."""
    names = (file.relative_to(folder).as_posix() for file in bundle_files(folder))
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in names if name != CHECKSUMS)


def verify_checksums(folder: Path) -> None:
    """Raise BundleError, naming the files, unless the folder is exactly what `SHA256SUMS` says."""
    file = folder / CHECKSUMS
    if folder.is_file():
        raise BundleError(
            f"{folder} is a file, not the folder of a bundle.",
            remedy=f"unpack it once: ripeline bundle unpack {folder} -o FOLDER",
        )
    if not folder.is_dir() or not (folder / MANIFEST).is_file() or not file.is_file():
        raise BundleError(
            f"{folder} is no bundle." if folder.exists() else f"There is no bundle at {folder}.",
            expected=f"a folder that `ripeline export` wrote, with {MANIFEST} and {CHECKSUMS}",
        )
    stated, found = file.read_bytes(), checksums(folder).encode()
    if stated == found:
        return
    stated_by_name = _by_name(stated.decode("utf-8", "replace"))
    found_by_name = _by_name(found.decode())
    changed = [name for name, digest in found_by_name.items() if stated_by_name.get(name, digest) != digest]
    missing = [name for name in stated_by_name if name not in found_by_name]
    added = [name for name in found_by_name if name not in stated_by_name]
    reasons = [
        f"{word}: {', '.join(names)}"
        for word, names in (("changed", changed), ("missing", missing), ("not part of it", added))
        if names
    ]
    raise BundleError(
        f"The bundle {folder} is damaged ({'; '.join(reasons) or CHECKSUMS + ' itself has changed'}).",
        expected=f"files exactly as {CHECKSUMS} lists them",
        remedy=_EXPORT_AGAIN,
    )


def _difference(spec: InputSpec, recorded: npt.NDArray[np.uint8]) -> str:
    """The usual mistake under which this machine would give the recorded fingerprint."""
    if fingerprints_agree(fingerprint(spec)[..., ::-1], recorded):
        return "it matches if RGB and BGR are swapped"
    for margin in _USUAL_MARGINS:
        if fingerprints_agree(fingerprint(spec.model_copy(update={"margin": margin})), recorded):
            return f"it matches with a margin of {margin:g} instead of {spec.margin:g}"
    return "neither the colours nor the margin explain it, so another resize or padding"


def _by_name(text: str) -> dict[str, str]:
    return {line[66:]: line[:64] for line in text.splitlines() if len(line) > 66}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
