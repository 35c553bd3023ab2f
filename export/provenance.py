"""Where a bundle comes from, stated so that it can be made again and traced back."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

from edge_runtime.errors import InputError
from export.document import PARITY
from export.graph import RANGE_PICTURES
from train.run_directory import RECORD_FILE, Run

_PACKAGES = ("ripeline", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "openvino", "ai-edge-quantizer",
             "ai-edge-litert", "tflite-runtime", "opencv-python-headless", "numpy")  # fmt: skip
_CODE = ("edge_runtime", "evaluation", "train", "export")


def provenance(run: Run, conversions: Mapping[str, JsonValue], samples: Sequence[str]) -> dict[str, JsonValue]:
    """The manifest's `provenance`: no path and no time of this machine, so that the same run gives the same bytes.

    Args:
        run: What was exported.
        conversions: By artefact, the converter and the options it was called with.
        samples: SHA-256 of each picture that the quantisers saw.
    """
    record = run.record
    versions: dict[str, JsonValue] = {"python": platform.python_version()}
    versions |= {name: found for name in _PACKAGES if (found := _version(name))}
    return {
        "run": run.folder.name,
        "run_sha256": hashlib.sha256((run.folder / RECORD_FILE).read_bytes()).hexdigest(),
        "data_sha256": record.data.sha256,
        # Names, not paths: the same run must give the same bundle from wherever its weights were read.
        "training": record.config.model_dump(mode="json", exclude={"data"})
        | {"weights": Path(record.config.weights).name},
        "view_correlation": record.evidence.view_correlation.model_dump(mode="json"),
        "code_sha256": code_sha256(),
        "versions": versions,
        "conversions": dict(conversions),
        "quantization_samples": {
            "count": len(samples),
            "from": "train",
            "seed": record.config.seed,
            "sha256": _digest(sorted(samples)),
            "drawn": list(RANGE_PICTURES),
        },
        "parity": PARITY,
    }


def created(finished: datetime) -> str:
    """RFC 3339, UTC: when the run ended, or `SOURCE_DATE_EPOCH` (reproducible-builds.org) where it is set.

    Raises:
        InputError: `SOURCE_DATE_EPOCH` is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return finished.astimezone(UTC).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(epoch), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"SOURCE_DATE_EPOCH is {epoch!r}.", expected="seconds since 1970, such as 1780000000"
        ) from error


@cache
def code_sha256() -> str:
    """Of the source that trains, exports and runs, as installed: tells two states of one version number apart."""
    root = Path(__file__).parents[1]
    files = sorted(file for package in _CODE for file in (root / package).rglob("*.py"))
    return _digest(
        f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files
    )


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
