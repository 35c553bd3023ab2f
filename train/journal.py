"""What a run has achieved so far, on disk, so that a killed one goes on instead of beginning again.

A run is a row of stages. Each takes all its randomness from the seed and its own name, so that a finished stage can be
replaced by what it left here, and an unfinished one goes on from its last state, without changing a bit of the result.
"""

from __future__ import annotations

import io
import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError

SAVE_EVERY_S = 5.0
_FACTS = "facts"


@dataclass(frozen=True, slots=True)
class State:
    """Of a stage: `facts` that JSON can hold, and arrays by name."""

    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class Journal:
    """Finished stages and the state of those under way; without a folder it keeps nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._saved_at = time.monotonic()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def finished(self, stage: str) -> State | None:
        """What the stage left when it ended; None if it has not."""
        return self._read(f"{stage}.done.npz")

    def under_way(self, stage: str) -> State | None:
        """The last state saved of a stage that has not ended."""
        return self._read(f"{stage}.part.npz")

    def save(self, stage: str, state: Callable[[], State]) -> None:
        """Save the state of a stage, unless the last time was just now."""
        if self._folder is not None and time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self._write(f"{stage}.part.npz", state())
            self._saved_at = time.monotonic()

    def finish(self, stage: str, state: State) -> None:
        """Save what the stage leaves."""
        if self._folder is not None:
            self._write(f"{stage}.done.npz", state)
            (self._folder / f"{stage}.part.npz").unlink(missing_ok=True)

    def _read(self, name: str) -> State | None:
        if self._folder is None or not (self._folder / name).is_file():
            return None
        try:
            with np.load(self._folder / name, allow_pickle=False) as stored:
                arrays = dict(stored)
            return State(json.loads(arrays.pop(_FACTS).tobytes()), arrays)
        except (BadZipFile, ValueError, KeyError, EOFError) as error:
            raise InputError(
                f"{self._folder / name} is damaged: the run cannot go on from it.",
                remedy="Begin again: ripeline train DATA -o RUN --force",
            ) from error

    def _write(self, name: str, state: State) -> None:
        """Whole or not at all, even if the power fails."""
        assert self._folder is not None
        facts = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **{_FACTS: facts}, **state.arrays)
        aside = self._folder / f".{name}"
        with aside.open("wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(self._folder / name)


def stage_rng(seed: int, stage: str, epoch: int) -> np.random.Generator:
    """The chance of one epoch of one stage, whatever happened before it."""
    return np.random.default_rng((seed, zlib.crc32(stage.encode()), epoch))
