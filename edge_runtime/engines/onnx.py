"""ONNX artefacts through onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class OnnxEngine:
    """A batch goes through the session as it is."""

    name = "onnxruntime"

    def __init__(self, artefact: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(artefact), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exception types share no base but Exception
            raise RuntimeError(str(error)) from error
        self._input_name: str = self._session.get_inputs()[0].name
        self._output_names: list[str] = [self._session.get_outputs()[0].name]

    def logits(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `edge_runtime.ports.Engine`."""
        logits: npt.NDArray[np.float32] = self._session.run(self._output_names, {self._input_name: inputs})[0]
        return logits
