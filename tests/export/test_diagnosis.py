from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.preprocess import InputSpec, to_model_input
from evaluation.dataset import Picture
from evaluation.picture import read_image
from export.diagnosis import Suspects, explain, mistaken_inputs, other_resizes, samples_unlike

LABELS = ("unripe", "turning", "ripe")
SPEC = InputSpec(size_px=32)
_WEIGHTS = np.random.default_rng(0).normal(size=(32 * 32 * 3, 3))


def network(scaled: np.ndarray) -> np.ndarray:
    """Stands in for a network fed pixels in -1..1: sees place, colour and brightness, and answers beyond a line."""
    return np.tanh(scaled.reshape(len(scaled), -1) @ _WEIGHTS / 12).astype(np.float32) * 3


def reference(inputs: np.ndarray) -> np.ndarray:
    return network(inputs / 127.5 - 1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Wide pictures with texture, so that ways of resizing and padding differ."""
    folder, rng, found = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1), []
    for number in range(16):
        coarse = rng.integers(0, 256, (9, 17, 3), np.uint8)
        image = cv2.resize(coarse, (136, 72), interpolation=cv2.INTER_LINEAR)
        noisy = np.clip(image.astype(int) + rng.integers(-60, 61, image.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), noisy)
        found.append(Picture(path=folder / f"{number}.png", file=f"{number}.png", sha256=str(number), box=None))
    return found


@pytest.fixture(scope="module")
def inputs(pictures: list[Picture]) -> np.ndarray:
    return np.stack([to_model_input(read_image(one.path), None, SPEC) for one in pictures])


@pytest.fixture(scope="module")
def suspects(pictures: list[Picture], inputs: np.ndarray) -> Suspects:
    return Suspects(reference, inputs, pictures, SPEC)


def test_swapped_colours_are_named(suspects: Suspects, inputs: np.ndarray) -> None:
    assert suspects.explain(LABELS, reference(inputs[..., ::-1])) == "matches if RGB and BGR are swapped"


def test_a_wrong_scaling_is_named(suspects: Suspects, inputs: np.ndarray) -> None:
    assert "[0, 1] instead of [-1, 1]" in suspects.explain(LABELS, network(inputs / 255))
    assert "scaled twice" in suspects.explain(LABELS, network((inputs / 127.5 - 1) / 127.5 - 1))


def test_shuffled_labels_are_named_one_by_one(suspects: Suspects, inputs: np.ndarray) -> None:
    said = suspects.explain(LABELS, reference(inputs)[:, [0, 2, 1]])
    assert "permuted" in said
    assert "ripe stands where turning belongs" in said
    assert "turning stands where ripe belongs" in said
    assert "unripe stands" not in said


@pytest.mark.parametrize("words", ["stretched", "centre is cut out", "padding is black", "nearest neighbour"])
def test_another_resize_is_named(suspects: Suspects, pictures: list[Picture], words: str) -> None:
    (found,) = [seen for name, seen in other_resizes(pictures, SPEC).items() if words in name]
    assert words in suspects.explain(LABELS, reference(found))


def test_each_mistake_survives_a_little_rounding_and_no_other_is_blamed(suspects: Suspects, inputs: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, (len(inputs), 3)).astype(np.float32)
    for words, seen in mistaken_inputs(inputs).items():
        assert suspects.explain(LABELS, reference(seen) + noise) == f"matches if {words}"


def test_what_no_mistake_explains_is_not_explained(suspects: Suspects, inputs: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    assert suspects.explain(LABELS, rng.normal(size=(len(inputs), 3)).astype(np.float32)) == ""
    assert suspects.explain(LABELS, np.full((len(inputs), 3), np.nan, np.float32)) == ""
    assert explain(LABELS, reference(inputs), reference(inputs), {}) == ""


def test_pictures_with_boxes_are_not_resized_in_other_ways(pictures: list[Picture], tmp_path: Path) -> None:
    from edge_runtime.records import Box

    boxed = Picture(path=pictures[0].path, file="0.png", sha256="0", box=Box(0, 0, 10, 10))
    assert other_resizes([boxed, *pictures[1:]], SPEC) == {}


def test_quantisation_samples_of_noise_are_told_from_pictures(inputs: np.ndarray) -> None:
    smooth = np.stack([cv2.GaussianBlur(one, (7, 7), 0) for one in inputs])
    noise = np.random.default_rng(4).integers(0, 256, inputs.shape, np.uint8)
    assert "do not look like pictures" in samples_unlike(noise, smooth)
    assert samples_unlike(smooth[:8], smooth[8:]) == ""
