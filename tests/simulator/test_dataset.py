"""Labelled crops: counts, files and manifest, and pictures that a camera could have made."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.errors import InputError
from evaluation.dataset import read_dataset
from simulator.dataset import photograph, write_dataset
from simulator.fruit import LABELS, sample_fruit
from simulator.surroundings import SURROUNDINGS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dataset")
    write_dataset(path, per_class=5, image_size_px=64, seed=3)
    return path


def test_exactly_as_many_square_pictures_a_label_as_asked_for(folder: Path) -> None:
    for label in LABELS:
        pictures = [cv2.imread(str(path)) for path in sorted((folder / label).glob("*.jpg"))]
        assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 5
    assert (folder / "labels.txt").read_text().split() == list(LABELS)


def test_the_project_reads_it_without_a_notice(folder: Path) -> None:
    dataset = read_dataset(folder)
    assert dataset.labels == LABELS
    assert dataset.notices == ()
    assert len(dataset.items) == 20


def test_pictures_of_one_fruit_share_its_group_and_label(folder: Path) -> None:
    with (folder / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert Counter(row["label"] for row in rows) == dict.fromkeys(LABELS, 5)
    assert all(row["file"].startswith(row["label"] + "/") and row["group"] == row["fruit"] for row in rows)
    looks = Counter(row["fruit"] for row in rows)
    assert max(looks.values()) in (2, 3)
    assert len({(row["fruit"], row["label"]) for row in rows}) == len(looks)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_dataset(
        tmp_path / "again",
        per_class=5,
        image_size_px=64,
        seed=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    other = tmp_path / "other"
    write_dataset(other, per_class=1, image_size_px=64, seed=4)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    assert len(files) == 22
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert (folder / "ripe/0000.jpg").read_bytes() != (other / "ripe/0000.jpg").read_bytes()
    assert calls == [(done, 20) for done in range(1, 21)]
    assert (summary.images, summary.labels) == (20, LABELS)


def test_a_ripe_fruit_is_red_in_the_files(folder: Path) -> None:
    middle = cv2.imread(str(folder / "ripe" / "0000.jpg"))[20:44, 20:44].reshape(-1, 3).mean(axis=0)
    assert middle[2] > 1.5 * max(middle[0], middle[1])  # OpenCV reads BGR


def _red(number: int, surroundings: str) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(number)
    fruit = sample_fruit(rng, "ripe")
    crop = photograph(fruit, image_size_px=100, rng=rng, around=SURROUNDINGS[surroundings]).astype(int)
    return np.asarray(crop[..., 0] > 1.35 * np.maximum(crop[..., 1], crop[..., 2]), np.uint8)


def test_the_fruit_fills_the_crop_but_for_a_margin() -> None:
    """The largest red patch, which is a ripe fruit without its calyx, leaves room on every side."""
    spans = []
    for number in range(8):
        _, _, patches, _ = cv2.connectedComponentsWithStats(_red(number, "belt"))
        left, top, width, height, _ = max(patches[1:], key=lambda patch: patch[cv2.CC_STAT_AREA])
        assert min(left, top, 100 - left - width, 100 - top - height) >= 1
        spans.append(max(width, height))
    assert 65 < np.median(spans) < 93


def test_in_any_surroundings_some_fruit_have_red_neighbours_at_the_crops_edge() -> None:
    def at_edge(red: npt.NDArray[np.uint8]) -> bool:
        return bool(red[0].any() or red[-1].any() or red[:, 0].any() or red[:, -1].any())

    # On the belt there may be a scrap of a brown leaf.
    on_belt, anywhere = (sum(at_edge(_red(number, kind)) for number in range(12)) for kind in ("belt", "any"))
    assert on_belt <= 2
    assert on_belt + 2 <= anywhere <= 9


@pytest.mark.parametrize(("per_class", "size"), [(0, 64), (1, 8), (1, 5000)])
def test_senseless_sizes_are_refused(tmp_path: Path, per_class: int, size: int) -> None:
    with pytest.raises(InputError):
        write_dataset(tmp_path, per_class=per_class, image_size_px=size, seed=0)
