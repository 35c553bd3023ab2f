"""A learning rate that falls: its values, and what phase two makes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest

import train.journal
from train import TrainConfig
from train.cache import Examples, StoredViews
from train.config import Boundary
from train.folds import by_validation
from train.guard import DivergedError, Guard
from train.journal import Journal, State
from train.pictures import InMemory
from train.recipe import LabelledPictures, Trained, run_recipe
from train.schedule import Rates, Schedule
from train.top import Top

SIZE_PX = 32
EPOCHS = 5
VALIDATION = 2
"""The seed of the pictures that judge."""


def test_a_constant_rate_is_the_same_everywhere() -> None:
    rates = Rates("constant", 1e-5, 10)
    assert {rates.at(done) for done in (0, 0.3, 5, 10)} == {1e-5}
    assert not rates.falls


def test_a_cosine_warms_up_within_an_epoch_and_ends_at_nothing() -> None:
    rates = Rates("cosine", 8e-4, 21)
    assert rates.falls
    assert [rates.at(done) for done in (0, 0.25, 1, 11, 21)] == pytest.approx([0, 2e-4, 8e-4, 4e-4, 0])
    assert rates.at(6) == pytest.approx(8e-4 * (2 + 2**0.5) / 4)
    after = [rates.of_epoch(number) for number in range(2, 22)]
    assert all(later < earlier for earlier, later in pairwise(after))
    assert Rates("cosine", 8e-4, 2).at(0.2) == pytest.approx(8e-4)  # of two epochs, a tenth warms up
    assert Rates("cosine", 8e-4, 1).of_epoch(1) > 0


@pytest.fixture
def network() -> keras.Model:
    """Colours to six features."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE_PX, SIZE_PX, 3))
    x = keras.layers.AveragePooling2D(8, name="small")(image)
    x = keras.layers.Conv2D(8, 1, name="mixes")(x)
    return keras.Model(image, keras.layers.ReLU(name="out")(x))


