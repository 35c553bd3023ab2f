from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.settings.decision_settings import PolicySettings
from evaluation.dataset import read_images
from evaluation.split import Split
from evaluation.temperature import cautious_temperature
from train import Run, TrainConfig, predict_keras, train_run
from train.evidence import MOST_PICTURES, shift_to, some_of
from train.pictures import FilePictures, Pictures
from train.run_directory import match_data

Small = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def line_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 unlabelled pictures that look like nothing in the training set: blue stripes."""
    folder = tmp_path_factory.mktemp("line")
    rng = np.random.default_rng(1)
    for i in range(30):
        image = rng.integers(0, 30, (96, 96, 3), np.uint8)
        image[:, :: int(rng.integers(3, 9))] = (255, 160, 0)
        assert cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


@pytest.fixture(scope="module")
def tuned(small: Small, drawn: Path, line_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose backbone was changed, with everything there is to measure."""
    data = Path(shutil.copytree(drawn, tmp_path_factory.mktemp("data") / "data"))
    files = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.jpg"))
    with (data / "manifest.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "source"])
        rows.writerows([file, "left" if i % 2 else "right"] for i, file in enumerate(files))
    config = small(
        data=data, fine_tune_at=0.2, select_by="validation", fine_tune_rate=1e-4, target=line_pictures,
        retention=line_pictures, policy=PolicySettings(accept=("pink", "red")),
    )  # fmt: skip
    return train_run(config, tmp_path_factory.mktemp("tuned") / "RUN")


def test_the_temperature_comes_from_the_validation_split_and_serves_the_test_split(run: Run) -> None:
    items = match_data(run)[Split.VALIDATION]
    truth = np.array([run.record.labels.index(item.label) for item in items])
    spec = run.record.input
    logits = predict_keras(run, FilePictures(items, spec).read(range(len(items)))).logits
    for scores in (run.record.validation, run.record.test):
        assert scores.calibrated is not None
        expected = cautious_temperature(logits, truth, [item.group for item in items])
        assert scores.calibrated.temperature == pytest.approx(expected, rel=1e-2)


def test_a_run_counts_cost_and_sources(run: Run, tuned: Run) -> None:
    assert run.record.test.cost is not None
    assert run.record.test.cost.policy.accepted() == ("red",)  # the last label, where nobody says otherwise
    assert run.record.test.by_source == {}
    assert tuned.record.test.cost is not None
    assert tuned.record.test.cost.policy.accepted() == ("pink", "red")
    assert sum(one.n for one in tuned.record.test.by_source.values()) == tuned.record.test.n
    assert set(tuned.record.test.by_source) == {"left", "right"}


def test_forgetting_and_shift_are_measured_on_what_was_named(run: Run, tuned: Run) -> None:
    assert run.record.evidence.shift is None
    evidence = tuned.record.evidence
    assert set(evidence.forgetting) == {"validation", "retention"}
    assert evidence.forgetting["retention"].pictures == 30
    assert all(0.2 < one.cka < 1 for one in evidence.forgetting.values())
    assert evidence.shift is not None
    assert evidence.shift.level == "strong"
    assert evidence.shift.outside > 0.9
    html = (tuned.folder / "report.html").read_text()
    assert evidence.shift.farthest[0].file in html
    assert "another world" in html
    assert "30 retention pictures" in html


def test_what_is_needed_only_at_the_end_is_refused_at_the_beginning(small: Small, tmp_path: Path) -> None:
    for changes, says in (
        ({"target": tmp_path / "nowhere"}, "nowhere"),
        ({"retention": tmp_path / "nothing"}, "nothing"),
        ({"policy": PolicySettings(accept=("golden",))}, "golden"),
    ):
        seen: list[object] = []
        with pytest.raises(InputError, match=says):
            train_run(small(**changes), tmp_path / "RUN", on_event=seen.append)
        assert len(seen) == 1  # nothing but reading the pictures has begun


def test_target_pictures_are_grouped_by_their_manifest(drawn: Path, run: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(drawn / "red", tmp_path / "red"))
    training = match_data(run)[Split.TRAIN]

    def features(pictures: Pictures) -> np.ndarray:
        return pictures.read(range(len(pictures))).reshape(len(pictures), -1)[:, ::97].astype(np.float32)

    shift = shift_to(folder, training, run.record.input, features, seed=0)
    assert shift.target_pictures == 24
    names = sorted(path.name for path in folder.glob("*.jpg"))
    lines = [f"{name},{i // 2}" for i, name in enumerate(names)]
    (folder / "manifest.csv").write_text("file,fruit\n" + "\n".join(lines))
    with pytest.raises(InputError, match=r"Only 12 unrelated pictures in .*red"):
        shift_to(folder, training, run.record.input, features, seed=0)


def test_large_sets_are_sampled_in_order_and_the_same_each_time(drawn: Path) -> None:
    pictures = list(read_images(drawn).pictures)
    many = [*pictures] * 20
    assert some_of(pictures, 0) == pictures
    chosen = some_of(many, 3)
    assert len(chosen) == MOST_PICTURES
    assert chosen == some_of(many, 3)
    assert chosen != some_of(many, 4)
