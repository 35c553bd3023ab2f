from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edge_runtime.errors import InputError
from train.backbone import STARTER_FILE, build_backbone
from train.model import build_head, build_model, logits_model


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return build_backbone(96, 0.35, "none")


def test_weights_from_a_file_are_the_ones_used(backbone: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "mine.weights.h5"
    backbone.save_weights(path)
    again = build_backbone(64, 0.35, str(path))  # another picture size takes the same weights
    for mine, theirs in zip(backbone.weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_weights_of_another_width_are_refused(backbone: keras.Model, tmp_path: Path) -> None:
    backbone.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(InputError, match=r"narrow\.weights\.h5 does not fit MobileNetV2 with alpha 0\.5"):
        build_backbone(96, 0.5, str(tmp_path / "narrow.weights.h5"))


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.weights.h5").write_text("no weights")
    with pytest.raises(InputError, match=r"text\.weights\.h5 does not fit"):
        build_backbone(96, 0.35, str(tmp_path / "text.weights.h5"))


def test_a_file_that_lacks_layers_is_refused_and_not_half_used(backbone: keras.Model, tmp_path: Path) -> None:
    short = keras.Model(backbone.input, backbone.layers[60].output)
    short.save_weights(tmp_path / "short.weights.h5")
    with pytest.raises(InputError, match=r"short\.weights\.h5 does not fit"):
        build_backbone(96, 0.35, str(tmp_path / "short.weights.h5"))


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(InputError, match="no weights file imagnet") as caught:
        build_backbone(96, 0.35, "imagnet")
    assert "imagenet, starter, none" in str(caught.value)


def test_unknown_widths_and_starter_of_another_width_are_refused() -> None:
    with pytest.raises(InputError, match=r"no width 0\.4"):
        build_backbone(96, 0.4, "none")
    with pytest.raises(InputError, match="no starter weights for alpha 1"):
        build_backbone(96, 1.0, "starter")


@pytest.mark.skipif(not STARTER_FILE.is_file(), reason="the starter weights are not in this checkout")
def test_starter_weights_load() -> None:
    random, starter = build_backbone(96, 0.35, "none"), build_backbone(96, 0.35, "starter")
    assert any((a.numpy() != b.numpy()).any() for a, b in zip(random.weights, starter.weights, strict=True))


def test_a_failed_download_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        build_backbone(96, 0.5, "imagenet")
    assert "--weights starter" in str(caught.value)


def test_the_model_takes_raw_pixels_and_scales_them_itself(backbone: keras.Model) -> None:
    head = build_head(3)
    model = build_model(backbone, head, 0.2)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    features = backbone(pixels.astype(np.float32) / 127.5 - 1, training=False).numpy().mean(axis=(1, 2))
    logits = features @ head.kernel.numpy() + head.bias.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(pixels).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(logits_model(model)(pixels).numpy(), logits, atol=1e-5)
    assert (model.input.name, str(model.input.dtype), model.layers[-1].name) == ("image", "uint8", "probabilities")