def draw(n: int, seed: int) -> LabelledPictures:
    """Two labels, whose colours overlap."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    colours = rng.normal(120 + 20 * truth[:, None, None, None], 20, (n, 1, 1, 3))
    pixels = np.broadcast_to(colours, (n, SIZE_PX, SIZE_PX, 3))
    return LabelledPictures(InMemory(np.clip(pixels, 0, 255).astype(np.uint8)), truth, ["line"] * n)


def test_steps_are_as_long_as_the_rate_of_their_time(network: keras.Model, small: Callable[..., TrainConfig]) -> None:
    rng = np.random.default_rng(0)
    views = StoredViews(rng.normal(size=(256, 1, 4, 4, 3)).astype(np.float32))
    examples = Examples(views, rng.integers(0, 2, 256))
    for layer in network.layers:
        layer.trainable = False
    top = Top(network, 2, 2, small(batch_size=4))
    moved: dict[str, list[float]] = {}
    for schedule in ("constant", "cosine"):
        top.begin(np.zeros((8, 2), np.float32), np.zeros(2, np.float32), Rates(schedule, 1e-3, EPOCHS))
        for number in range(1, EPOCHS + 1):
            before = top.weights()
            list(top.epoch(examples, np.ones(256, bool), "stage", number))
            way = [np.abs(new - old).mean() for new, old in zip(top.weights(), before, strict=True)]
            moved.setdefault(schedule, []).append(float(np.mean(way)))
    steady, falling = moved["constant"], moved["cosine"]
    assert min(steady) > 0.3 * max(steady)
    assert falling[-1] < 0.1 * steady[-1]
    assert 0.8 * steady[0] < falling[0] < 1.2 * steady[0]


@pytest.mark.parametrize(
    ("schedule", "number", "worse", "stopped"),
    [
        ("constant", 1, 0.4, True),
        ("cosine", 1, 0.4, False),
        ("cosine", EPOCHS, 0.4, True),
        ("cosine", 1, 0.8, True),
        ("cosine", EPOCHS, 0.1, False),
    ],
)
def test_the_guard_lets_a_falling_rate_do_worse_on_its_way_but_not_at_its_end_nor_worse_than_guessing(
    network: keras.Model,
    small: Callable[..., TrainConfig],
    schedule: Schedule,
    number: int,
    worse: float,
    stopped: bool,
) -> None:
    """A head that answers all with label 0, surely enough for a loss of 0.1; then its loss is set, and stays so."""

    def bias(loss: float) -> np.ndarray:
        return np.array([-np.log(np.expm1(loss)), 0], np.float32)

    examples = Examples(StoredViews(np.zeros((64, 1, 4, 4, 3), np.float32)), np.zeros(64, np.int64))
    for layer in network.layers:
        layer.trainable = False
    top, rates = Top(network, 2, 2, small()), Rates(schedule, 1e-12, EPOCHS)
    top.begin(np.zeros((8, 2), np.float32), bias(0.1), rates)
    folds = by_validation(64, 64)
    guard = Guard(top, examples, examples, folds.judges[0], rates)
    top.begin(np.zeros((8, 2), np.float32), bias(worse), rates)
    with pytest.raises(DivergedError) if stopped else nullcontext():
        guard.epoch(np.ones(64, bool), "stage", number)


def trained(
    network: keras.Model, config: TrainConfig, folder: Path, labelled: Callable[[int, int], LabelledPictures] = draw
) -> Trained:
    return run_recipe(
        network,
        labelled(96, 1),
        labelled(48, VALIDATION),
        labels=2,
        config=config,
        folder=folder,
        on_event=lambda _: None,
    )


def loss_of(model: keras.Model, examples: LabelledPictures) -> float:
    probabilities = model.predict(examples.pictures.read(range(len(examples.pictures))), verbose=0)
    return float(-np.log(probabilities[np.arange(len(probabilities)), examples.truth]).mean())


def falling(small: Callable[..., TrainConfig], at: Boundary = 2, **changes: object) -> TrainConfig:
    quick: dict[str, object] = {
        "views": 1, "epochs": 2, "head_rate": 1e-3, "size_px": SIZE_PX, "batch_size": 4, "fine_tune_at": at,
        "fine_tune_rate": 2e-3, "fine_tune_epochs": EPOCHS, "fine_tune_schedule": "cosine",
    }  # fmt: skip
    return small(**quick | changes)


def test_phase_two_goes_to_the_end_of_the_schedule_and_keeps_it(
    network: keras.Model, small: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """Neither a plateau ends it nor is the best epoch on the way taken."""
    found = trained(network, falling(small, patience=1, min_delta=10.0), tmp_path)
    rows = [row for row in found.history if row.phase == "fine_tune"]
    rates = Rates("cosine", 2e-3, EPOCHS)
    assert [row.learning_rate for row in rows] == [rates.of_epoch(number) for number in range(1, EPOCHS + 1)]
    kept = found.events[-1]
    assert (kept.kind, kept.epoch) == ("kept", rows[-1].epoch)
    assert loss_of(found.model, draw(48, VALIDATION)) == pytest.approx(rows[-1].val_loss, rel=1e-4)


def test_an_end_that_is_worse_than_phase_one_is_not_kept(
    network: keras.Model, small: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """The validation pictures have labels that follow no rule: what is learnt makes the model wrongly sure of them."""

    def labelled(n: int, seed: int) -> LabelledPictures:
        drawn = draw(n, seed)
        truth = np.random.default_rng(seed).integers(0, 2, n) if seed == VALIDATION else drawn.truth
        return LabelledPictures(drawn.pictures, truth, drawn.sources)

    config = falling(small, epochs=60, head_rate=0.03, fine_tune_epochs=20)
    before = [weight.numpy() for weight in network.weights]
    found = trained(network, config, tmp_path, labelled)
    rows = [row for row in found.history if row.phase == "fine_tune"]
    first = min(row.val_loss for row in found.history if row.phase == "head")
    assert rows[-1].val_loss > first
    assert (found.events[-1].kind, found.unfrozen) == ("kept", None)
    assert found.events[-1].reason == "no epoch of phase two was better than phase one"
    for old, new in zip(before, network.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_the_guard_begins_the_whole_schedule_again_at_a_lower_rate(
    network: keras.Model, small: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    found = trained(network, falling(small, fine_tune_rate=1.0, dropout=0.0), tmp_path)
    lowered = [event for event in found.events if event.kind == "diverged"]
    assert lowered
    rates = Rates("cosine", 1.0 * 0.3 ** len(lowered), EPOCHS)
    rows = [row for row in found.history if row.phase == "fine_tune"][-EPOCHS:]
    assert [row.learning_rate for row in rows] == pytest.approx(
        [rates.of_epoch(number) for number in range(1, EPOCHS + 1)]
    )


def of_places(n: int, seed: int) -> LabelledPictures:
    drawn = draw(n, seed)
    return LabelledPictures(drawn.pictures, drawn.truth, [f"place {i // 2 % 4}" for i in range(n)])


def test_trials_for_what_to_unfreeze_are_judged_at_the_end_of_their_schedule(
    network: keras.Model, small: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    found = trained(network, falling(small, select_by="source"), tmp_path, of_places)
    nothing, tried = found.choice.candidates
    assert nothing.epochs == 0
    assert (tried.epochs, tried.rate) == (EPOCHS, 2e-3)


class KilledError(Exception):
    """Raised where a run is broken off."""


def broken_off(stage: str, run: Callable[[], Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the third state of a stage is saved."""
    write, saved = Journal._write, 0

    def write_and_fail(self: Journal, name: str, state: State) -> None:
        nonlocal saved
        write(self, name, state)
        saved += name == f"{stage}.part.npz"
        if saved == 3:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", write_and_fail)
        with pytest.raises(KilledError):
            run()


@pytest.mark.parametrize(("labelled", "stages"), [(draw, ["fine_tune-0"]), (of_places, ["search-2-0", "fine_tune-0"])])
def test_a_run_that_goes_on_has_the_rates_and_weights_of_one_that_was_not_broken_off(
    network: keras.Model,
    small: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labelled: Callable[[int, int], LabelledPictures],
    stages: list[str],
) -> None:
    monkeypatch.setattr(train.journal, "SAVE_EVERY_S", 0.0)
    config = falling(small, select_by="source" if labelled is of_places else "validation")

    def run(name: str) -> Trained:
        fresh = keras.models.clone_model(network)
        fresh.set_weights(network.get_weights())
        return trained(fresh, config, tmp_path / name, labelled)

    whole = run("whole")
    for stage in stages:
        broken_off(stage, lambda: run("broken"), monkeypatch)
    again = run("broken")
    assert whole.unfrozen == again.unfrozen == 2
    for one, other in zip(whole.history, again.history, strict=True):
        assert (one.learning_rate, one.val_loss) == (other.learning_rate, other.val_loss)
    for mine, theirs in zip(whole.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
