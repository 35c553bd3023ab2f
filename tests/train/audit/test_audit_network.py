"""What a frozen network's features say about labels and sources, and what is written about it."""

from __future__ import annotations

import csv
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from evaluation.dataset import Dataset, Item, read_dataset
from train.audit import Finding, Kind, Severity, quick_audit, summarise
from train.audit.confounding import confounding_findings, given_away, visible_sources
from train.audit.full import Audit, audit, network_features
from train.audit.labels import label_findings
from train.audit.page import write_page
from train.audit.probe import held_out_probabilities
from train.audit.tables import document, write_findings, write_groups

Pixels = npt.NDArray[np.uint8]
Change = Callable[[Path, Path, Callable[[Pixels], Pixels]], None]
LABELS = ("unripe", "ripe")


def item(number: int, label: str, source: str | None = None, group: str | None = None) -> Item:
    file = f"{label}/{number}.jpg"
    name = group or str(number)
    return Item(path=Path(file), file=file, sha256=str(number), label=label, group=name, source=source)


def made_up(sources: list[tuple[str, str, int]]) -> Dataset:
    """Items without files: label, source, how many."""
    items: list[Item] = []
    for label, source, count in sources:
        items += [item(len(items) + i, label, source) for i in range(count)]
    return Dataset(Path("data"), LABELS, tuple(items), (), 0, ())


