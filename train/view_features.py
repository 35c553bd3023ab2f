"""Features of several views of several sets of pictures, in one pass through the backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from train.features import pooled_features, view_of
from train.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Views:
    """K views of each of N pictures, one after the other: row `i` is view `i % K` of picture `i // K`."""

    pictures: Pictures
    views: int
    seed: int

    def __len__(self) -> int:
        return len(self.pictures) * self.views

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """See `Pictures.read`."""
        # Every picture is decoded once, however many of its views are asked for.
        places = sorted({row // self.views for row in rows})
        plain = dict(zip(places, self.pictures.read(places), strict=True))
        return np.concatenate(
            [
                view_of(plain[row // self.views][None], [row // self.views], row % self.views, self.seed)
                for row in rows
            ]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Joined:
    """Several sets of pictures in a row."""

    parts: Sequence[Views]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """See `Pictures.read`; rows in rising order."""
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        wanted = np.asarray(rows)
        inside = [
            (part, wanted[(wanted >= start) & (wanted < start + len(part))] - start)
            for part, start in zip(self.parts, starts, strict=False)
        ]
        return np.concatenate([part.read(mine.tolist()) for part, mine in inside if len(mine)])


def view_features(
    backbone: keras.Model, parts: Sequence[Views], on_progress: Callable[[int, int], None]
) -> list[npt.NDArray[np.float32]]:
    """Pooled features of each part, `[n, views, channels]`; `on_progress` is told (done, in all)."""
    found = pooled_features(backbone, Joined(parts), on_progress)
    pieces = np.split(found, np.cumsum([len(part) for part in parts])[:-1])
    return [
        piece.reshape(len(part.pictures), part.views, found.shape[-1])
        for piece, part in zip(pieces, parts, strict=True)
    ]
