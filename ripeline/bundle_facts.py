"""What can be said of a bundle in single facts, so that two can be held against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edge_runtime.bundles.bundle import CHECKSUMS, read_manifest


@dataclass(frozen=True)
class Difference:
    """A fact that two bundles do not share; None where one of them does not know it."""

    what: str
    old: JsonValue
    new: JsonValue


def facts(folder: Path) -> dict[str, JsonValue]:
    """Facts by name: `labels`, `policy.costs.ripe.ACCEPT`, `artefacts.tflite-int8.sha256`, in the manifest's order.

    Args:
        folder: A bundle whose files have been checked.

    Raises:
        BundleError: Its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    sums = {line[66:]: line[:64] for line in (folder / CHECKSUMS).read_text("utf-8").splitlines()}
    document = manifest.model_dump(mode="json")
    document["artefacts"] = {
        artefact.name: artefact.model_dump(mode="json", exclude={"name"}) | {"sha256": sums[artefact.file]}
        for artefact in manifest.artefacts
    }
    parity = json.loads((folder / "parity.json").read_text("utf-8")) if "parity.json" in sums else {}
    document["measured"] = {
        f"{one['name']} on {one['engine']}": {
            key: one["parity"].get(key) for key in ("n", "agreement", "max_abs_diff", "accuracy")
        }
        for one in parity.get("artefacts", ())
    }
    return dict(_flat(document))


def differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[Difference]:
    """Every fact that differs, those of `old` first."""
    names = dict.fromkeys([*old, *new])
    return [Difference(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _flat(document: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
