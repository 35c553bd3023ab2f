"""Inference engines, found by name; each adapter imports its library when it is constructed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.engines.onnx import OnnxEngine
from edge_runtime.engines.openvino import OpenVinoEngine
from edge_runtime.engines.tflite import AiEdgeLitertEngine, TfliteRuntimeEngine
from edge_runtime.errors import EngineError
from edge_runtime.ports import Engine
from edge_runtime.quiet import native_stderr_silenced

ENGINES: dict[str, Callable[[Path, int], Engine]] = {
    "ai-edge-litert": AiEdgeLitertEngine,
    "tflite-runtime": TfliteRuntimeEngine,
    "onnxruntime": OnnxEngine,
    "openvino": OpenVinoEngine,
}
_MODULES = {
    "ai-edge-litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
_EXTRAS = {"ai-edge-litert": "litert", "tflite-runtime": "edge", "onnxruntime": "onnx", "openvino": "openvino"}
_BY_SUFFIX = {".tflite": ("ai-edge-litert", "tflite-runtime"), ".onnx": ("onnxruntime", "openvino")}


def engines_for(artefact: Path) -> tuple[str, ...]:
    """Names of the engines that can run a file of this kind, installed or not."""
    return _BY_SUFFIX.get(artefact.suffix, ())


def is_installed(engine: str) -> bool:
    """Whether the engine's library is there; nothing is imported."""
    return find_spec(_MODULES[engine]) is not None


def open_engine(engine: str, artefact: Path, threads: int = 1) -> Engine:
    """Load an artefact; raises EngineError when the engine is unknown, missing or refuses the file."""
    if engine not in ENGINES:
        raise EngineError(f"There is no engine named {engine}.", expected=f"one of {', '.join(ENGINES)} or auto")
    if engine not in engines_for(artefact):
        raise EngineError(
            f"{engine} does not run {artefact.suffix} files ({artefact.name}).",
            expected=f"one of {', '.join(engines_for(artefact))} for this artefact",
        )
    if not is_installed(engine):
        raise EngineError(f"The engine {engine} is not installed.", remedy=f"pip install 'ripeline[{_EXTRAS[engine]}]'")
    try:
        with native_stderr_silenced():
            return ENGINES[engine](artefact, threads)
    except (RuntimeError, ValueError, OSError, SystemError, ImportError) as error:
        raise EngineError(
            f"{engine} cannot load {artefact}: {error}",
            remedy="try another --engine or --artefact; `ripeline check BUNDLE` tells which ones work here",
        ) from error
