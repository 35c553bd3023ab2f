"""Formats by the name that people know them by; one file a format, and nobody else knows the converters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from edge_runtime.errors import InputError
from export.formats import onnx_fp32, tflite_fp32, tflite_int8

Samples = npt.NDArray[np.uint8]
Converter = Callable[[Any, Samples, Path], dict[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Format:
    """A converter writes the file and returns the options it used, for the manifest's provenance."""

    name: str
    suffix: str
    quantized: bool
    convert: Converter


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("tflite-fp32", ".tflite", False, tflite_fp32.convert),
        Format("tflite-int8", ".tflite", True, tflite_int8.convert),
        Format("onnx-fp32", ".onnx", False, onnx_fp32.convert),
    )
}


def parse_formats(names: Sequence[str]) -> tuple[Format, ...]:
    """Formats by name, `all` for each; the float32 TFLite reference is always among them.

    Raises InputError for an unknown name.
    """
    unknown = [name for name in names if name not in FORMATS and name != "all"]
    if unknown:
        raise InputError(
            f"Unknown format {', '.join(unknown)}.", expected=f"all, or some of {', '.join(FORMATS)}, comma-separated"
        )
    wanted = set(FORMATS) if "all" in names else {*names, "tflite-fp32"}
    return tuple(one for name, one in FORMATS.items() if name in wanted)
