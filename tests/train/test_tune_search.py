from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from edge_runtime.errors import InputError
from evaluation.dataset import read_dataset
from evaluation.split import Split, assign_splits
from tests.train.conftest import draw_folder
from train import TrainConfig, train_run
from train.beginning import data_hash
from train.events import Progress
from train.tune import DATABASE_FILE, PAGE_FILE, STUDY_FILE, TrialEnd, tune
from train.tune_space import Space, suggest, usual
from train.tune_study import begun, open_study, question, shown_url

Small = Callable[..., TrainConfig]
SPACE = Space({0.35: "none"}, (64, 96))


@pytest.fixture
def base(small: Small) -> TrainConfig:
    return small(epochs=2, fine_tune_epochs=1, views=1, head_rate=1e-3)


@pytest.fixture(scope="module")
def three_places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw_folder(tmp_path_factory.mktemp("places") / "data", 45)
    rows = [f"{p.relative_to(folder).as_posix()},place {int(p.stem[-3:]) % 3}" for p in sorted(folder.rglob("*.jpg"))]
    (folder / "manifest.csv").write_text("\n".join(["file,source", *rows]))
    return folder


def joined(base: TrainConfig, folder: Path) -> optuna.Study:
    """The study in a folder, found as a second process would, from the same question."""
    dataset = read_dataset(base.data, base.labels)
    asked = question(base, SPACE, data_hash(dataset.items), dataset.labels)
    return open_study(f"sqlite:///{folder / DATABASE_FILE}", folder.name, asked, usual(base, SPACE))


def test_a_study_goes_on_and_its_command_trains_what_the_trial_promised(base: TrainConfig, tmp_path: Path) -> None:
    first = tune(base, SPACE, tmp_path / "study", trials=1)
    assert first.best.trial == 0
    assert first.usual_loss == first.best.loss
    ended: list[TrialEnd] = []
    second = tune(
        base,
        SPACE,
        tmp_path / "study",
        trials=2,
        on_event=lambda e: ended.append(e) if isinstance(e, TrialEnd) else None,
    )
    assert [one.number for one in ended] == [1]
    assert second.trials["complete"] == 2
    assert second.usual_loss == first.best.loss
    assert json.loads((tmp_path / "study" / STUDY_FILE).read_text()) == second.model_dump(mode="json")
    choice = train_run(base.model_copy(update={"fine_tune_at": 0.0}), tmp_path / "RUN").record.choice
    assert choice is not None
    assert choice.shipped_loss == first.usual_loss
    page = (tmp_path / "study" / PAGE_FILE).read_text()
    assert second.best.command.replace("'", "&#39;") in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_sources_judge_where_there_are_enough_and_the_test_split_is_never_read(
    base: TrainConfig, three_places: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(three_places, tmp_path / "data"))
    base = base.model_copy(update={"data": data, "select_by": None})
    items = read_dataset(data).items
    test_files = [
        item.path
        for item, split in zip(items, assign_splits(items, base.seed).splits, strict=True)
        if split is Split.TEST
    ]

    def lose_them(event: object) -> None:
        if event == Progress("data", 1, 1):
            for path in test_files:
                path.unlink()

    record = tune(base, SPACE, tmp_path / "study", trials=1, on_event=lose_them)
    assert not any(path.exists() for path in test_files)
    assert record.judged_by == ("place 0", "place 1", "place 2")
    assert record.trials["complete"] == 1


def test_a_trial_that_fails_is_recorded_and_the_study_goes_on(base: TrainConfig, tmp_path: Path) -> None:
    from train.backbone import build_backbone

    weights = tmp_path / "net.weights.h5"
    build_backbone(64, 0.35, "none").save_weights(weights)
    contents = weights.read_bytes()
    ended: list[TrialEnd] = []

    def lose_the_weights_for_a_while(event: object) -> None:
        if isinstance(event, TrialEnd):
            ended.append(event)
            weights.unlink() if event.number == 0 else weights.write_bytes(contents)

    space = Space({0.35: str(weights)}, (64,))
    record = tune(base, space, tmp_path / "study", trials=3, on_event=lose_the_weights_for_a_while)
    assert [one.outcome for one in ended[:2]] == ["completed", "failed"]
    assert "There is no weights file" in ended[1].words
    assert len(ended) == 3
    assert record.trials["fail"] == 1
    assert "There is no weights file" in (tmp_path / "study" / PAGE_FILE).read_text()


