"""A model that stops answering as it did is noticed while it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import open_bundle
from edge_runtime.bundles.golden import SelfTest, open_proven_engine
from edge_runtime.bundles.rolling_self_test import RollingSelfTest
from edge_runtime.ports import Engine


class Rotting:
    """An engine whose answers shift once a bit has flipped."""

    def __init__(self, inner: Engine) -> None:
        self.name, self._inner = inner.name, inner
        self.shift = 0.0
        self.asked = 0

    def logits(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.asked += len(inputs)
        return self._inner.logits(inputs) + np.float32(self.shift)


def test_it_asks_one_input_at_a_time_and_notices_another_answer(bundle_dir: Path) -> None:
    bundle = open_bundle(bundle_dir)
    engine = Rotting(open_proven_engine(bundle, "onnx-fp32", "onnxruntime"))
    test = RollingSelfTest(bundle, "onnx-fp32", engine, every_s=60.0)
    inputs = len(bundle.golden.inputs)

    def outcomes(begin_s: float) -> list[SelfTest]:
        found = []
        for step in range(inputs):
            before = engine.asked
            outcome = test.step(begin_s + step / 100)
            assert engine.asked - before <= 1
            found += [outcome] if outcome is not None else []
        return found

    assert outcomes(0.0) == []
    assert engine.asked == 0, "it was proven a moment ago"
    (first,) = outcomes(61.0)
    assert first.passed
    assert outcomes(62.0 + inputs / 100) == [], "not before the next round is due"
    engine.shift = 0.05
    (second,) = outcomes(200.0)
    assert not second.passed
    assert "differ" in second.reason


def test_a_line_that_never_rests_is_tested_too_when_a_round_is_late_by_a_whole_one(bundle_dir: Path) -> None:
    bundle = open_bundle(bundle_dir)
    engine = Rotting(open_proven_engine(bundle, "onnx-fp32", "onnxruntime"))
    test = RollingSelfTest(bundle, "onnx-fp32", engine, every_s=60.0)
    inputs = len(bundle.golden.inputs)
    test.step(0.0, busy=True)
    assert test.step(119.0, busy=True) is None
    assert engine.asked == 0
    engine.shift = 0.05
    outcomes = [test.step(121.0 + frame / 30, busy=True) for frame in range(inputs)]
    assert engine.asked == inputs, "one a frame"
    assert outcomes[-1] is not None
    assert not outcomes[-1].passed
