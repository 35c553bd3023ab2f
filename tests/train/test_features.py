"""The frozen part: the same numbers whoever computes them, and wherever they are kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import numpy.typing as npt
import pytest

from train import cache, engine
from train.backbone import build_backbone
from train.cache import Budget, StoredViews, StreamedViews, Views, cache_views
from train.engine import BATCH
from train.features import FrozenPart, pooled_features, view_of
from train.journal import Journal
from train.pictures import InMemory

CUTS = (98, 143)
N, VIEWS = 37, 3


class Counted:
    """Pictures that count how often they are read, and may break off."""

    def __init__(self, inputs: npt.NDArray[np.uint8], ends_after: int = 10**9) -> None:
        self.inputs, self.left, self.rows = inputs, ends_after, list[int]()

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.rows += rows
        return self.inputs[list(rows)]


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_backbone(96, 0.35, "none")


@pytest.fixture(scope="module")
def frozen(backbone: keras.Model) -> FrozenPart:
    return FrozenPart(backbone, CUTS, 1)


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (N, 96, 96, 3), np.uint8)


def filled(frozen: FrozenPart, pictures: Counted, folder: Path, budget_bytes: int) -> tuple[Views, ...]:
    return cache_views(
        frozen, pictures, name="some", views=VIEWS, seed=7, budget=Budget(budget_bytes), folder=folder / "cache",
        journal=Journal(folder / "state"), progress=lambda _done, _total: None,
    )  # fmt: skip


def everything(views: Views) -> npt.NDArray[np.float32]:
    """In an order of its own: last picture first."""
    rows = np.repeat(np.arange(N)[::-1], VIEWS)
    return views.gather(np.tile(np.arange(VIEWS), N), rows)


def test_memory_disk_and_streaming_give_the_same_bits(
    frozen: FrozenPart, pixels: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = filled(frozen, Counted(pixels), tmp_path / "a", 2**30)
    disk = filled(frozen, Counted(pixels), tmp_path / "b", 0)
    monkeypatch.setattr(cache, "SPARE_DISK", 1e15)
    streamed = filled(frozen, Counted(pixels), tmp_path / "c", 0)
    for output in range(3):
        kept, mapped = memory[output], disk[output]
        assert isinstance(kept, StoredViews)
        assert isinstance(mapped, StoredViews)
        assert not isinstance(kept.array, np.memmap)
        assert isinstance(mapped.array, np.memmap)
        assert isinstance(streamed[output], StreamedViews)
        expected = everything(kept)
        assert expected.shape == (N * VIEWS, *frozen.shapes[output])
        np.testing.assert_array_equal(everything(mapped), expected)
        np.testing.assert_array_equal(everything(streamed[output]), expected)
    np.testing.assert_array_equal(everything(memory[0])[0], frozen(pixels[-1:])[0][0])
    np.testing.assert_array_equal(everything(memory[0])[1], frozen(view_of(pixels[-1:], [N - 1], 1, 7))[0][0])


def test_the_smallest_outputs_get_the_memory(frozen: FrozenPart, pixels: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    sizes = [4 * N * VIEWS * int(np.prod(shape)) for shape in frozen.shapes]
    found = filled(frozen, Counted(pixels), tmp_path, sum(sorted(sizes)[:2]))
    on_disk = [isinstance(views, StoredViews) and isinstance(views.array, np.memmap) for views in found]
    assert on_disk == [size == max(sizes) for size in sizes]


def test_a_pass_to_disk_goes_on_where_it_was_interrupted_and_reads_each_picture_once(
    frozen: FrozenPart, pixels: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.journal.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        filled(frozen, Counted(pixels, ends_after=2), tmp_path, 0)
    rest = Counted(pixels)
    found = filled(frozen, rest, tmp_path, 0)
    assert rest.rows == list(range(2 * BATCH, N))
    again = Counted(pixels)
    whole = filled(frozen, again, tmp_path, 0)
    assert again.rows == []
    expected = filled(frozen, Counted(pixels), tmp_path / "fresh", 2**30)
    for one, other, wanted in zip(found, whole, expected, strict=True):
        np.testing.assert_array_equal(everything(one), everything(wanted))
        np.testing.assert_array_equal(everything(other), everything(wanted))


def test_a_file_is_on_the_disk_whole_before_it_is_filled(
    frozen: FrozenPart, pixels: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    """Else a disk that fills later ends the process with SIGBUS and no word."""

    class Looking(Counted):
        def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
            files = [file.stat() for file in (tmp_path / "cache").iterdir()]
            assert len(files) == len(frozen.shapes)
            assert all(file.st_blocks * 512 >= file.st_size > 0 for file in files)
            return super().read(rows)

    filled(frozen, Looking(pixels), tmp_path, 0)


def test_what_finds_no_room_on_disk_is_streamed_and_filled_once_there_is_room(
    frozen: FrozenPart, pixels: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(range(len(frozen.shapes)), key=lambda i: int(np.prod(frozen.shapes[i])))
    size = 4 * N * VIEWS * int(np.prod(frozen.shapes[largest]))
    allocate = os.posix_fallocate

    def full(handle: int, offset: int, length: int) -> None:
        if length == size:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(handle, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        found = filled(frozen, Counted(pixels), tmp_path, 0)
    assert [isinstance(views, StreamedViews) for views in found] == [i == largest for i in range(len(found))]
    assert not (tmp_path / f"cache/some-{largest}.f32").exists()
    again = filled(frozen, Counted(pixels), tmp_path, 0)
    assert isinstance(again[largest], StoredViews)
    np.testing.assert_array_equal(everything(again[largest]), everything(found[largest]))


def test_holes_of_a_file_that_is_there_are_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 2**20
    with (tmp_path / "some.f32").open("wb") as stream:
        stream.truncate(size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size // 2))
    assert not cache._allocate(tmp_path / "some.f32", size)


def test_tflite_is_taken_where_it_pays_and_agrees_with_keras_and_keras_otherwise(
    backbone: keras.Model, pixels: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def spied(name: str) -> None:
        build = getattr(engine, name)

        def wrapped(graph: object) -> object:
            run = build(graph)
            return lambda batch: (used.append(name), run(batch))[1]

        monkeypatch.setattr(engine, name, wrapped)

    spied("_tflite_engine")
    spied("_tensorflow_engine")
    pooled = backbone(pixels.astype(np.float32) / 127.5 - 1, training=False).numpy().mean(axis=(1, 2))

    monkeypatch.setattr(engine, "WORTH_CONVERTING", 1)
    fast = pooled_features(backbone, InMemory(pixels))
    assert used[-1] == "_tflite_engine"
    np.testing.assert_allclose(fast, pooled, atol=1e-4 * max(1.0, float(np.abs(pooled).max())))

    monkeypatch.setattr(engine, "LARGEST_DIFFERENCE", -1.0)
    slow = pooled_features(backbone, InMemory(pixels))
    assert used[-1] == "_tensorflow_engine"
    np.testing.assert_allclose(slow, pooled, rtol=1e-4, atol=1e-12)
