"""Pictures that cannot show ripeness, and pictures that are there twice."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from evaluation.dataset import Dataset, read_dataset
from train.audit import Finding, Kind, Severity, quick_audit, summarise
from train.audit.duplicates import CANDIDATE_BITS, NEAREST, candidates
from train.audit.looks import HASH_BITS, blur_effect, look_at, perceptual_hash, poses

Pixels = npt.NDArray[np.uint8]
Change = Callable[[Path, Path, Callable[[Pixels], Pixels]], None]
ABOUT_PICTURES = {Kind.SMALL, Kind.DARK, Kind.BRIGHT, Kind.BLURRED}
ABOUT_COPIES = {Kind.CONTRADICTION, Kind.LEAK, Kind.DUPLICATE}


def audited(folder: Path) -> tuple[Finding, ...]:
    return quick_audit(read_dataset(folder, every_label=False)).findings


def of(findings: tuple[Finding, ...], kinds: set[Kind]) -> list[tuple[Kind, tuple[str, ...]]]:
    return [(finding.kind, finding.files) for finding in findings if finding.kind in kinds]


def regroup(folder: Path, group: Callable[[str, str], str]) -> None:
    """Give each picture the group that a function makes of its file and its group so far; new files have none."""
    with (folder / "manifest.csv").open(encoding="utf-8") as stream:
        known = {row["file"]: row["group"] for row in csv.DictReader(stream)}
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.jpg"))]
    lines = [f"{file},{group(file, known.get(file, ''))}" for file in files]
    (folder / "manifest.csv").write_text("\n".join(["file,group", *lines]))


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (Kind.DARK, lambda image: (image * 0.15).astype(np.uint8)),
        (Kind.DARK, np.zeros_like),
        (Kind.BRIGHT, lambda image: cv2.convertScaleAbs(image, alpha=4, beta=150)),
        (Kind.BRIGHT, lambda image: np.full_like(image, 255)),
        (Kind.BLURRED, lambda image: cv2.GaussianBlur(image, (0, 0), 4)),
        (Kind.BLURRED, lambda image: cv2.blur(image, (31, 1))),
        (Kind.BLURRED, lambda image: np.full_like(image, 120)),
        (Kind.SMALL, lambda image: cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA)),
    ],
    ids=["dark", "black", "bright", "white", "out of focus", "moved", "flat", "tiny"],
)
def test_a_picture_that_shows_nothing_is_named_and_no_other(
    data: Path, change: Change, kind: Kind, make: Callable[[Pixels], Pixels]
) -> None:
    assert of(audited(data), ABOUT_PICTURES) == []
    spoiled = data / "ripe/0003.jpg"
    change(spoiled, spoiled, make)
    assert of(audited(data), ABOUT_PICTURES) == [(kind, ("ripe/0003.jpg",))]


def test_a_fruit_in_a_dark_picture_is_judged_by_its_box(data: Path, change: Change) -> None:
    def on_black(image: Pixels) -> Pixels:
        return cv2.copyMakeBorder(image, 0, 500, 0, 500, cv2.BORDER_CONSTANT, value=(0, 0, 0))

    change(data / "ripe/0003.jpg", data / "ripe/0003.jpg", on_black)
    assert of(audited(data), {Kind.DARK}) == [(Kind.DARK, ("ripe/0003.jpg",))]
    (data / "manifest.csv").write_text("file,box_px\nripe/0003.jpg,0 0 96 96\n")
    assert of(audited(data), {Kind.DARK}) == []


def test_unreadable_files_are_serious_and_the_first_to_be_told(data: Path) -> None:
    whole = (data / "ripe/0000.jpg").read_bytes()
    (data / "ripe/0000.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "unripe/text.jpg").write_text("no picture")
    first, second = audited(data)[:2]
    assert {first.files, second.files} == {("ripe/0000.jpg",), ("unripe/text.jpg",)}
    assert (first.kind, first.severity) == (Kind.UNREADABLE, Severity.SERIOUS)
    summary = summarise(audited(data))[0]
    assert summary.count == 2
    assert "ripe/0000.jpg" in summary.text


def crop(image: Pixels) -> Pixels:
    return image[3:-1, 2:-2]


@pytest.mark.parametrize(
    "make",
    [
        lambda image: image,
        lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
        lambda image: image[:, ::-1],
        np.rot90,
        lambda image: np.rot90(image, 3)[:, ::-1],
        crop,
        lambda image: crop(image)[:, ::-1],
        lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=5),
    ],
    ids=["saved again", "smaller", "mirrored", "turned", "turned and mirrored", "cropped", "both", "brighter"],
)
def test_a_changed_copy_in_another_group_is_found_and_groups_csv_puts_it_right(
    data: Path, change: Change, make: Callable[[Pixels], Pixels]
) -> None:
    change(data / "ripe/0005.jpg", data / "ripe/copy.jpg", make)
    regroup(data, lambda _, group: group or "another")
    findings = audited(data)
    assert of(findings, ABOUT_COPIES) == [(Kind.LEAK, ("ripe/0005.jpg", "ripe/copy.jpg"))]
    assert next(f for f in findings if f.kind is Kind.LEAK).severity is Severity.WARNING
    dataset = read_dataset(data)
    groups = dict(zip([item.file for item in dataset.items], quick_audit(dataset).groups, strict=True))
    assert groups["ripe/0005.jpg"] == groups["ripe/copy.jpg"]
    regroup(data, lambda file, _: groups[file])
    assert of(audited(data), ABOUT_COPIES) == [(Kind.DUPLICATE, ("ripe/0005.jpg", "ripe/copy.jpg"))]


def test_a_copied_file_across_labels_and_groups_is_serious(data: Path) -> None:
    shutil.copy(data / "ripe/0007.jpg", data / "unripe/copy.jpg")
    (data / "manifest.csv").unlink()
    [finding] = [f for f in audited(data) if f.kind in ABOUT_COPIES]  # one file, one group: no leak
    assert (finding.kind, finding.severity) == (Kind.CONTRADICTION, Severity.SERIOUS)
    assert finding.files == ("unripe/copy.jpg", "ripe/0007.jpg")
    (data / "manifest.csv").write_text("file,group\nunripe/copy.jpg,other\n")
    found = {f.kind: f.severity for f in audited(data) if f.kind in ABOUT_COPIES}
    assert found == {Kind.CONTRADICTION: Severity.SERIOUS, Kind.LEAK: Severity.SERIOUS}


def test_without_near_copies_those_of_whole_files_are_found_and_nothing_is_kept_for_the_others(
    data: Path, change: Change
) -> None:
    shutil.copy(data / "ripe/0007.jpg", data / "ripe/whole.jpg")
    change(data / "ripe/0005.jpg", data / "ripe/changed.jpg", lambda image: image)
    (data / "manifest.csv").unlink()
    dataset = read_dataset(data)
    everything, whole = quick_audit(dataset), quick_audit(dataset, near_copies=False)
    assert {files for _, files in of(everything.findings, ABOUT_COPIES)} == {
        ("ripe/0005.jpg", "ripe/changed.jpg"), ("ripe/0007.jpg", "ripe/whole.jpg"),
    }  # fmt: skip
    assert of(whole.findings, ABOUT_COPIES) == [(Kind.DUPLICATE, ("ripe/0007.jpg", "ripe/whole.jpg"))]
    assert of(whole.findings, ABOUT_PICTURES) == of(everything.findings, ABOUT_PICTURES)
    looks = look_at(dataset.items, near_copies=False)
    assert looks.hashes.nbytes == looks.thumbnails.nbytes == 0
    np.testing.assert_array_equal(looks.blur, look_at(dataset.items).blur)


def test_two_fruits_of_one_picture_are_no_copies_of_each_other(data: Path) -> None:
    shutil.copy(data / "ripe/0007.jpg", data / "ripe/copy.jpg")
    (data / "manifest.csv").write_text("file,box_px\nripe/0007.jpg,0 0 40 40\nripe/copy.jpg,50 50 40 40\n")
    assert of(audited(data), ABOUT_COPIES) == []


def test_candidates_are_all_pairs_within_the_radius_in_their_best_pose() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (600, 8, HASH_BITS // 8), np.uint8)
    hashes[550, 0] = hashes[3, 5]  # a copy in another pose, in another block
    hashes[550, 0, 0] ^= 0b111
    hashes[9] = hashes[4]
    bits = np.unpackbits(hashes, axis=2)
    expected = set()
    for first in range(600):
        apart = (bits[first][:, None] != bits[None, first + 1 :, 0]).sum(axis=2)
        for offset in np.flatnonzero(apart.min(axis=0) <= CANDIDATE_BITS):
            expected.add((first, first + 1 + int(offset), int(apart[:, offset].min())))
    found = candidates(hashes)
    assert set(zip(found.first.tolist(), found.second.tolist(), found.bits.tolist(), strict=True)) == expected
    assert {(3, 550, 3), (4, 9, 0)} <= expected
    pose = {(a, b): p for a, b, p in zip(found.first, found.second, found.pose, strict=True)}
    assert (pose[3, 550], pose[4, 9]) == (5, 0)


def test_no_more_candidates_than_the_nearest_few_for_each_picture() -> None:
    hashes = np.zeros((50, 8, HASH_BITS // 8), np.uint8)
    found = candidates(hashes)
    assert np.bincount(found.first).max() == NEAREST


def test_poses_are_eight_and_the_hash_knows_a_picture_through_jpeg(simulated: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (48, 48), np.uint8)
    assert len({pose.tobytes() for pose in poses(noise)}) == 8
    np.testing.assert_array_equal(poses(noise)[0], noise)
    looks = look_at(read_dataset(simulated).items)
    again = cv2.imdecode(cv2.imencode(".jpg", looks.thumbnails[0])[1], cv2.IMREAD_GRAYSCALE)
    apart = np.unpackbits(perceptual_hash(again) ^ looks.hashes[0, 0]).sum()
    others = np.unpackbits(looks.hashes[1:, 0] ^ looks.hashes[0, 0], axis=1).sum(axis=1)
    assert apart < 10 < others.min()


def test_blur_rises_with_blur_and_not_with_contrast(simulated: Path) -> None:
    grey = cv2.imread(str(simulated / "ripe/0000.jpg"), cv2.IMREAD_GRAYSCALE)
    levels = [blur_effect(cv2.GaussianBlur(grey, (0, 0), sigma)) for sigma in (0.5, 1, 2, 3, 5)]
    assert levels == sorted(levels)
    assert blur_effect(grey // 2) == pytest.approx(blur_effect(grey), abs=0.05)
    assert blur_effect(np.zeros_like(grey)) == 1.0


def test_labels_that_cannot_train_are_serious_and_few_pictures_say_what_to_expect(data: Path) -> None:
    for file in (data / "spoiled").iterdir():
        file.unlink()
    for file in (data / "unripe").iterdir():
        file.write_text("no")
    (data / "manifest.csv").unlink()
    findings = audited(data)
    empty = [f.sentence for f in findings if f.kind is Kind.LABELS]
    assert len(empty) == 2
    assert any("spoiled" in text and "no pictures" in text for text in empty)
    assert any("unripe" in text and "none of its 20 pictures" in text for text in empty)
    few = [f.sentence for f in findings if f.kind is Kind.FEW]
    assert len(few) == 2
    assert all("20 pictures" in text and "recall of 90%" in text for text in few)
    one = read_dataset(data, ["ripe"], every_label=False)
    assert "only the label ripe" in next(f.sentence for f in quick_audit(one).findings if f.kind is Kind.LABELS)


def test_a_rare_label_is_noted(data: Path) -> None:
    (data / "manifest.csv").unlink()
    for number in range(3, 20):
        (data / f"ripe/{number:04d}.jpg").unlink()
    [finding] = [f for f in audited(data) if f.kind is Kind.IMBALANCE]
    assert "7 pictures" in finding.sentence
    assert "'ripe'" in finding.sentence


def test_progress_ends_with_all_pictures(simulated: Path) -> None:
    told: list[tuple[int, int]] = []
    dataset: Dataset = read_dataset(simulated)
    quick_audit(dataset, lambda done, total: told.append((done, total)))
    assert told[-1] == (80, 80)
