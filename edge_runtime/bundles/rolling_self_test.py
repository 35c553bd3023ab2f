"""The golden self-test again and again while the line runs, one input at a time, when there is nothing else to do."""

from __future__ import annotations

import numpy as np

from edge_runtime.bundles.bundle import Bundle
from edge_runtime.bundles.golden import Logits, SelfTest, compare
from edge_runtime.ports import Engine


class RollingSelfTest:
    """Memory that rots or a processor that overheats changes answers without any error.

    Args:
        bundle: Whose golden inputs are asked.
        artefact: That the engine runs.
        engine: The one that decides about fruit.
        every_s: From the end of one round to the beginning of the next.
    """

    def __init__(self, bundle: Bundle, artefact: str, engine: Engine, every_s: float) -> None:
        self._inputs, self._engine, self._every_s = bundle.golden.inputs, engine, every_s
        self._recorded = bundle.golden.logits[artefact, engine.name]
        self._keras = bundle.golden.keras_logits
        self._tolerance = bundle.record(artefact, engine.name).golden
        self._found: list[Logits] = []
        self._due_s: float | None = None

    def step(self, now_s: float, *, busy: bool = False) -> SelfTest | None:
        """Ask one more input if a round is due; the outcome when it was the last of its round.

        Who is `busy` is not held up until a round is late by as long as rounds lie apart: a line that never rests has
        its model tested too.
        """
        if self._due_s is None:
            self._due_s = now_s + self._every_s  # the engine was proven when it was opened
        if now_s < self._due_s + (self._every_s if busy else 0.0):
            return None
        place = len(self._found)
        self._found.append(self._engine.logits(self._inputs[place : place + 1]))
        if len(self._found) < len(self._inputs):
            return None
        outcome = compare(np.concatenate(self._found), self._recorded, self._keras, self._tolerance)
        self._found, self._due_s = [], now_s + self._every_s
        return outcome
