from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from edge_runtime.deciding.decide import softmax
from edge_runtime.errors import InputError
from evaluation.dataset import load_inputs
from evaluation.split import Split
from train import Run, TrainConfig, load_keras_model, match_data, predict_keras, train_run
from train.audit import Kind
from train.backbone import build_backbone
from train.events import Notice, OnEvent, Progress
from train.model import backbone_of
from train.pictures import InMemory
from train.recipe import LabelledPictures, Trained, choose_folds, run_recipe
from train.run_directory import read_history
from train.run_record import EpochRow, RecipeEvent

Small = Callable[..., TrainConfig]


@pytest.fixture
def backbone() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_backbone(96, 0.35, "none")


@pytest.fixture(scope="module")
def examples() -> tuple[LabelledPictures, LabelledPictures]:
    """Flat noisy colours, three labels, four places: 96 to train on, 48 to validate."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> LabelledPictures:
        truth = np.arange(n) % 3
        colours = np.array([(60, 170, 60), (210, 150, 130), (200, 30, 40)])[truth]
        pixels = colours[:, None, None] + rng.normal(0, 40, (n, 96, 96, 3))
        pictures = InMemory(np.clip(pixels, 0, 255).astype(np.uint8))
        return LabelledPictures(pictures, truth, [f"place {i // 3 % 4}" for i in range(n)])

    return draw(96), draw(48)


def test_it_learns_and_the_model_file_says_what_was_measured(run: Run) -> None:
    assert run.record.test.accuracy >= 0.8  # random weights, 15 pictures
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


def train_on(
    examples: tuple[LabelledPictures, LabelledPictures],
    backbone: keras.Model,
    config: TrainConfig,
    folder: Path,
    on_event: OnEvent = lambda _: None,
) -> Trained:
    return run_recipe(backbone, *examples, labels=3, config=config, folder=folder, on_event=on_event)


def loss_of(model: keras.Model, examples: LabelledPictures) -> float:
    """Of the whole model on pixels, whatever the cached path says."""
    probabilities = model.predict(examples.pictures.read(range(len(examples.pictures))), verbose=0)
    return float(-np.log(probabilities[np.arange(len(probabilities)), examples.truth]).mean())


def test_what_is_trainable_is_exactly_what_was_asked_for_and_batch_normalisation_never_moves(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    """Layer 130 is no place where the graph can be cut: the cache ends at 125, and 125 to 129 stay as they are."""
    before = {layer.name: [w.numpy() for w in layer.weights] for layer in backbone.layers}
    config = small(fine_tune_at=130, fine_tune_rate=1e-4, fine_tune_epochs=3, patience=3, epochs=2)
    trained = train_on(examples, backbone, config, tmp_path)
    assert [e.kind for e in trained.events if e.phase == "fine_tune"] == ["unfrozen", "kept"]
    assert trained.unfrozen == 130
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
    best = min(row.val_loss for row in trained.history if row.phase == "fine_tune")
    assert loss_of(trained.model, examples[1]) == pytest.approx(best, rel=1e-4)


def test_the_whole_model_answers_like_the_layers_one_after_the_other(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    config = small(fine_tune_at=130, fine_tune_rate=1e-4, fine_tune_epochs=2, epochs=3)
    trained = train_on(examples, backbone, config, tmp_path)
    assert trained.unfrozen == 130
    pixels = examples[1].pictures.read(range(16))
    found = {backbone.layers[0].name: keras.ops.convert_to_tensor(pixels.astype(np.float32) / 127.5 - 1)}
    for layer in backbone_of(trained.model).layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        values = [found[tensor._keras_history.operation.name] for tensor in inputs]
        found[layer.name] = layer(values if len(values) > 1 else values[0])
    pooled = found[backbone.layers[-1].name].numpy().mean(axis=(1, 2))
    kernel, bias = trained.model.get_layer("probabilities").get_weights()
    np.testing.assert_allclose(trained.model.predict(pixels, verbose=0), softmax(pooled @ kernel + bias), atol=1e-4)


def test_a_batch_normalisation_that_moves_is_noticed_even_if_the_phase_is_thrown_away(
    backbone: keras.Model,
    examples: tuple[LabelledPictures, LabelledPictures],
    small: Small,
    tmp_path: Path,
) -> None:
    def nudge(event: object) -> None:
        if isinstance(event, RecipeEvent) and event.kind == "unfrozen":
            next(layer for layer in backbone.layers if "BN" in layer.name).moving_mean.assign_add([1.0] * 16)

    config = small(epochs=1, fine_tune_epochs=1, fine_tune_at=145)
    with pytest.raises(RuntimeError, match="batch normalisation moved"):
        train_on(examples, backbone, config, tmp_path, nudge)


@pytest.mark.parametrize(("rate", "why"), [(1e4, "above|not a number"), (float("1e30"), "not a number|above")])
def test_a_huge_rate_is_stopped_within_the_epoch_and_ends_with_the_model_of_phase_one_and_the_story(
    backbone: keras.Model,
    examples: tuple[LabelledPictures, LabelledPictures],
    small: Small,
    tmp_path: Path,
    rate: float,
    why: str,
) -> None:
    before = [w.numpy() for w in backbone.weights]
    config = small(epochs=4, fine_tune_rate=rate, batch_size=4)
    trained = train_on(examples, backbone, config, tmp_path)
    story = [e for e in trained.events if e.phase == "fine_tune"]
    assert [e.kind for e in story] == ["unfrozen", "diverged", "diverged", "diverged", "gave_up"]
    assert [e.rate for e in story[1:]] == pytest.approx([rate, 0.3 * rate, 0.09 * rate, 0.027 * rate])
    for event in story[1:]:
        assert event.epoch == 5
        assert re.match(rf"step 8: .*({why})", event.reason)  # of 24 an epoch
    assert [row.phase for row in trained.history] == ["head"] * 4  # no epoch of phase two was finished
    assert trained.unfrozen is None
    for old, new in zip(before, backbone.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert loss_of(trained.model, examples[1]) == pytest.approx(min(row.val_loss for row in trained.history), rel=1e-4)


def test_a_huge_rate_asked_for_is_lowered_while_sources_judge_and_ends_with_the_model_of_phase_one(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    before = [w.numpy() for w in backbone.weights]
    config = small(epochs=4, fine_tune_rate=1.0, batch_size=4, select_by=None)
    trained = train_on(examples, backbone, config, tmp_path / "tuned")
    story = [e for e in trained.events if e.phase == "fine_tune"]
    assert [e.kind for e in story] == ["diverged", "diverged", "diverged", "gave_up", "chosen"]
    assert [e.rate for e in story[:4]] == pytest.approx([1.0, 0.3, 0.09, 0.027])
    for event in story[:4]:
        assert event.epoch == 5
        assert re.search(r"step \d+: .*(above|not a number)", event.reason)
        assert backbone.layers[125].name in event.reason
    nothing, tried = trained.choice.candidates
    assert (nothing.chosen, nothing.boundary, tried.chosen, tried.boundary) == (True, None, False, 125)
    assert tried.reason.startswith("diverged: step ")
    assert tried.rate == pytest.approx(0.027)
    assert trained.unfrozen is None
    for old, new in zip(before, backbone.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    keras.utils.set_random_seed(0)
    frozen = train_on(
        examples,
        build_backbone(96, 0.35, "none"),
        config.model_copy(update={"fine_tune_epochs": 0}),
        tmp_path / "frozen",
    )
    assert loss_of(trained.model, examples[1]) == pytest.approx(loss_of(frozen.model, examples[1]), rel=1e-6)


def test_a_rate_that_is_a_little_too_high_is_lowered_until_it_works(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    config = small(epochs=4, fine_tune_rate=0.01, fine_tune_epochs=1)
    trained = train_on(examples, backbone, config, tmp_path)
    kinds = [e.kind for e in trained.events if e.phase == "fine_tune"]
    assert "diverged" in kinds
    assert kinds[-1] == "kept"


def test_phase_one_ends_on_a_plateau_with_its_best_weights(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    config = small(epochs=200, patience=2, min_delta=0.02, fine_tune_epochs=0, views=1)
    seen: list[object] = []
    trained = train_on(examples, backbone, config, tmp_path, seen.append)
    losses = [row.val_loss for row in trained.history]
    assert len(losses) < 200
    assert [event.kind for event in trained.events] == ["plateau"]
    assert min(losses[-2:]) > min(losses[:-2]) - 0.02
    assert loss_of(trained.model, examples[1]) == pytest.approx(min(losses), rel=1e-4)
    assert [e for e in seen if isinstance(e, EpochRow)] == trained.history
    assert [e for e in seen if isinstance(e, RecipeEvent)] == trained.events
    assert Progress("features of train", 96, 96) in seen


def test_sources_held_out_in_turn_decide_where_there_are_enough(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    """Place 3 has its labels turned round: no other place can teach it, which the validation split does not see."""
    train, validation = (
        replace(part, truth=np.where(np.array(part.sources) == "place 3", (part.truth + 1) % 3, part.truth))
        for part in examples
    )
    config = small(epochs=40, patience=4, fine_tune_at="auto", fine_tune_epochs=2, select_by=None)
    by_source = train_on((train, validation), backbone, config, tmp_path / "source")
    by_validation = train_on(
        (train, validation), backbone, config.model_copy(update={"select_by": "validation"}), tmp_path / "validation"
    )
    assert by_source.choice.sources == ("place 0", "place 1", "place 2", "place 3")
    assert by_validation.choice.sources == ()
    rows = [row for row in by_source.history if row.phase == "head"]
    assert all(row.source_loss is not None for row in rows)
    assert rows[-1].source_loss > 1.5 * rows[-1].val_loss
    # It got worse at once for the place that contradicts all others, and that ended the phase early.
    assert len(rows) < len([row for row in by_validation.history if row.phase == "head"])
    for trained in (by_source, by_validation):
        candidates = trained.choice.candidates
        assert [one.boundary for one in candidates] == [None, 143, 125, 98]
        assert sum(one.chosen for one in candidates) == 1
        for one in candidates:
            assert one.loss == pytest.approx(np.mean([judge.loss for judge in one.by_judge.values()]))
            assert one.better_by == pytest.approx(candidates[0].loss - one.loss, abs=1e-6)
            assert not one.chosen or one.boundary is None or one.better_by > 2 * one.noise > 0
        chosen = next(one for one in candidates if one.chosen)
        assert {row.phase for row in trained.history} == ({"head", "fine_tune"} if chosen.boundary else {"head"})


def test_the_validation_split_does_not_step_in_for_sources_without_a_word(
    examples: tuple[LabelledPictures, LabelledPictures], small: Small
) -> None:
    """Of three places, one has two pictures too few."""
    train, validation = (replace(part, sources=["a", "b"] * (len(part.sources) // 2)) for part in examples)
    groups = [f"fruit {i // 4}" for i in range(len(validation.truth))]
    train, validation = replace(train, sources=[*train.sources[28:], *["c"] * 28]), replace(validation, groups=groups)
    heard: list[object] = []
    folds = choose_folds(train, validation, small(select_by=None), heard.append)
    assert (folds.select_by, folds.groups) == ("validation", groups)
    (notice,) = heard
    assert isinstance(notice, Notice)
    assert "Only 2 of 3 sources" in notice.text
    assert "'c' has 28 pictures in train and validation, 30 are needed" in notice.text
    assert choose_folds(train, validation, small(select_by="validation"), heard.append).select_by == "validation"
    two = replace(train, sources=["a", "b"] * 48)
    assert choose_folds(two, validation, small(select_by=None), heard.append).select_by == "validation"
    assert len(heard) == 1


def test_sources_are_asked_for_in_vain_where_there_are_too_few(
    backbone: keras.Model, examples: tuple[LabelledPictures, LabelledPictures], small: Small, tmp_path: Path
) -> None:
    two = [replace(part, sources=[f"place {i % 2}" for i in range(len(part.sources))]) for part in examples]
    with pytest.raises(InputError, match="Only 2 sources") as caught:
        train_on((two[0], two[1]), backbone, small(select_by="source"), tmp_path)
    assert "--select-by validation" in str(caught.value)


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


def test_of_many_pictures_only_whole_copies_are_looked_for_and_the_run_says_so(
    small: Small, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(shutil.copytree(drawn, tmp_path / "my data"))
    picture = cv2.imread(str(data / "red/red_000.jpg"))
    assert cv2.imwrite(str(data / "red/again.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    monkeypatch.setattr("train.training.NEAR_COPIES_UP_TO", 72)
    run = train_run(small(data=data, epochs=1, fine_tune_epochs=0, views=1), tmp_path / "RUN")
    [said] = [one for one in run.record.data.notices if "copies" in one]
    assert said.startswith("Of 73 pictures only copies of whole files were looked for")
    assert f"ripeline audit '{data}' --quick" in said
    assert said in (run.folder / "report.html").read_text().replace("&#39;", "'")
    assert {one.kind for one in run.record.evidence.audit}.isdisjoint({Kind.DUPLICATE, Kind.LEAK, Kind.CONTRADICTION})


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