def clouds(truth: npt.NDArray[np.int64], seed: int = 0, apart: float = 1.0) -> npt.NDArray[np.float32]:
    """Features in which classes differ along the first few of 40 axes."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((truth.max() + 1, 40))
    centres[:, :8] = rng.choice((-apart, apart), (truth.max() + 1, 8))
    return (centres[truth] + rng.normal(0, 1, (len(truth), 40))).astype(np.float32)


def test_swapped_labels_are_named_first_with_the_right_suggestion() -> None:
    truth = np.arange(300) % 3
    features = clouds(truth, apart=2.0)
    given = truth.copy()
    swapped = np.arange(0, 300, 37)
    given[swapped] = (given[swapped] + 1) % 3
    labels = ("a", "b", "c")
    items = [item(i, labels[one]) for i, one in enumerate(given)]
    probabilities = held_out_probabilities(features, given, np.arange(300).astype(str))
    assert probabilities is not None
    findings = sorted(label_findings(items, labels, given, probabilities), key=lambda f: -f.score)
    first = {found.files[0]: found.suggested_label for found in findings[: len(swapped)]}
    assert first == {items[i].file: labels[truth[i]] for i in swapped}
    assert len(findings) <= 2 * len(swapped)


def test_the_probe_never_answers_about_a_group_it_learned_from() -> None:
    """Features that tell the group but not the label: whoever learned from the group would be right."""
    groups = np.repeat(np.arange(60), 2)
    truth = np.random.default_rng(0).permutation(np.arange(60) % 2)[groups]
    features = np.eye(60, dtype=np.float32)[groups]
    probabilities = held_out_probabilities(features, truth, groups.astype(str))
    assert probabilities is not None
    assert (probabilities.argmax(axis=1) == truth).mean() < 0.65


def test_a_label_of_one_group_cannot_be_held_out() -> None:
    truth = np.array([0] * 10 + [1] * 10)
    groups = np.array(["one"] * 10 + [str(i) for i in range(10)])
    assert held_out_probabilities(clouds(truth), truth, groups) is None


def test_given_away_is_what_the_source_says_about_the_label() -> None:
    assert given_away(np.array([[10, 0], [0, 30]])) == pytest.approx([1, 1])
    assert given_away(np.array([[10, 20], [30, 60]])) == pytest.approx([0.5, 0.5])
    # Half of the second label comes from a source of its own, half from one with everything of the first.
    assert given_away(np.array([[10, 15], [0, 15]])) == pytest.approx([2 / 3, 0.5 / 3 + 0.5])
    assert np.isnan(given_away(np.array([[10, 0], [10, 0]]))[1])


def test_sources_that_show_are_seen_and_those_that_do_not_are_not() -> None:
    dataset = made_up([("ripe", "a", 60), ("ripe", "b", 60), ("unripe", "a", 60), ("unripe", "b", 5)])
    source = np.array([one.source == "b" for one in dataset.items]).astype(np.int64)
    groups = [one.group for one in dataset.items]
    seen = visible_sources(dataset.items, clouds(source), groups)
    assert list(seen) == ["ripe"]  # five pictures are too few to ask about the other label
    assert seen["ripe"] > 0.8
    assert abs(visible_sources(dataset.items, clouds(np.zeros_like(source)), groups)["ripe"]) < 0.3


def test_a_confounded_label_is_a_warning_unless_its_source_cannot_be_seen() -> None:
    apart = made_up([("ripe", "a", 50), ("unripe", "b", 50)])
    [first, second] = confounding_findings(apart, {})
    assert {first.severity, second.severity} == {Severity.WARNING}
    assert "50 of its 50" in first.sentence
    assert {f.severity for f in confounding_findings(apart, {"ripe": 0.9})} == {Severity.WARNING}
    assert {f.severity for f in confounding_findings(apart, {"ripe": 0.02})} == {Severity.NOTE}
    mixed = made_up([("ripe", "a", 50), ("unripe", "b", 50), ("ripe", "b", 50), ("unripe", "a", 50)])
    assert confounding_findings(mixed, {"ripe": 0.9}) == []
    unknown = replace(apart, items=tuple(replace(one, source=None) for one in apart.items))
    assert confounding_findings(unknown, {}) == []


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory, simulated: Path) -> Audit:
    """A whole audit of simulated data with a wrong label, a copy across labels and a file that is none."""
    folder = Path(shutil.copytree(simulated, tmp_path_factory.mktemp("spoiled") / "data"))
    (folder / "manifest.csv").unlink()
    (folder / "unripe/0004.jpg").rename(folder / "ripe/swapped.jpg")
    shutil.copy(folder / "turning/0001.jpg", folder / "ripe/copy.jpg")
    (folder / "ripe/none.jpg").write_text("no picture")
    told: list[str] = []
    features_of = network_features("starter", 0.35, 96)
    found = audit(read_dataset(folder, every_label=False), features_of, lambda stage, _done, _total: told.append(stage))
    assert list(dict.fromkeys(told)) == ["pictures", "features", "probe"]
    return found


def test_a_whole_audit_finds_what_was_planted(spoiled: Audit) -> None:
    assert spoiled.serious
    assert [f.kind for f in spoiled.findings[:2]] == [Kind.UNREADABLE, Kind.CONTRADICTION]
    doubtful = {f.files[0]: f.suggested_label for f in spoiled.findings if f.kind is Kind.MISLABELLED}
    assert doubtful["ripe/swapped.jpg"] == "unripe"
    assert len(doubtful) <= 8
    assert spoiled.probe_accuracy is not None
    assert spoiled.probe_accuracy > 0.8


def test_the_csv_has_a_line_for_each_file_and_groups_csv_is_a_manifest(spoiled: Audit, tmp_path: Path) -> None:
    write_findings(tmp_path / "audit.csv", spoiled)
    with (tmp_path / "audit.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(max(1, len(f.files)) for f in spoiled.findings)
    copy = [row for row in rows if row["kind"] == "contradiction"]
    assert [(row["file"], row["label"], row["severity"]) for row in copy] == [
        ("turning/0001.jpg", "turning", "serious"),
        ("ripe/copy.jpg", "ripe", "serious"),
    ]
    assert len({row["finding"] for row in copy}) == 1
    swapped = next(row for row in rows if row["file"] == "ripe/swapped.jpg" and row["kind"] == "mislabelled")
    assert swapped["suggested_label"] == "unripe"

    folder = Path(shutil.copytree(spoiled.dataset.folder, tmp_path / "data"))
    write_groups(folder / "manifest.csv", spoiled)
    again = read_dataset(folder, every_label=False)
    assert [one.file for one in again.items] == [one.file for one in spoiled.dataset.items]
    assert [one.group for one in again.items] == list(spoiled.groups)


def test_the_document_agrees_with_the_findings(spoiled: Audit) -> None:
    said = document(spoiled)
    assert said["serious"] is True
    assert said["counts"] == {s: sum(f.severity is s for f in spoiled.findings) for s in Severity}
    assert said["unreadable"] == 1
    assert sum(said["pictures"].values()) == 81  # type: ignore[attr-defined]


def test_the_page_shows_the_pictures_and_loads_nothing(spoiled: Audit, tmp_path: Path) -> None:
    write_page(tmp_path / "audit.html", spoiled)
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    tiles = sum(len(f.files) for f in spoiled.findings if f.kind is not Kind.UNREADABLE)
    assert page.count('src="data:image/jpeg') == tiles
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "ripe/none.jpg" in page
    assert "Not as it is" in page


def test_a_page_about_nothing_and_one_about_empty_labels_can_be_written(simulated: Path, tmp_path: Path) -> None:
    dataset = read_dataset(simulated)
    write_page(tmp_path / "good.html", Audit(dataset, (), tuple(one.group for one in dataset.items)))
    assert "nothing stands in the way" in (tmp_path / "good.html").read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    nothing = audit(read_dataset(tmp_path / "empty", every_label=False), None)
    assert nothing.serious
    write_page(tmp_path / "bad.html", nothing)
    assert "There are no labels." in (tmp_path / "bad.html").read_text(encoding="utf-8")


def test_summaries_name_few_files_and_keep_all() -> None:
    found = [
        Finding(kind=Kind.DARK, severity=Severity.WARNING, sentence="Dark.", files=(f"ripe/{i}.jpg",), score=i)
        for i in range(9)
    ]
    found.append(
        Finding(kind=Kind.LABELS, severity=Severity.SERIOUS, sentence="Label 'x' is empty: it has no pictures.")
    )
    worst, dark = summarise(found)
    assert worst.text == "Label 'x' is empty: it has no pictures."
    assert dark.text.endswith("ripe/8.jpg, ripe/7.jpg, ripe/6.jpg, ripe/5.jpg, ripe/4.jpg and 4 more.")
    assert len(dark.pictures) == 9


@pytest.fixture(scope="module")
def real(real_data: Path) -> tuple[Dataset, npt.NDArray[np.float32]]:
    """The real photographs of three labels with their features at 96 px."""
    dataset = read_dataset(real_data / "data/strawberry_train", ["unripe", "turning", "ripe"])
    weights = str(real_data / "weights/mobilenet_v2_0.35_224_no_top.weights.h5")
    return dataset, network_features(weights, 0.35, 96)(dataset, lambda _done, _total: None)


def test_real_photographs_swapped_labels_are_among_the_thirty_most_doubtful(
    real: tuple[Dataset, npt.NDArray[np.float32]],
) -> None:
    dataset, features = real
    truth = dataset.label_indices()
    swapped = random.Random(0).sample(range(len(truth)), 10)
    truth[swapped] = (truth[swapped] + 1) % 3
    probabilities = held_out_probabilities(features, truth, np.array([one.group for one in dataset.items]))
    assert probabilities is not None
    items = [replace(one, label=dataset.labels[t]) for one, t in zip(dataset.items, truth, strict=True)]
    findings = sorted(label_findings(items, dataset.labels, truth, probabilities), key=lambda f: -f.score)
    named = {found.files[0] for found in findings[:30]}
    assert sum(items[i].file in named for i in swapped) >= 7
    assert len(findings) < 0.04 * len(items)


def test_real_photographs_changed_copies_are_found_and_nothing_is_called_dark_bright_small_or_blurred(
    real_data: Path, tmp_path: Path, change: Change
) -> None:
    """300 photographs, 30 of which are there again in another group: cropped, mirrored, made smaller."""
    whole = real_data / "data/strawberry_train"
    chosen = random.Random(1).sample(read_dataset(whole).items, 300)
    for one in chosen:
        (tmp_path / one.label).mkdir(exist_ok=True)
        shutil.copy(one.path, tmp_path / one.file)
    lines = [f"{one.file},{one.group}" for one in chosen]
    makes = [
        lambda image: image[image.shape[0] // 25 :, : -image.shape[1] // 30],
        lambda image: image[:, ::-1],
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    ]
    planted = {}
    for number, one in enumerate(chosen[:30]):
        copy = f"{one.label}/copy{number}.jpg"
        change(one.path, tmp_path / copy, makes[number % 3])
        planted[copy] = one.file
        lines.append(f"{copy},copy{number}")
    (tmp_path / "manifest.csv").write_text("\n".join(["file,group", *lines]))
    findings = quick_audit(read_dataset(tmp_path)).findings
    assert not [f for f in findings if f.kind in {Kind.DARK, Kind.BRIGHT, Kind.SMALL, Kind.BLURRED}]
    found = [set(f.files) for f in findings if f.kind is Kind.LEAK]
    recalled = sum(any({copy, original} <= files for files in found) for copy, original in planted.items())
    assert recalled >= 28
    assert len(found) <= 32
