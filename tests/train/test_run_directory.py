from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.records import Box
from evaluation.dataset import Item
from evaluation.split import Split
from train import Run, match_data, read_run
from train.journal import Journal, State
from train.run_directory import new_run_folder, read_history, unfinished_run_folder, write_splits
from train.run_record import SplitRow


def test_reading_runs_needs_no_tensorflow(run: Run) -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "import train, train.run_directory\n"
        f"print(len(train.match_data(train.read_run(Path({str(run.folder)!r})))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


def test_a_run_reads_back_as_it_was_written(run: Run) -> None:
    again = read_run(run.folder)
    assert again == run
    assert {p.name for p in run.folder.iterdir()} == {
        "run.json", "model.keras", "splits.csv", "history.csv", "predictions.csv", "report.html", "curves.png",
        "tensorboard",
    }  # fmt: skip


def test_summary_has_the_keys_of_the_contract(run: Run) -> None:
    summary = json.loads(json.dumps(run.summary()))
    assert set(summary) == {"run", "labels", "test", "events", "seconds"}
    assert set(summary["test"]) == {"n", "accuracy", "accuracy_ci95", "balanced_accuracy", "recall"}
    assert summary["labels"] == list(summary["test"]["recall"]) == ["green", "pink", "red"]
    assert summary["events"][0]["phase"] == "head"


