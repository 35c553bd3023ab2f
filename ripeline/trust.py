"""Whom a bundle may come from and how old it may be: options that verbs share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.bundles.manifest import Manifest


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is no time; write 2026-05-31 or 2026-05-31T12:00:00+00:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


min_created = click.option(
    "--min-created", callback=_moment, metavar="TIME", help="Refuse a bundle created before this (UTC unless it says)."
)
require_signature = click.option(
    "--require-signature",
    type=click.Path(path_type=Path),
    metavar="K.pub",
    help="Refuse a bundle that was not signed with this key's other half.",
)


def verify(folder: Path, public_key: Path | None, min_created: datetime | None) -> Manifest:
    """A bundle's manifest, after its files, its signature (if a key is given) and its age have been checked.

    Raises:
        BundleError: Damaged, signed by somebody else or nobody, or older than `min_created`.
        InputError: The key cannot be used.
        MissingExtraError: A key is given and `cryptography` is not installed.
    """
    from edge_runtime.bundles.bundle import read_manifest, require_created_since, verify_checksums
    from edge_runtime.bundles.signature import verify_signature
    from edge_runtime.errors import BundleError

    if public_key:
        verify_signature(folder, public_key)
    else:
        verify_checksums(folder)
    manifest = read_manifest(folder)
    for artefact in manifest.artefacts:
        file = folder / artefact.file
        if not file.is_file() or file.stat().st_size != artefact.bytes:
            raise BundleError(f"{file} is not the file of {artefact.bytes} bytes that the manifest describes.")
    if min_created:
        require_created_since(manifest, min_created)
    return manifest
