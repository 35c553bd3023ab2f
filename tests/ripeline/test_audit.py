"""`ripeline audit` as a person meets it, and the part of it that `ripeline train` runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome

Here = Callable[..., "Outcome"]


@pytest.fixture
def data(dataset_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset_dir, tmp_path / "photos"))


def test_good_data_exit_with_0_and_the_report_is_where_it_was_said(
    ripeline_here: Here, data: Path, tmp_path: Path
) -> None:
    outcome = ripeline_here("audit", data, "-o", tmp_path / "out", "--weights", "starter", "--json")
    assert outcome.code == 0, outcome.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["audit.csv", "audit.html", "groups.csv"]
    assert str(tmp_path / "out" / "audit.html") in outcome.stderr
    assert "WARNING" in outcome.stderr  # 30 pictures a label are few
    document = json.loads(outcome.stdout)
    assert document["serious"] is False
    assert document["probe_accuracy"] > 0.7
    assert document["counts"]["serious"] == 0


def test_something_serious_exits_with_1_names_the_file_and_an_earlier_audit_is_replaced(
    ripeline_here: Here, data: Path, tmp_path: Path
) -> None:
    words = ("audit", data, "-o", tmp_path / "out", "--quick")
    assert ripeline_here(*words).code == 0
    shutil.copy(data / "ripe/0001.jpg", data / "unripe/copy.jpg")
    outcome = ripeline_here(*words, "--json")
    assert outcome.code == 1
    assert "SERIOUS" in outcome.stderr
    assert "unripe/copy.jpg" in outcome.stderr
    document = json.loads(outcome.stdout)
    assert document["serious"] is True
    assert document["probe_accuracy"] is None
    assert document["findings"][0]["files"] == ["unripe/copy.jpg", "ripe/0001.jpg"]
    assert "unripe/copy.jpg" in (tmp_path / "out" / "audit.csv").read_text(encoding="utf-8")


def test_an_empty_label_is_a_finding_and_not_an_error(ripeline_here: Here, data: Path, tmp_path: Path) -> None:
    for file in (data / "ripe").iterdir():
        file.unlink()
    (data / "manifest.csv").unlink()
    outcome = ripeline_here("audit", data, "-o", tmp_path / "out", "--quick")
    assert outcome.code == 1
    assert "Label 'ripe' is empty" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere"),
        (["photos", "-o", "photos/audit"], "inside the data"),
        (["photos", "-o", "full"], "not write"),
        (["photos", "--weights", "nowhere.h5"], "nowhere.h5"),
        (["photos", "--domain", "farm"], "farm"),
    ],
    ids=["no data", "inside", "somebody's folder", "weights", "domain"],
)
def test_a_mistake_is_refused_in_words(
    ripeline_here: Here, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("keep")
    outcome = ripeline_here("audit", *words)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert (tmp_path / "full/mine.txt").read_text() == "keep"
    assert not (tmp_path / "audit").exists()


def test_train_tells_what_the_quick_audit_found_and_keeps_it(ripeline_here: Here, data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "ripe/0001.jpg", data / "unripe/copy.jpg")
    assert cv2.imwrite(str(data / "ripe/0002.jpg"), np.zeros((96, 96, 3), np.uint8))
    words = ("train", data, "-o", tmp_path / "run", "--labels", "unripe,ripe", "--weights", "none")
    outcome = ripeline_here(*words, "--image-size", 32, "--epochs", 1, "--fine-tune-epochs", 0)
    assert outcome.code == 0, outcome.stderr
    assert "unripe/copy.jpg" in outcome.stderr
    assert "ripe/0002.jpg" in outcome.stderr
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    found = {one["kind"]: one["severity"] for one in record["evidence"]["audit"]}
    assert found["contradiction"] == "serious"
    assert found["dark"] == "warning"
    assert "unripe/copy.jpg" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