def test_a_poor_head_gets_no_second_phase_and_the_study_goes_on(base: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    study = joined(base, tmp_path / "study")
    point = {**usual(base, SPACE), "fine_tune_at": 0.2, "fine_tune_rate": 1e-5}
    for _ in range(5):
        study.enqueue_trial(point)
    while begun(study) < 6:  # the usual settings come first
        trial = study.ask()
        suggest(trial, SPACE)
        trial.set_user_attr("worker", "elsewhere")
        trial.report(1e-6, 1)
        study.tell(trial, 1e-6)
    study.enqueue_trial(point)
    ended: list[TrialEnd] = []
    record = tune(
        base,
        SPACE,
        tmp_path / "study",
        trials=7,
        on_event=lambda e: ended.append(e) if isinstance(e, TrialEnd) else None,
    )
    assert [one.outcome for one in ended] == ["pruned"]
    assert record.trials["pruned"] == 1
    assert record.best.loss == 1e-6


def test_two_processes_share_a_study(base: TrainConfig, tmp_path: Path) -> None:
    words = ["tune", base.data, "-o", tmp_path / "study", "--weights", "none", "--image-sizes", "64"]
    words += ["--epochs", 2, "--fine-tune-epochs", 1, "--trials", 4, "--select-by", "validation", "--json"]
    command = [sys.executable, "-m", "ripeline.main", *map(str, words)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [one.communicate(timeout=600) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    trials = optuna.load_study(study_name="study", storage=f"sqlite:///{tmp_path / 'study' / DATABASE_FILE}").trials
    assert {one.state for one in trials} == {TrialState.COMPLETE}
    assert 4 <= len(trials) <= 5  # two that begin at the same moment may be one too many
    assert len({one.user_attrs["worker"].split(":")[-1] for one in trials}) == 2
    first = usual(TrainConfig(data=base.data), Space({0.35: "none"}, (64,)))
    assert sum(one.params == first for one in trials) == 1
    documents: list[dict[str, Any]] = [json.loads(out) for out, _ in told]
    assert min(document["best"]["loss"] for document in documents) == min(one.value or 9 for one in trials)


def test_a_trial_whose_process_was_killed_does_not_count(base: TrainConfig, tmp_path: Path) -> None:
    study = joined(base, tmp_path)
    killed, failed = study.ask(), study.ask()
    assert begun(study) == 2  # under way
    study.tell(killed, state=TrialState.FAIL)  # what Optuna does when the heartbeat stops
    assert begun(study) == 1
    failed.set_user_attr("failure", "MemoryError")
    study.tell(failed, state=TrialState.FAIL)
    assert begun(study) == 1


def test_a_study_does_not_mix_questions(base: TrainConfig, three_places: Path, tmp_path: Path) -> None:
    joined(base, tmp_path)
    with pytest.raises(InputError, match="begun with other data"):
        joined(base.model_copy(update={"data": three_places}), tmp_path)
    with pytest.raises(InputError, match="begun with other seed"):
        joined(base.model_copy(update={"seed": 1}), tmp_path)
    assert len(joined(base, tmp_path).trials) == 1  # the usual settings wait once


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/study.db", "postgresql+psycopg://me:secret@localhost:1/none"]
)
def test_a_storage_that_cannot_be_used_is_refused_without_telling_the_password(
    base: TrainConfig, url: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        tune(base, SPACE, tmp_path / "study", storage=url, trials=1)
    assert "sqlite:///study.db" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_password_is_hidden() -> None:
    assert shown_url("postgresql+psycopg://me:secret@host/ripe") == "postgresql+psycopg://me:***@host/ripe"
