from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from edge_runtime.decide import softmax
from edge_runtime.errors import InputError
from evaluation.dataset import load_inputs
from evaluation.split import Split
from train import Run, TrainConfig, load_keras_model, match_data, predict_keras, train_run
from train.backbone import build_backbone
from train.recipe import LabelledInputs, Progress, run_recipe
from train.run_directory import EpochRow, RecipeEvent, read_history

Small = Callable[..., TrainConfig]


@pytest.fixture
def backbone() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_backbone(96, 0.35, "none")


@pytest.fixture(scope="module")
def examples() -> tuple[LabelledInputs, LabelledInputs]:
    """Flat noisy colours, three labels: 48 to train on, 24 to validate."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> LabelledInputs:
        truth = np.arange(n) % 3
        colours = np.array([(60, 170, 60), (210, 150, 130), (200, 30, 40)])[truth]
        pixels = colours[:, None, None] + rng.normal(0, 40, (n, 96, 96, 3))
        return LabelledInputs(np.clip(pixels, 0, 255).astype(np.uint8), truth)

    return draw(48), draw(24)


def test_it_learns_and_the_model_file_says_what_was_measured(run: Run) -> None:
    assert run.record.test.accuracy >= 0.9
    items = match_data(run)[Split.TEST]
    model = keras.saving.load_model(run.model_path)  # plain Keras, no custom objects
    probabilities = model.predict(load_inputs(items, run.record.input), verbose=0)
    truth = [run.record.labels.index(item.label) for item in items]
    assert np.mean(probabilities.argmax(axis=1) == truth) == pytest.approx(run.record.test.accuracy)
    logits, again = predict_keras(run, load_inputs(items, run.record.input), batch_size=5)
    np.testing.assert_allclose(again, probabilities, atol=1e-5)
    np.testing.assert_allclose(softmax(logits), probabilities, atol=1e-5)


def test_the_saved_model_is_as_good_on_validation_as_the_best_epoch_was(run: Run) -> None:
    """The cached path and the whole model are one: else their losses would differ."""
    best = min(row.val_loss for row in read_history(run))
    assert run.record.validation.negative_log_likelihood == pytest.approx(best, rel=1e-3)


def test_batch_normalisation_never_moves_and_the_rest_of_the_top_does(
    backbone: keras.Model, examples: tuple[LabelledInputs, LabelledInputs], small: Small
) -> None:
    before = {layer.name: [w.numpy() for w in layer.weights] for layer in backbone.layers}
    config = small(fine_tune_at=130, fine_tune_rate=1e-4, fine_tune_epochs=3, patience=3, epochs=2)
    trained = run_recipe(backbone, *examples, labels=3, config=config, on_event=lambda _: None)
    assert [e.kind for e in trained.events if e.phase == "fine_tune"][-1] == "kept"
    changed = {
        layer.name
        for layer in backbone.layers
        if any((old != new.numpy()).any() for old, new in zip(before[layer.name], layer.weights, strict=True))
    }
    assert changed == {
        layer.name
        for layer in backbone.layers[130:]
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    }


def test_a_batch_normalisation_that_moves_is_noticed_even_if_the_phase_is_thrown_away(
    backbone: keras.Model,
    examples: tuple[LabelledInputs, LabelledInputs],
    small: Small,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unfreeze_all(backbone: keras.Model, at: int) -> None:
        for layer in backbone.layers[at:]:
            layer.trainable = True

    monkeypatch.setattr("train.recipe._unfreeze", unfreeze_all)
    config = small(epochs=1, fine_tune_epochs=1, fine_tune_at=145)
    with pytest.raises(RuntimeError, match="batch normalisation moved"):
        run_recipe(backbone, *examples, labels=3, config=config, on_event=lambda _: None)


def test_a_huge_rate_ends_with_the_model_of_phase_one_and_the_story(
    backbone: keras.Model, examples: tuple[LabelledInputs, LabelledInputs], small: Small
) -> None:
    before = [w.numpy() for w in backbone.weights]
    trained = run_recipe(
        backbone, *examples, labels=3, config=small(epochs=4, fine_tune_rate=1e4), on_event=lambda _: None
    )
    story = [(e.kind, e.rate) for e in trained.events if e.phase == "fine_tune"]
    assert [kind for kind, _ in story] == ["unfrozen", "diverged", "diverged", "diverged", "gave_up"]
    assert [rate for _, rate in story[1:]] == pytest.approx([1e4, 3e3, 9e2, 2.7e2])
    for old, new in zip(before, backbone.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    probabilities = trained.model.predict(examples[1].inputs, verbose=0)
    loss = -np.log(probabilities[np.arange(24), examples[1].truth]).mean()
    assert loss == pytest.approx(min(row.val_loss for row in trained.history if row.phase == "head"), rel=1e-4)


def test_a_rate_that_is_a_little_too_high_is_lowered_until_it_works(
    backbone: keras.Model, examples: tuple[LabelledInputs, LabelledInputs], small: Small
) -> None:
    config = small(epochs=4, fine_tune_rate=0.003, fine_tune_epochs=1)
    trained = run_recipe(backbone, *examples, labels=3, config=config, on_event=lambda _: None)
    kinds = [e.kind for e in trained.events if e.phase == "fine_tune"]
    assert "diverged" in kinds
    assert kinds[-1] == "kept"


def test_phase_one_ends_on_a_plateau_with_its_best_weights(
    backbone: keras.Model, examples: tuple[LabelledInputs, LabelledInputs], small: Small
) -> None:
    config = small(epochs=200, patience=2, min_delta=0.02, fine_tune_epochs=0, views=1)
    seen: list[object] = []
    trained = run_recipe(backbone, *examples, labels=3, config=config, on_event=seen.append)
    losses = [row.val_loss for row in trained.history]
    assert len(losses) < 200
    assert [event.kind for event in trained.events] == ["plateau"]
    best_before = min(losses[:-2])
    assert min(losses[-2:]) > best_before - 0.02
    probabilities = trained.model.predict(examples[1].inputs, verbose=0)
    loss = -np.log(probabilities[np.arange(24), examples[1].truth]).mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)
    assert seen[0] == Progress("features", 0, 1)
    assert [e for e in seen if isinstance(e, EpochRow)] == trained.history
    assert [e for e in seen if isinstance(e, RecipeEvent)] == trained.events


def test_the_same_seed_gives_the_same_weights_bit_for_bit(run: Run, small: Small, tmp_path: Path) -> None:
    again = load_keras_model(train_run(small(), tmp_path / "again"))
    for first, second in zip(load_keras_model(run).weights, again.weights, strict=True):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_damaged_odd_and_foreign_files_do_not_stop_training(small: Small, drawn: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(drawn, tmp_path / "data"))
    jpeg = (data / "red/red_000.jpg").read_bytes()
    (data / "red/red_000.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (data / "red/notes.jpg").write_text("text")
    assert cv2.imwrite(str(data / "red/alpha.png"), np.full((50, 50, 4), (40, 30, 200, 255), np.uint8))
    assert cv2.imwrite(str(data / "green/grey.png"), np.full((50, 50), 90, np.uint8))
    record = train_run(small(data=data, epochs=1, fine_tune_epochs=0, views=1), tmp_path / "RUN").record
    assert record.data.unreadable == ("red/notes.jpg", "red/red_000.jpg")
    assert sum(record.data.pictures.values()) == 72 - 1 + 2
    assert any("2 files damaged" in notice for notice in record.data.notices)


def test_data_that_cannot_train_are_refused_and_nothing_is_written(small: Small, drawn: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "RUN"
    with pytest.raises(InputError, match="no folder"):
        train_run(small(data=tmp_path / "gone"), output)
    with pytest.raises(InputError, match="only the label"):
        train_run(small(labels=("red",)), output)
    data = Path(shutil.copytree(drawn, tmp_path / "data"))
    groups = [f"{p.relative_to(data).as_posix()},one-plant" for p in data.rglob("*.jpg")]
    (data / "manifest.csv").write_text("\n".join(["file,group", *groups]))
    with pytest.raises(InputError, match="too few groups"):
        train_run(small(data=data), output)
    assert not output.exists()
    assert list(output.parent.iterdir()) == []
