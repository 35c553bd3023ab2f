"""ONNX artefacts through OpenVINO, for Intel processors and their graphics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class OpenVinoEngine:
    """A batch goes through as it is.

    Float networks compute in float32: OpenVINO's own default is bfloat16 where the processor has it, which moved
    probabilities by 0.08.
    """

    name = "openvino"

    def __init__(self, artefact: Path, threads: int) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._request: Any = openvino.Core().compile_model(str(artefact), "CPU", settings).create_infer_request()

    def logits(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `edge_runtime.ports.Engine`."""
        answer: npt.NDArray[np.float32] = self._request.infer([inputs])[0]
        return answer.copy()  # the next inference writes into the same memory
