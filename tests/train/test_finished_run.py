"""The run that ships by default: three sources judge, nothing is unfrozen, the head is fitted to its end."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.deciding.decide import softmax
from evaluation.split import Split
from evaluation.temperature import cautious_temperature
from tests.train.conftest import LABELS, draw_folder
from tests.train.test_resume import run_until
from train import Run, TrainConfig, load_keras_model, predict_keras, resume_run, train_run
from train.loss import cross_entropy
from train.pictures import FilePictures
from train.run_directory import match_data, read_history

SOURCES = ("a", "b", "c")
EPOCHS = 6


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Three labels from each of three sources, some wrong so that nobody can be sure; an end before the plateau."""
    data = draw_folder(tmp_path_factory.mktemp("sourced") / "data", 44)
    for i in range(0, 44, 5):
        green, pink = (data / label / f"{label}_{i:03}.jpg" for label in LABELS[:2])
        kept = green.read_bytes()
        green.write_bytes(pink.read_bytes())
        pink.write_bytes(kept)
    rows = [f"{label}/{label}_{i:03}.jpg,{SOURCES[i % 3]}" for label in LABELS for i in range(44)]
    (data / "manifest.csv").write_text("\n".join(["file,source", *rows]))
    return {
        "data": str(data), "weights": "starter", "size_px": 32, "epochs": EPOCHS, "fine_tune_epochs": 0, "views": 2,
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(config: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_run(TrainConfig.model_validate(config), tmp_path_factory.mktemp("finished") / "RUN")


@pytest.fixture(scope="module")
def of_final_head(finished: Run) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the model that ships for the validation pictures that it has learned from, and what these are."""
    items = match_data(finished)[Split.VALIDATION]
    pixels = FilePictures(items, finished.record.input).read(range(len(items)))
    return predict_keras(finished, pixels).logits, np.array([LABELS.index(item.label) for item in items])


def test_the_head_is_finished_on_the_validation_pictures_too_and_sources_judged_that(finished: Run) -> None:
    record = finished.record
    assert [event.kind for event in record.events] == ["ceiling", "finished"]
    assert record.learned_from == (Split.TRAIN, Split.VALIDATION)
    assert record.choice is not None
    assert record.choice.candidates == ()
    assert tuple(record.choice.shipped) == SOURCES
    losses = [one.loss for one in record.choice.shipped.values()]
    assert record.choice.shipped_loss == pytest.approx(np.mean(losses))
    assert f"{record.choice.shipped_loss:.4f} now" in record.events[-1].reason
    assert record.choice.shipped_loss < 0.9 * min(row.source_loss or np.inf for row in read_history(finished))
    assert "At a place it has not seen" in (finished.folder / "report.html").read_text("utf-8")


def test_what_is_said_of_the_validation_pictures_is_said_by_the_head_that_did_not_learn_from_them(
    finished: Run, of_final_head: tuple[np.ndarray, np.ndarray]
) -> None:
    logits, truth = of_final_head
    *_, last = read_history(finished)
    assert last.epoch == EPOCHS  # the best, as it still got better
    validation = finished.record.validation
    assert validation.negative_log_likelihood == pytest.approx(last.val_loss, rel=1e-3)
    assert validation.accuracy == pytest.approx(last.val_accuracy)
    assert cross_entropy(logits, truth).mean() < 0.9 * last.val_loss


def test_each_split_is_calibrated_by_what_suits_the_head_that_answered(
    finished: Run, of_final_head: tuple[np.ndarray, np.ndarray]
) -> None:
    record = finished.record
    with (finished.folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == Split.VALIDATION]
    said = np.array([[float(row[f"p_{label}"]) for label in LABELS] for row in rows])
    truth = np.array([LABELS.index(row["label"]) for row in rows])
    assert record.validation.calibrated is not None
    assert record.test.calibrated is not None
    groups = [item.group for item in match_data(finished)[Split.VALIDATION]]
    expected = cautious_temperature(np.log(said), truth, groups)
    assert record.validation.calibrated.temperature == pytest.approx(expected, rel=1e-2)
    assert record.validation.calibrated.negative_log_likelihood <= record.validation.negative_log_likelihood
    # As the export does with the model that ships; too sure of what it has learned.
    assert record.temperature_factor > 1
    assert record.test.calibrated.temperature == pytest.approx(
        cautious_temperature(*of_final_head, groups) * record.temperature_factor, rel=1e-2
    )
    assert not np.allclose(softmax(of_final_head[0]), said, atol=1e-2)


def test_run_again_and_killed_in_the_evaluation_it_ends_with_the_same_weights_bit_for_bit(
    finished: Run, config: dict[str, object], tmp_path: Path
) -> None:
    """The second run does everything anew, in another process; going on, it fits the head to its end once more."""
    broken = tmp_path / "broken"
    assert "finished" in run_until("evaluate 0", broken, config)
    assert not broken.exists()
    other = resume_run(broken)
    for one, two in zip(load_keras_model(finished).weights, load_keras_model(other).weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    ours, theirs = finished.record, other.record
    assert (ours.events, ours.choice, ours.learned_from) == (theirs.events, theirs.choice, theirs.learned_from)
    assert (ours.validation, ours.test) == (theirs.validation, theirs.test)
