"""`ripeline bundle`: look into bundles, prove them, and carry them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ripeline import console, trust

if TYPE_CHECKING:
    from edge_runtime.bundles.manifest import Manifest

_BUNDLE = click.Path(path_type=Path)
_WIDEST = 32


@click.group(
    "bundle",
    epilog="""\b
Examples:
  ripeline bundle inspect bundle
  ripeline bundle sign bundle --key K.pem
  ripeline bundle verify bundle --public-key K.pub
  ripeline bundle pack bundle -o bundle.tar
  ripeline bundle diff old new""",
)
def verb() -> None:
    """Look into a bundle, compare, sign, verify and pack it. BUNDLE is a folder or a packed file."""


@verb.command("inspect", epilog="\b\nExample:\n  ripeline bundle inspect bundle")
@click.argument("bundle", type=_BUNDLE)
@console.as_json
def inspect(bundle: Path, as_json: bool) -> None:
    """Say what a bundle is, once its files are found whole."""
    from edge_runtime.bundles.archive import as_folder
    from edge_runtime.bundles.bundle import SIGNATURE

    with as_folder(bundle) as folder:
        manifest = trust.verify(folder, None, None)
        signed = (folder / SIGNATURE).is_file()
    console.say(_described(manifest, signed=signed))
    console.emit({"signed": signed, **manifest.model_dump(mode="json")}, as_json=as_json)


@verb.command(
    "verify",
    epilog="""\b
Examples:
  ripeline bundle verify bundle
  ripeline bundle verify bundle.tar --public-key K.pub --min-created 2026-05-31""",
)
@click.argument("bundle", type=_BUNDLE)
@click.option("--public-key", type=_BUNDLE, metavar="K.pub", help="It must be signed with this key's other half.")
@trust.min_created
@console.as_json
def verify(bundle: Path, public_key: Path | None, min_created: datetime | None, as_json: bool) -> None:
    """Prove that a bundle is whole; with a key, that it is from who holds the other half.

    Whether its decisions are right on this machine is what `ripeline check` tells.
    """
    from edge_runtime.bundles.archive import as_folder

    with as_folder(bundle) as folder:
        manifest = trust.verify(folder, public_key, min_created)
    console.say(
        f"{bundle} is whole: bundle {manifest.bundle_id}, created {manifest.created}, parity {manifest.result}; "
        + (f"signed by {public_key}." if public_key else "who made it was not asked (--public-key).")
    )
    document = {"bundle_id": manifest.bundle_id, "created": manifest.created, "result": manifest.result}
    console.emit(document | {"signature": "verified" if public_key else "not asked"}, as_json=as_json)


@verb.command(
    "sign",
    epilog="""\b
Example:
  openssl genpkey -algorithm ed25519 -out K.pem; openssl pkey -in K.pem -pubout -out K.pub
  ripeline bundle sign bundle --key K.pem""",
)
@click.argument("bundle", type=_BUNDLE)
@click.option("--key", required=True, type=_BUNDLE, metavar="K.pem", help="Private Ed25519 key; keep it off devices.")
@console.as_json
def sign(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign a bundle's folder, before it is packed."""
    from edge_runtime.bundles.bundle import SIGNATURE
    from edge_runtime.bundles.signature import sign

    sign(bundle, key)
    console.say(f"Wrote {bundle / SIGNATURE}")
    console.emit({"signature": str(bundle / SIGNATURE)}, as_json=as_json)


