from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from train.run_record import EpochRow, Phase, RecipeEvent
from train.tensorboard import TensorBoardLog


def row(phase: Phase, epoch: int, rate: float = 3e-4) -> EpochRow:
    return EpochRow(
        phase=phase,
        epoch=epoch,
        loss=1 / epoch,
        accuracy=1 - 1 / (epoch + 1),
        val_loss=1.5 / epoch,
        val_accuracy=0.5,
        learning_rate=rate,
        seconds=0.1,
    )


DIVERGED = RecipeEvent(phase="fine_tune", epoch=3, kind="diverged", reason="validation loss 9 above 2", rate=1e-2)
STORY = [row("head", 1), row("head", 2), row("fine_tune", 3, 1e-2), DIVERGED, row("fine_tune", 3, 3e-3),
         row("fine_tune", 4, 3e-3)]  # fmt: skip


def tensors(folder: Path, run: str, tag: str) -> list[tuple[int, object]]:
    log = EventAccumulator(str(folder / run))
    log.Reload()
    return [(event.step, make_ndarray(event.tensor_proto).item()) for event in log.Tensors(tag)]


def scalars(folder: Path, run: str, tag: str) -> list[tuple[int, object]]:
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in tensors(folder, run, tag)]


def test_tensorboard_reads_back_every_phase_and_attempt(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    for entry in STORY:
        log(entry)
    assert scalars(tmp_path, "1 head/train", "loss") == [(1, 1.0), (2, 0.5)]
    assert scalars(tmp_path, "1 head/validation", "loss") == [(1, 1.5), (2, 0.75)]
    assert scalars(tmp_path, "2 fine_tune/train", "learning_rate") == [(3, 1e-2)]
    assert scalars(tmp_path, "3 fine_tune/train", "learning_rate") == [(3, 3e-3), (4, 3e-3)]
    assert scalars(tmp_path, "3 fine_tune/validation", "accuracy") == [(3, 0.5), (4, 0.5)]
    log.close()


def test_decisions_are_texts(tmp_path: Path) -> None:
    TensorBoardLog(tmp_path)(DIVERGED)
    text = b"fine_tune, epoch 3: validation loss 9 above 2 (rate 0.01)"
    assert tensors(tmp_path, "events", "diverged") == [(3, text)]


def test_a_run_that_goes_on_has_each_epoch_once(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    for entry in STORY[:5]:
        log(entry)
    log.close()
    log = TensorBoardLog(tmp_path)
    for entry in STORY:  # a run that goes on is told again what happened before
        log(entry)
    log.close()
    assert scalars(tmp_path, "1 head/train", "loss") == [(1, 1.0), (2, 0.5)]
    assert scalars(tmp_path, "3 fine_tune/train", "learning_rate") == [(3, 3e-3), (4, 3e-3)]
    assert len(list((tmp_path / "3 fine_tune/train").iterdir())) == 1
