"""Outputs of the frozen part for K views of N pictures: in memory up to a budget, else on disk, else made anew."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from train.features import FrozenPart, batches, in_threads, view_of
from train.journal import Journal, State
from train.pictures import Pictures

SPARE_DISK = 1.1
"""A cache goes to disk only where this many times its size is free."""
_BLOCK_BYTES = 512
"""Of `st_blocks`, whatever the file system's own are."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Views(Protocol):
    """K views of N pictures after the frozen part, float32."""

    @property
    def views(self) -> int:
        """K."""
        ...

    @property
    def pictures(self) -> int:
        """N."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        ...

    def gather(self, views: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """View `views[i]` of picture `rows[i]` for every i, `[n, *shape]`."""
        ...


@dataclass(frozen=True, slots=True)
class Examples:
    """`views` of N pictures and their labels, `truth` `[N]` int64."""

    views: Views
    truth: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredViews:
    """`array` is `[N, K, *shape]` float32, in memory or mapped from a file."""

    array: npt.NDArray[np.float32]

    @property
    def views(self) -> int:
        """K."""
        return int(self.array.shape[1])

    @property
    def pictures(self) -> int:
        """N."""
        return int(self.array.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        return self.array.shape[2:]

    def gather(self, views: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """See `Views.gather`."""
        if not isinstance(self.array, np.memmap):
            return self.array[rows, views]
        # Read, not mapped: the kernel maps a dozen pages around each row, which all count as this process's memory.
        taken = np.empty((len(rows), *self.shape), np.float32)
        with Path(str(self.array.filename)).open("rb", buffering=0) as file:
            for place, at in zip(taken, (rows * self.views + views).tolist(), strict=True):
                file.seek(at * place.nbytes)
                file.readinto(place)
        return taken

    def release(self) -> None:
        """Let go of the pages that were written; what is on disk stays there."""
        if isinstance(self.array, np.memmap):
            self.array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class StreamedViews:
    """Nothing is kept: every view runs through the frozen part each time it is asked for."""

    frozen: FrozenPart
    output: int
    source: Pictures
    views: int
    seed: int

    @property
    def pictures(self) -> int:
        """N."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        return self.frozen.shapes[self.output]

    def gather(self, views: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """See `Views.gather`."""
        found = np.empty((len(rows), *self.shape), np.float32)

        def work(places: Sequence[int]) -> None:
            pixels = [view_of(self.source.read([rows[i]]), [int(rows[i])], int(views[i]), self.seed) for i in places]
            found[places[0] : places[-1] + 1] = self.frozen(np.concatenate(pixels))[self.output]

        in_threads(work, batches(range(len(rows))))
        return found


class Budget:
    """Bytes of memory that caches may take, together; `left` are those that none has taken."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def take(self, size_bytes: int) -> bool:
        """Whether that much was left; if so it is gone."""
        fits = size_bytes <= self.left
        self.left -= size_bytes if fits else 0
        return fits


def cache_views(
    frozen: FrozenPart,
    pictures: Pictures,
    *,
    name: str,
    views: int,
    seed: int,
    budget: Budget,
    folder: Path,
    journal: Journal,
    progress: Callable[[int, int], None],
) -> tuple[Views, ...]:
    """Run every view of every picture through the frozen part once.

    Args:
        frozen: The frozen part.
        pictures: N pictures.
        name: Of the stage, and of the files on disk.
        views: K; view 0 is the picture as it is, the others are augmented.
        seed: Of the augmentation.
        budget: Memory for those that fit, the smallest first.
        folder: Where the others go.
        journal: Remembers how far a pass that fills only files has come.
        progress: Told how many of how many pictures are done.

    Returns:
        One for each of the frozen part's outputs.
    """
    found: dict[int, StoredViews | StreamedViews] = {}
    for output in sorted(range(len(frozen.shapes)), key=lambda i: prod(frozen.shapes[i])):
        shape = (len(pictures), views, *frozen.shapes[output])
        size = prod(shape) * np.dtype(np.float32).itemsize
        if budget.take(size):
            found[output] = StoredViews(np.empty(shape, np.float32))
        elif _allocate(file := folder / f"{name}-{output}.f32", size):
            found[output] = StoredViews(np.memmap(file, np.float32, "r+", shape=shape))
        else:
            found[output] = StreamedViews(frozen, output, pictures, views, seed)
    stores = {output: one for output, one in found.items() if isinstance(one, StoredViews)}
    if stores:
        _fill(frozen, pictures, name, views, seed, stores, journal, progress)
    return tuple(found[output] for output in range(len(found)))


def _allocate(file: Path, size_bytes: int) -> bool:
    """Whether the disk has room for the file, which then is taken: writing to it through a map cannot fail (SIGBUS)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    taken = file.stat().st_blocks * _BLOCK_BYTES if file.is_file() else 0
    if shutil.disk_usage(file.parent).free + taken < SPARE_DISK * size_bytes:
        return False
    with file.open("ab") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, size_bytes)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        else:
            return True
    file.unlink()
    return False


def _fill(
    frozen: FrozenPart,
    pictures: Pictures,
    name: str,
    views: int,
    seed: int,
    stores: dict[int, StoredViews],
    journal: Journal,
    progress: Callable[[int, int], None],
) -> None:
    lasting = all(isinstance(store.array, np.memmap) for store in stores.values())

    def of_these(state: State | None) -> State | None:
        """For a file that was not filled then, because the disk was full, nothing has been done."""
        return state if state and set(stores) <= set(state.facts["outputs"]) else None

    if lasting and of_these(journal.finished(name)):
        return
    earlier = of_these(journal.under_way(name)) if lasting else None
    pieces = batches(range(len(pictures)))
    skipped = int(earlier.facts["pieces"]) if earlier else 0

    def work(rows: Sequence[int]) -> None:
        plain = pictures.read(rows)
        for view in range(views):
            outputs = frozen(view_of(plain, rows, view, seed))
            for output, store in stores.items():
                store.array[rows[0] : rows[-1] + 1, view] = outputs[output]

    def written(done: int) -> State:
        _sync(stores)
        return State({"pieces": done, "outputs": sorted(stores)})

    def finished(done: int) -> None:
        if lasting:
            journal.save(name, lambda: written(skipped + done))
        for store in stores.values():
            store.release()
        progress(min((skipped + done) * len(pieces[0]), len(pictures)), len(pictures))

    in_threads(work, pieces[skipped:], finished)
    if lasting:
        journal.finish(name, written(len(pieces)))


def _sync(stores: dict[int, StoredViews]) -> None:
    for store in stores.values():
        if isinstance(store.array, np.memmap):
            store.array.flush()