@verb.command("pack", epilog="\b\nExample:\n  ripeline bundle pack bundle -o bundle.tar")
@click.argument("bundle", type=_BUNDLE)
@click.option("-o", "--output", required=True, type=_BUNDLE, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace an earlier file.")
@console.as_json
def pack(bundle: Path, output: Path, force: bool, as_json: bool) -> None:
    """Write a bundle as one file for transport; the same bundle gives the same bytes."""
    from edge_runtime.bundles.archive import pack
    from edge_runtime.errors import InputError

    if output.exists() and not (force and output.is_file()):
        raise InputError(f"{output} exists already.", remedy="choose another name, or give --force to replace a file")
    output.parent.mkdir(parents=True, exist_ok=True)
    pack(bundle, output)
    console.say(f"Wrote {output}, {output.stat().st_size / 1e6:.1f} MB")
    console.emit({"file": str(output), "bytes": output.stat().st_size}, as_json=as_json)


@verb.command("unpack", epilog="\b\nExample:\n  ripeline bundle unpack bundle.tar -o bundle --public-key K.pub")
@click.argument("bundle", type=_BUNDLE)
@click.option("-o", "--output", required=True, type=_BUNDLE, help="Folder for the bundle.")
@click.option("--public-key", type=_BUNDLE, metavar="K.pub", help="It must be signed with this key's other half.")
@trust.min_created
@console.force
@console.as_json
def unpack(
    bundle: Path, output: Path, public_key: Path | None, min_created: datetime | None, force: bool, as_json: bool
) -> None:
    """Open a packed bundle. The folder is there only if all of it is right."""
    from edge_runtime.bundles.archive import unpack
    from edge_runtime.bundles.bundle import MANIFEST
    from evaluation.aside import filled_aside

    console.check_output(output, marker=MANIFEST, force=force)
    with filled_aside(output) as folder:
        unpack(bundle, folder)
        manifest = trust.verify(folder, public_key, min_created)
    console.say(f"Wrote {output}, bundle {manifest.bundle_id}")
    console.emit({"bundle": str(output), "bundle_id": manifest.bundle_id}, as_json=as_json)


@verb.command("diff", epilog="\b\nExample:\n  ripeline bundle diff old new.tar")
@click.argument("old", type=_BUNDLE)
@click.argument("new", type=_BUNDLE)
@console.as_json
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Say how two bundles differ: labels, policy, weights, versions, parity, sizes.

    Which of them is better is what `ripeline check NEW DATA --baseline OLD` tells.
    """
    from edge_runtime.bundles.archive import as_folder
    from ripeline.bundle_facts import differences, facts

    with as_folder(old) as before, as_folder(new) as after:
        trust.verify(before, None, None)
        trust.verify(after, None, None)
        found = differences(facts(before), facts(after))
    rows = [{"what": one.what, "old": _shown(one.old), "new": _shown(one.new)} for one in found]
    console.say(console.table(rows) if rows else f"{old} and {new} do not differ.")
    console.emit(
        {"same": not found, "differences": [{"what": one.what, "old": one.old, "new": one.new} for one in found]},
        as_json=as_json,
    )


def _described(manifest: Manifest, *, signed: bool) -> str:
    provenance, versions = manifest.provenance, manifest.provenance.get("versions")
    lines = {
        "bundle": manifest.bundle_id + (", signed (by whom: bundle verify --public-key)" if signed else ", not signed"),
        "created": manifest.created,
        "parity": str(manifest.result),
        "labels": ", ".join(manifest.labels),
        "accepts": ", ".join(manifest.policy.accepted()) + f"  ({manifest.policy.origin})",
        "input": f"{manifest.input.size_px} px, {manifest.input.channels}",
        "run": f"{provenance.get('run')}, data {str(provenance.get('data_sha256'))[:16]}",
        "made with": ", ".join(f"{name} {found}" for name, found in versions.items())
        if isinstance(versions, dict)
        else "unknown",
    }
    rows = [
        {
            "artefact": artefact.name + (" *" if artefact.name == manifest.default_artefact else ""),
            "engine": engine,
            "MB": f"{artefact.bytes / 1e6:.2f}",
            "temperature": f"{record.temperature:.2f}",
            "parity": str(record.parity),
        }
        for artefact, engine, record in manifest.pairs()
    ]
    words = "\n".join(f"{name:<10} {value}" for name, value in lines.items())
    return f"{words}\n\n{console.table(rows)}\n* what evaluate uses unless told otherwise"


def _shown(value: Any) -> str:
    """Short enough for a table; `--json` has every digit."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
