"""Formats by the name that people know them by; one file a format, and nobody else knows the converters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from edge_runtime.errors import InputError, MissingExtraError
from export.formats import onnx_fp32, tflite_fp32, tflite_int8

Samples = npt.NDArray[np.uint8]
Converter = Callable[[Any, Samples, Path], dict[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Format:
    """A converter writes the file and returns the options it used, for the manifest's provenance.

    `packages` are the modules that it imports.
    """

    name: str
    suffix: str
    quantized: bool
    packages: tuple[str, ...]
    convert: Converter


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("tflite-fp32", ".tflite", False, ("tensorflow",), tflite_fp32.convert),
        Format("tflite-int8", ".tflite", True, ("tensorflow",), tflite_int8.convert),
        Format("onnx-fp32", ".onnx", False, ("tensorflow", "onnx", "tf2onnx"), onnx_fp32.convert),
    )
}


def parse_formats(names: Sequence[str]) -> tuple[Format, ...]:
    """Formats by name, `all` for each; the float32 TFLite reference is always among them.

    Raises InputError for an unknown name and, before any work is done, MissingExtraError for a converter that is not
    installed.
    """
    unknown = [name for name in names if name not in FORMATS and name != "all"]
    if unknown:
        raise InputError(
            f"Unknown format {', '.join(unknown)}.", expected=f"all, or some of {', '.join(FORMATS)}, comma-separated"
        )
    wanted = set(FORMATS) if "all" in names else {*names, "tflite-fp32"}
    formats = tuple(one for name, one in FORMATS.items() if name in wanted)
    for one in formats:
        missing = [package for package in one.packages if find_spec(package) is None]
        if missing:
            raise MissingExtraError(
                f"{one.name} needs {', '.join(missing)}, which is not installed.",
                remedy="pip install 'ripeline[export]', or choose other --formats",
            )
    return formats
