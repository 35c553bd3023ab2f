"""Formats by the name that people know them by; one file a format, and nobody else knows the converters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from edge_runtime.errors import InputError, MissingExtraError, RipelineError
from export.formats import onnx_fp32, onnx_int8, tflite_dynamic, tflite_fp16, tflite_fp32, tflite_int8
from export.formats.tflite_int8 import AI_EDGE_QUANTIZER, QUANTIZERS, TFLITE_CONVERTER
from export.graph import Network
from export.inspect import ConversionError

Precision = Literal["float32", "float16", "dynamic", "int8"]
Converter = Callable[[Network, Path], dict[str, JsonValue]]
PartlyFloat = Callable[..., dict[str, JsonValue]]
"""The same with `float_layers`, the names of layers that stay float."""

DEFAULT_QUANTIZER = TFLITE_CONVERTER
DEFAULT_FORMATS = ("tflite-fp32", "tflite-int8", "onnx-fp32")


@dataclass(frozen=True, slots=True)
class Format:
    """A converter writes the file and returns the options it used, for the manifest's provenance.

    `packages` are the modules that it imports. What else can be tried where integers lose too much: `others`, further
    quantisers, and `partly`, with some layers left in float.
    """

    name: str
    suffix: str
    precision: Precision
    packages: tuple[str, ...]
    convert: Converter
    others: tuple[tuple[str, Converter], ...] = ()
    partly: PartlyFloat | None = None

    @property
    def quantized(self) -> bool:
        """Whether outputs legitimately differ between engines and machines by more than rounding."""
        return self.precision != "float32"


_TENSORFLOW, _ONNX = ("tensorflow",), ("tensorflow", "onnx", "tf2onnx")

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("tflite-fp32", ".tflite", "float32", _TENSORFLOW, tflite_fp32.convert),
        Format("tflite-fp16", ".tflite", "float16", _TENSORFLOW, tflite_fp16.convert),
        Format("tflite-dynamic", ".tflite", "dynamic", _TENSORFLOW, tflite_dynamic.convert),
        Format(
            "tflite-int8",
            ".tflite",
            "int8",
            _TENSORFLOW,
            partial(tflite_int8.convert, quantizer=TFLITE_CONVERTER),
            ((AI_EDGE_QUANTIZER, partial(tflite_int8.convert, quantizer=AI_EDGE_QUANTIZER)),),
            tflite_int8.convert_partly,
        ),
        Format("onnx-fp32", ".onnx", "float32", _ONNX, onnx_fp32.convert),
        Format("onnx-int8", ".onnx", "int8", (*_ONNX, "onnxruntime"), onnx_int8.convert, partly=onnx_int8.convert),
    )
}


def converted(convert: Converter, network: Network, file: Path) -> dict[str, JsonValue]:
    """Let a converter write the file; whatever it falls over becomes a ConversionError."""
    try:
        return convert(network, file)
    except RipelineError:
        raise
    except Exception as error:  # converters are other people's code, with errors of every kind
        (said, *_) = [*str(error).strip().splitlines(), "no reason given"]
        raise ConversionError(
            f"The converter ended on {file.name} with {type(error).__name__}: {said}.",
            remedy="use the versions in requirements/dev.txt, or leave this format out (--formats)",
        ) from error


def parse_formats(names: Sequence[str], quantizer: str = DEFAULT_QUANTIZER) -> tuple[Format, ...]:
    """Formats by name, `all` for each; the float32 TFLite reference is always among them.

    Args:
        names: Of `FORMATS`, or `all`.
        quantizer: Who makes `tflite-int8`, one of `QUANTIZERS`.

    Raises InputError for an unknown name and, before any work is done, MissingExtraError for a converter that is not
    installed.
    """
    unknown = [name for name in names if name not in FORMATS and name != "all"]
    if unknown:
        raise InputError(
            f"Unknown format {', '.join(unknown)}.", expected=f"all, or some of {', '.join(FORMATS)}, comma-separated"
        )
    if quantizer not in QUANTIZERS:
        raise InputError(f"There is no quantizer {quantizer}.", expected=" or ".join(QUANTIZERS))
    wanted = set(FORMATS) if "all" in names else {*names, "tflite-fp32"}
    formats = tuple(_by(quantizer, one) for name, one in FORMATS.items() if name in wanted)
    for one in formats:
        missing = [package for package in one.packages if find_spec(package) is None]
        if missing:
            raise MissingExtraError(
                f"{one.name} needs {', '.join(missing)}, which is not installed.",
                remedy="pip install 'ripeline[export]', or choose other --formats",
            )
    return formats


def _by(quantizer: str, one: Format) -> Format:
    if one.name != "tflite-int8":
        return one
    if find_spec("ai_edge_quantizer") is None and quantizer == DEFAULT_QUANTIZER:
        return replace(one, others=(), partly=None)
    if quantizer == DEFAULT_QUANTIZER:
        return one
    ((_, convert),) = one.others
    return replace(
        one,
        packages=(*one.packages, "ai_edge_quantizer"),
        convert=convert,
        others=((DEFAULT_QUANTIZER, one.convert),),
    )
