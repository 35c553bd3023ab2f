"""TFLite artefacts through `tflite-runtime` or its successor `ai-edge-litert`: the same interpreter under two names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt


class _TfliteEngine:
    """One image an invocation: on CPUs a batch gains nothing, and re-allocating for each batch size costs."""

    name: str
    _module: ClassVar[str]

    def __init__(self, artefact: Path, threads: int) -> None:
        interpreter_class: Any = import_module(self._module).Interpreter
        self._interpreter: Any = interpreter_class(model_path=str(artefact), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input_index: int = self._interpreter.get_input_details()[0]["index"]
        self._output_index: int = self._interpreter.get_output_details()[0]["index"]

    def logits(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `edge_runtime.ports.Engine`."""
        rows = []
        for start in range(len(inputs)):
            self._interpreter.set_tensor(self._input_index, inputs[start : start + 1])
            self._interpreter.invoke()
            rows.append(self._interpreter.get_tensor(self._output_index))
        return np.concatenate(rows)


class AiEdgeLitertEngine(_TfliteEngine):
    """Google's maintained interpreter, Python 3.10 and later."""

    name = "ai-edge-litert"
    _module = "ai_edge_litert.interpreter"


class TfliteRuntimeEngine(_TfliteEngine):
    """The interpreter of Debian 12 devices, Python 3.11 and earlier."""

    name = "tflite-runtime"
    _module = "tflite_runtime.interpreter"
