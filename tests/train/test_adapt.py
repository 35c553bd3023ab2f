"""`adapt` on real pictures and a real run: the result is a run like any other, and says where it comes from."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from evaluation.split import Split
from tests.conftest import LABELS, SIZE_PX
from train.adapt import NEW_VIEWS, adapt_run
from train.events import Notice
from train.line_pictures import read_line_pictures
from train.pictures import InMemory
from train.run_directory import Run, match_data, read_run
from train.view_features import Joined, Views

if TYPE_CHECKING:
    from tests.conftest import Ripeline


@pytest.fixture(scope="module")
def line_pictures(tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline) -> Path:
    """Ten new fruits a label under a lamp of another colour."""
    drawn = tmp_path_factory.mktemp("line") / "drawn"
    words = ["--per-class", 10, "--image-size", SIZE_PX, "--seed", 77, "--json"]
    assert ripeline("simulate", "dataset", drawn, *words).code == 0
    folder = drawn.with_name("packhouse")
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for file in (drawn / label).iterdir():
            picture = cv2.imread(str(file)).astype(np.float32) * (0.9, 0.8, 0.6)
            cv2.imwrite(str(folder / label / f"{file.stem}.png"), picture.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, run_dir: Path, line_pictures: Path) -> Run:
    return adapt_run(read_run(run_dir), line_pictures, tmp_path_factory.mktemp("adapted") / "run2")


def weights(run: Run) -> list[np.ndarray]:
    from train.predict import load_keras_model

    return [np.asarray(one) for one in load_keras_model(run).get_weights()]


def test_only_the_head_has_changed(adapted: Run, run_dir: Path) -> None:
    found = adapted.record.adaptation
    assert found is not None
    before, after = weights(read_run(run_dir)), weights(adapted)
    changed = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert not any(changed[:-2])
    assert all(changed[-2:]) == found.changed


def test_the_record_says_where_it_comes_from_and_what_to_expect(
    adapted: Run, run_dir: Path, line_pictures: Path
) -> None:
    parent, found = read_run(run_dir), adapted.record.adaptation
    assert found is not None
    assert (found.parent, found.data) == (run_dir.name, line_pictures)
    assert found.pictures == dict.fromkeys(LABELS, 10)
    assert (found.groups, found.untested) == (20, ())
    assert sum(one.share for one in found.tried) == pytest.approx(1)
    assert found.expected.recall.keys() == set(LABELS)
    assert found.expected.recall != dict.fromkeys(LABELS)
    low, high = found.expected.accuracy_ci95
    assert low <= found.expected.accuracy <= high
    assert high - low > 0.05
    assert parent.record.choice is not None
    assert adapted.record.choice is not None
    assert parent.record.choice.shipped
    assert (adapted.record.choice.shipped, adapted.record.choice.shipped_loss) == ({}, None)
    assert found.on_old.accuracy_before == pytest.approx(parent.record.test.accuracy)
    assert found.on_old.accuracy_after == pytest.approx(adapted.record.test.accuracy)
    assert adapted.record.data.sha256 != parent.record.data.sha256
    assert len(found.mistakes) == pytest.approx((1 - found.expected.accuracy) * 20)
    assert "On the new line" in (adapted.folder / "report.html").read_text("utf-8")


def test_the_new_pictures_are_for_training_and_are_found_again(
    adapted: Run, run_dir: Path, line_pictures: Path
) -> None:
    parent = match_data(read_run(run_dir))
    found = match_data(adapted)
    assert found[Split.TEST] == parent[Split.TEST]
    assert found[Split.VALIDATION] == parent[Split.VALIDATION]
    added = found[Split.TRAIN][len(parent[Split.TRAIN]) :]
    assert {item.path.parent.parent for item in added} == {line_pictures}
    assert {item.source for item in added} == {"packhouse"}
    assert adapted.record.data.pictures[Split.TRAIN] == len(parent[Split.TRAIN]) + 20
    with (adapted.folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(parent[Split.TEST]) + len(parent[Split.VALIDATION])


def test_the_same_pictures_give_the_same_head(adapted: Run, run_dir: Path, line_pictures: Path, tmp_path: Path) -> None:
    again = adapt_run(read_run(run_dir), line_pictures, tmp_path / "again")
    for one, other in zip(weights(adapted), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_adapted_run_can_be_exported(adapted: Run, ripeline: Ripeline, tmp_path: Path) -> None:
    outcome = ripeline("export", adapted.folder, "-o", tmp_path / "b", "--formats", "tflite-fp32", "--json")
    assert outcome.code == 0, outcome.stderr
    assert ripeline("check", tmp_path / "b", "--json").code == 0


def test_its_temperature_reaches_the_bundle(adapted: Run, tmp_path: Path) -> None:
    from export.exporter import export_run
    from export.formats import parse_formats

    def temperature(factor: float) -> float:
        run = Run(adapted.folder, adapted.record.model_copy(update={"temperature_factor": factor}), adapted.splits)
        policy = run.record.config.policy_for(run.record.labels)
        bundle = export_run(run, tmp_path / str(factor), formats=parse_formats(["tflite-fp32"]), policy=policy)
        return next(record.temperature for _, _, record in bundle.manifest.pairs())

    assert temperature(2.0) == pytest.approx(2 * temperature(1.0))


def test_a_label_without_new_pictures_is_said_to_be_untested(
    run_dir: Path, line_pictures: Path, ripeline: Ripeline, tmp_path: Path
) -> None:
    shutil.copytree(line_pictures / LABELS[0], tmp_path / "few" / LABELS[0])
    outcome = ripeline("adapt", run_dir, tmp_path / "few", "-o", tmp_path / "run2", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["adaptation"]["pictures"] == {LABELS[0]: 10, LABELS[1]: 0}
    assert outcome.document["adaptation"]["weight"] == 0  # one label alone says nothing about where it ends
    assert f"no new picture of '{LABELS[1]}'" in outcome.stderr
    assert "untested there" in (tmp_path / "run2" / "report.html").read_text("utf-8")


def test_validation_pictures_that_were_learned_from_are_answered_by_a_head_that_was_not(
    run_dir: Path, line_pictures: Path, tmp_path: Path
) -> None:
    """Validation labels that are wrong on purpose: a head that had learned them would agree with them."""
    run = read_run(run_dir)
    other = dict(zip(LABELS, reversed(LABELS), strict=True))
    rows = tuple(replace(row, label=other[row.label]) if row.split is Split.VALIDATION else row for row in run.splits)
    figures = {}
    for learned in ((Split.TRAIN,), (Split.TRAIN, Split.VALIDATION)):
        record = run.record.model_copy(update={"learned_from": learned})
        made = adapt_run(Run(run.folder, record, rows), line_pictures, tmp_path / str(len(learned)))
        figures[learned] = made.record.validation.negative_log_likelihood
    honest, tempted = figures.values()
    assert tempted > 0.8 * honest


def test_nothing_is_read_where_the_output_is_taken(run_dir: Path, line_pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "run2").mkdir()
    (tmp_path / "run2" / "mine.txt").write_text("keep")
    heard: list[object] = []
    with pytest.raises(InputError, match="not empty"):
        adapt_run(read_run(run_dir), line_pictures, tmp_path / "run2", on_event=heard.append)
    assert not heard


def test_old_pictures_that_moved_are_asked_for(
    run_dir: Path, dataset_dir: Path, line_pictures: Path, tmp_path: Path
) -> None:
    run = read_run(run_dir)
    gone = run.record.model_copy(update={"data": run.record.data.model_copy(update={"path": tmp_path / "gone"})})
    moved = Run(run.folder, gone, run.splits)
    with pytest.raises(InputError, match="not at") as refusal:
        adapt_run(moved, line_pictures, tmp_path / "run2")
    assert "--data" in str(refusal.value.remedy)
    assert not (tmp_path / "run2").exists()
    made = adapt_run(moved, line_pictures, tmp_path / "run2", data=dataset_dir)
    assert made.record.data.path == dataset_dir.resolve()


def test_pictures_of_an_earlier_line_that_are_gone_are_asked_for(run_dir: Path, tmp_path: Path) -> None:
    run = read_run(run_dir)
    earlier = run.record.data.model_copy(update={"further": (tmp_path / "earlier line",)})
    lost = replace(run.splits[0], sha256="00")
    adapted = Run(run.folder, run.record.model_copy(update={"data": earlier}), (lost, *run.splits[1:]))
    with pytest.raises(InputError, match=r"1 of the run's .* folders are gone: .*earlier line"):
        match_data(adapted)


def test_what_is_not_sorted_yet_is_left_out(run_dir: Path, line_pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(line_pictures / LABELS[0], tmp_path / "new" / LABELS[0])
    shutil.copytree(line_pictures / LABELS[1], tmp_path / "new" / "unsorted")
    heard: list[object] = []
    found = read_line_pictures(read_run(run_dir), tmp_path / "new", "source", heard.append)
    assert {item.label for item in found.items} == {LABELS[0]}
    assert any("unsorted" in event.text for event in heard if isinstance(event, Notice))


def test_a_label_that_the_run_does_not_know_is_refused(run_dir: Path, line_pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(line_pictures, tmp_path / "new")
    shutil.copytree(line_pictures / LABELS[0], tmp_path / "new" / "mouldy")
    with pytest.raises(InputError, match="does not know the label 'mouldy'"):
        adapt_run(read_run(run_dir), tmp_path / "new", tmp_path / "run2")
    assert not (tmp_path / "run2").exists()


def test_pictures_that_the_run_has_seen_tell_nothing_new(run_dir: Path, dataset_dir: Path, tmp_path: Path) -> None:
    for label in LABELS:
        shutil.copytree(dataset_dir / label, tmp_path / "old" / label)
    with pytest.raises(InputError, match="has not seen"):
        adapt_run(read_run(run_dir), tmp_path / "old", tmp_path / "run2")


def test_pictures_seen_before_are_left_out_with_a_notice(
    run_dir: Path, dataset_dir: Path, line_pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(line_pictures, tmp_path / "new")
    seen = next(iter((dataset_dir / LABELS[0]).iterdir()))
    shutil.copyfile(seen, tmp_path / "new" / LABELS[0] / seen.name)
    heard: list[object] = []
    made = adapt_run(read_run(run_dir), tmp_path / "new", tmp_path / "run2", on_event=heard.append)
    assert made.record.adaptation is not None
    assert sum(made.record.adaptation.pictures.values()) == 20
    assert any(isinstance(one, Notice) and "seen them already" in one.text for one in heard)


def test_views_come_in_the_order_of_pictures() -> None:
    rng = np.random.default_rng(0)
    some, others = (InMemory(rng.integers(0, 256, (n, 32, 32, 3), np.uint8)) for n in (3, 2))
    joined = Joined([Views(some, 2, seed=1), Views(others, NEW_VIEWS, seed=1)])
    assert len(joined) == 6 + 2 * NEW_VIEWS
    rows = joined.read(range(len(joined)))
    np.testing.assert_array_equal(rows[[0, 2, 4]], some.inputs)
    np.testing.assert_array_equal(rows[[6, 6 + NEW_VIEWS]], others.inputs)
    np.testing.assert_array_equal(joined.read([5, 7])[1], rows[7])
    assert not np.array_equal(rows[1], rows[0])
