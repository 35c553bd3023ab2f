from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Outcome


def test_a_folder_of_somebody_else_is_left_alone(ripeline_here: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = ripeline_here("tune", tmp_path, "-o", tmp_path)
    assert done.code == 2
    assert "holds files, but no study" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_lists_that_are_none_are_refused(ripeline_here: Callable[..., Outcome], tmp_path: Path) -> None:
    done = ripeline_here("tune", tmp_path / "photos", "-o", tmp_path / "study", "--alphas", "wide")
    assert done.code == 2
    assert "--alphas" in done.stderr
    assert "'wide' is no list of numbers" in done.stderr
    done = ripeline_here("tune", tmp_path / "photos", "-o", tmp_path / "study", "--image-sizes", "96,7")
    assert done.code == 2
    assert "--image-size 7" in done.stderr
    assert not (tmp_path / "study").exists()


def test_weights_that_are_not_there_are_refused_before_the_first_trial(
    ripeline_here: Callable[..., Outcome], dataset_dir: Path, tmp_path: Path
) -> None:
    done = ripeline_here("tune", dataset_dir, "-o", tmp_path / "study", "--weights", tmp_path / "gone.h5")
    assert done.code == 2
    assert "gone.h5" in done.stderr
    assert not (tmp_path / "study").exists()
