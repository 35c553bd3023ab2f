"""Pixels on demand: whoever needs pictures reads those it needs, so that no data set has to fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec, to_model_input
from evaluation.dataset import Picture
from evaluation.picture import read_image


class Pictures(Protocol):
    """N pictures as a model sees them."""

    def __len__(self) -> int:
        """N."""
        ...

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The pictures at `rows`, `[len(rows), size_px, size_px, 3]` uint8 RGB. Safe to call from many threads."""
        ...


@dataclass(frozen=True, slots=True)
class FilePictures:
    """Picture files, decoded and preprocessed as on the line each time they are read."""

    pictures: Sequence[Picture]
    spec: InputSpec

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """See `Pictures.read`.

        Raises:
            InputError: A file has gone or is damaged.
        """
        batch = np.empty((len(rows), self.spec.size_px, self.spec.size_px, 3), np.uint8)
        for place, row in enumerate(rows):
            picture = self.pictures[row]
            batch[place] = to_model_input(read_image(picture.path), picture.box, self.spec)
        return batch


@dataclass(frozen=True, slots=True)
class InMemory:
    """Pictures that are there already, `[N, size_px, size_px, 3]` uint8 RGB."""

    inputs: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """See `Pictures.read`."""
        return self.inputs[np.asarray(rows, np.intp)]
