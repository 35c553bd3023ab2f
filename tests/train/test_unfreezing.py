"""Pictures that a frozen backbone cannot tell apart and a trained one can: here `auto` has to unfreeze."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from train import TrainConfig
from train.pictures import InMemory
from train.recipe import LabelledPictures, Trained, run_recipe

SIZE_PX = 32
MIXES = 5
"""Index of the layer that has to be trained, of 8: about a third of the way from the end."""


def draw(n: int, seed: int) -> LabelledPictures:
    """Squares of any colour, of four places; those of the second label with a fine chequered pattern."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    chequers = np.where(np.indices((SIZE_PX, SIZE_PX)).sum(axis=0) % 2, 40, -40)
    colours = rng.integers(60, 190, (n, 1, 1, 3))
    pixels = colours + truth[:, None, None, None] * chequers[..., None] + rng.normal(0, 5, (n, SIZE_PX, SIZE_PX, 3))
    pictures = InMemory(np.clip(pixels, 0, 255).astype(np.uint8))
    return LabelledPictures(pictures, truth, [f"place {i // 2 % 4}" for i in range(n)])


@pytest.fixture
def blind() -> keras.Model:
    """It sees colours and patterns, but its one trained layer makes nothing of the patterns."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE_PX, SIZE_PX, 3))
    sees = keras.layers.Conv2D(6, 2, use_bias=False, name="sees")
    mixes = keras.layers.Conv2D(12, 1, use_bias=False, name="mixes")
    x = keras.layers.ReLU(name="sees_relu")(keras.layers.BatchNormalization(name="sees_BN")(sees(image)))
    x = keras.layers.AveragePooling2D(2, name="sees_pool")(x)
    x = keras.layers.BatchNormalization(name="mixes_BN")(mixes(x))
    backbone = keras.Model(image, keras.layers.ReLU(6.0, name="out_relu")(x))
    kernel = np.zeros((2, 2, 3, 6), np.float32)
    for colour in range(3):
        kernel[:, :, colour, colour] = 0.25
        kernel[:, :, colour, 3 + colour] = [[0.25, -0.25], [-0.25, 0.25]]
    sees.set_weights([kernel])
    mixed = mixes.get_weights()[0]
    mixed[:, :, 3:] = 0
    mixes.set_weights([mixed])
    assert backbone.layers[MIXES] is mixes
    return backbone


def accuracy(model: keras.Model, examples: LabelledPictures) -> float:
    probabilities = model.predict(examples.pictures.read(range(len(examples.pictures))), verbose=0)
    return float((probabilities.argmax(axis=1) == examples.truth).mean())


@pytest.mark.parametrize("select_by", ["source", "validation"])
def test_auto_unfreezes_where_that_beats_chance_and_the_model_is_better_for_it(
    blind: keras.Model, small: Callable[..., TrainConfig], tmp_path: Path, select_by: str
) -> None:
    train, validation, test = draw(160, seed=1), draw(64, seed=2), draw(200, seed=3)

    def trained(**changes: object) -> Trained:
        config = small(
            views=1, epochs=5, fine_tune_epochs=6, fine_tune_rate=1e-2, batch_size=8, size_px=SIZE_PX,
            select_by=select_by, **changes,
        )  # fmt: skip
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return run_recipe(blind, train, validation, labels=2, config=config, folder=folder, on_event=lambda _: None)

    frozen = trained(fine_tune_at=0.0)
    assert accuracy(frozen.model, test) < 0.65
    found = trained(fine_tune_at="auto")
    nothing, *tried = found.choice.candidates
    assert len(tried) > 1
    chosen = next(one for one in tried if one.chosen)
    assert chosen.layer == "mixes"
    assert (chosen.reason, nothing.reason, nothing.chosen) == ("lowest loss", "beaten", False)
    assert chosen.loss < 0.5 * nothing.loss
    for one in tried:
        assert one.chosen or re.search(r"(better|worse) by \d\.\d{4}", one.reason)
    assert [event.kind for event in found.events] == ["ceiling", "chosen", "unfrozen", "kept"]
    assert found.unfrozen == MIXES
    assert accuracy(found.model, test) > 0.95
    assert found.choice.shipped_loss is not None
    assert frozen.choice.shipped_loss is not None
    assert found.choice.shipped_loss < 0.5 * frozen.choice.shipped_loss
    assert found.choice.shipped.keys() == chosen.by_judge.keys()
    assert min(one.accuracy for one in found.choice.shipped.values()) > 0.9