def test_predictions_agree_with_the_scores(run: Run) -> None:
    with (run.folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    by_file = {row.file: row for row in run.splits}
    for row in rows:
        assert (by_file[row["file"]].split, by_file[row["file"]].label) == (row["split"], row["label"])
        shares = {label: float(row[f"p_{label}"]) for label in run.record.labels}
        assert max(shares, key=lambda label: shares[label]) == row["predicted"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    test = [row for row in rows if row["split"] == "test"]
    assert len(test) == run.record.test.n == run.record.data.pictures[Split.TEST]
    assert np.mean([row["label"] == row["predicted"] for row in test]) == pytest.approx(run.record.test.accuracy)


def test_history_counts_epochs_through_both_phases(run: Run) -> None:
    history = read_history(run)
    assert [row.epoch for row in history] == list(range(1, len(history) + 1))
    phases = [row.phase for row in history]
    assert phases == sorted(phases, reverse=True)
    assert phases.count("fine_tune") == 2


def test_report_holds_its_pictures(run: Run) -> None:
    html = (run.folder / "report.html").read_text()
    assert html.count("data:image/svg+xml") == 5
    assert "http" not in html.replace("http://www.w3.org", "")


def test_pictures_are_matched_by_content_wherever_they_are(run: Run, drawn: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(drawn / "red", moved / "a" / "b")
    shutil.copytree(drawn / "green", moved / "c")
    for path in (drawn / "pink").iterdir():
        shutil.copy(path, moved / f"renamed-{path.name}")
    matched = match_data(run, moved)
    assert [item.file for item in matched[Split.TEST]] == [row.file for row in run.splits if row.split is Split.TEST]
    assert sum(map(len, matched.values())) == len(run.splits) == 72
    assert all(item.path.is_relative_to(moved) for item in matched[Split.TRAIN])


def test_missing_and_changed_pictures_are_counted(run: Run, drawn: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(drawn, tmp_path / "copy"))
    (copy / "red/red_001.jpg").unlink()
    (copy / "red/red_002.jpg").unlink()
    assert cv2.imwrite(str(copy / "green/green_003.jpg"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(InputError, match=r"3 of the run's 72 pictures .* 2 missing, 1 changed"):
        match_data(run, copy)
    with pytest.raises(InputError, match="--data"):
        match_data(run, tmp_path / "gone")


def test_splits_keep_all_that_is_known_of_a_picture(run: Run, tmp_path: Path) -> None:
    item = Item(
        path=Path("x/a.jpg"), file="a.jpg", sha256="00", label="red", group="g", fruit="f", source="s",
        box=Box(1, 2.5, 30, 40),
    )  # fmt: skip
    plain = Item(path=Path("a.jpg"), file="b.jpg", sha256="00", label="red", group="g")
    whole = Run(run.folder, run.record, (SplitRow.of(item, Split.TRAIN), SplitRow.of(plain, Split.TEST)))
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    write_splits(copy / "splits.csv", whole.splits)
    again = read_run(copy).splits
    assert again == whole.splits
    assert [row.item(one.path) for row, one in zip(again, (item, plain), strict=True)] == [item, plain]


@pytest.mark.parametrize("lost", ["run.json", "model.keras", "splits.csv"])
def test_a_folder_that_lacks_a_part_is_no_run(run: Run, tmp_path: Path, lost: str) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    (copy / lost).unlink()
    with pytest.raises(InputError, match=lost):
        read_run(copy)


def test_a_folder_that_is_not_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run folder"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("spoil", [lambda r: r | {"schema_version": 99}, lambda r: r | {"surprise": 1}])
def test_an_unknown_record_is_refused(run: Run, tmp_path: Path, spoil) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    (copy / "run.json").write_text(json.dumps(spoil(json.loads((copy / "run.json").read_text()))))
    with pytest.raises(InputError, match="cannot be understood"):
        read_run(copy)


def test_an_interrupted_run_stays_aside_and_one_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "RUN"

    def ended_half_way_by(error: BaseException) -> None:
        with new_run_folder(output, force=True) as folder:
            assert list(folder.iterdir()) == []
            (folder / "start.json").write_text("{}")
            assert not output.exists()
            raise error

    for _ in range(2):  # a run that is begun again by force begins with an empty folder
        with pytest.raises(KeyboardInterrupt):
            ended_half_way_by(KeyboardInterrupt())
        assert [path.name for path in tmp_path.iterdir()] == [".RUN.partial"]
    with pytest.raises(InputError, match="not finished") as caught, new_run_folder(output, force=False):
        pass
    assert f"ripeline train --resume {output}" in str(caught.value)
    with pytest.raises(KeyError), unfinished_run_folder(output) as folder:
        raise KeyError(*(path.name for path in folder.iterdir()))
    assert [path.name for path in tmp_path.iterdir()] == [".RUN.partial"]
    with pytest.raises(InputError):
        ended_half_way_by(InputError("no pictures"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no unfinished run"), unfinished_run_folder(output):
        pass


@pytest.mark.parametrize("remedy", ["Restore the file.", None])
def test_an_error_after_hours_keeps_what_was_achieved_and_says_how_to_go_on(tmp_path: Path, remedy: str | None) -> None:
    output = tmp_path / "my RUN"

    def ended_late() -> None:
        with new_run_folder(output, force=False) as folder:
            (folder / "start.json").write_text("{}")
            Journal(folder / "work" / "state").finish("head", State({"epochs": 50}))
            raise InputError("A photo is gone.", expected="a picture", remedy=remedy)

    with pytest.raises(InputError, match="A photo is gone") as caught:
        ended_late()
    assert caught.value.expected == "a picture"
    assert str(caught.value.remedy).endswith(f"; then go on with: ripeline train --resume '{output}'")
    assert remedy is None or str(caught.value.remedy).startswith("Restore the file;")
    with unfinished_run_folder(output) as folder:
        assert Journal(folder / "work" / "state").finished("head") == State({"epochs": 50})


def test_two_processes_never_train_one_run(tmp_path: Path) -> None:
    output = tmp_path / "run"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from train.run_directory import START_FILE, new_run_folder\n"
        f"with new_run_folder(Path({str(output)!r}), force=False) as folder:\n"
        "    (folder / START_FILE).write_text('{}')\n"
        "    print('begun', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(InputError, match="Another process"), unfinished_run_folder(output):
            pass
        with pytest.raises(InputError, match="Another process"), new_run_folder(output, force=True):
            pass
        assert (tmp_path / ".run.partial" / "start.json").is_file()
        other.kill()
    with unfinished_run_folder(output) as folder:
        assert (folder / "start.json").is_file()


def test_a_full_folder_is_replaced_only_by_force_and_only_by_success(tmp_path: Path) -> None:
    output = tmp_path / "RUN"
    output.mkdir()
    (output / "precious").write_text("old")
    with pytest.raises(InputError, match="--force"), new_run_folder(output, force=False):
        pass
    with pytest.raises(ZeroDivisionError), new_run_folder(output, force=True):
        _ = 1 / 0
    assert (output / "precious").read_text() == "old"
    with new_run_folder(output, force=True) as folder:
        (folder / "run.json").write_text("new")
    assert [p.name for p in output.iterdir()] == ["run.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["RUN"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "RUN").mkdir()
    with new_run_folder(tmp_path / "RUN", force=False) as folder:
        (folder / "x").touch()
    assert (tmp_path / "RUN/x").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "RUN").touch()
    with pytest.raises(InputError, match="is a file"), new_run_folder(tmp_path / "RUN", force=True):
        pass
