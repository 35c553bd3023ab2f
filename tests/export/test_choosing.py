"""What the quantiser sees, what the golden set holds, and what its tolerances let through."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundles.golden import compare
from edge_runtime.bundles.manifest import FloatTolerance, QuantizedTolerance
from evaluation.dataset import Item
from export.golden import GOLDEN_INPUTS, choose_golden, swapped_colours, tolerance_for, wrong_scaling
from export.inspect import ConversionError
from export.samples import choose_samples


def items(**count_of: int) -> list[Item]:
    """`label_source=count` pictures."""
    made = []
    for name, count in count_of.items():
        label, source = name.split("_")
        for i in range(count):
            file = f"{label}/{source}{i}.jpg"
            made.append(
                Item(path=Path(file), file=file, sha256=file, label=label, group=file, fruit=None, source=source)
            )
    return made


def strata(chosen: list[Item]) -> Counter[tuple[str, str | None]]:
    return Counter((item.label, item.source) for item in chosen)


def test_samples_come_evenly_from_every_label_and_source() -> None:
    chosen = choose_samples(items(ripe_a=500, ripe_b=30, unripe_a=200, unripe_b=40), 80, seed=0)
    assert set(strata(chosen).values()) == {20}
    assert len({item.file for item in chosen}) == 80


def test_a_small_stratum_gives_all_it_has_and_others_fill_up() -> None:
    chosen = choose_samples(items(ripe_a=500, unripe_a=3), 50, seed=0)
    assert strata(chosen) == {("ripe", "a"): 47, ("unripe", "a"): 3}


def test_fewer_pictures_than_asked_for_are_all_taken() -> None:
    assert len(choose_samples(items(ripe_a=5, unripe_a=3), 50, seed=0)) == 8
    assert choose_samples([], 50, seed=0) == []


def test_a_count_that_does_not_divide_is_kept() -> None:
    assert len(choose_samples(items(ripe_a=50, unripe_a=50, turning_a=50), 100, seed=0)) == 100


def test_a_seed_chooses_the_same_again_and_another_seed_others() -> None:
    pool = items(ripe_a=500, unripe_a=500)
    assert choose_samples(pool, 60, seed=1) == choose_samples(pool, 60, seed=1)
    assert choose_samples(pool, 60, seed=1) != choose_samples(pool, 60, seed=2)


def test_golden_inputs_are_32_with_the_labels_in_turn() -> None:
    truth = np.array([0] * 200 + [1] * 50 + [2] * 6)
    chosen = choose_golden(truth, seed=0)
    assert len(chosen) == len(set(chosen.tolist())) == GOLDEN_INPUTS == 32
    assert Counter(truth[chosen].tolist()) == {0: 13, 1: 13, 2: 6}
    assert (np.diff(chosen) > 0).all()


def test_golden_inputs_are_all_there_are_when_there_are_few() -> None:
    np.testing.assert_array_equal(choose_golden(np.array([0, 1, 1, 0]), seed=0), [0, 1, 2, 3])


def test_golden_inputs_follow_the_seed() -> None:
    truth = np.arange(500) % 3
    np.testing.assert_array_equal(choose_golden(truth, 1), choose_golden(truth, 1))
    assert not np.array_equal(choose_golden(truth, 1), choose_golden(truth, 2))


def test_the_two_mistakes_are_what_they_are_called() -> None:
    pixels = np.array([[[[0, 100, 255]]]], np.uint8)
    np.testing.assert_array_equal(swapped_colours(pixels), [[[[255, 100, 0]]]])
    # What x / 255 makes of a pixel is what x / 127.5 - 1 would have made of this one.
    np.testing.assert_allclose(wrong_scaling(pixels) / 127.5 - 1, pixels / 255, atol=1 / 127.5)


def spread(seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (32, 3)).astype(np.float32)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("effect", [1e-4, 1e-2, 1.0])
def test_a_tolerance_catches_both_mistakes_however_small_their_effect(quantized: bool, effect: float) -> None:
    recorded = spread()
    swapped, misscaled = recorded + spread(1, effect), recorded + spread(2, effect)
    tolerance = tolerance_for(
        quantized=quantized, recorded=recorded, keras_logits=recorded, swapped=swapped, misscaled=misscaled
    )
    assert isinstance(tolerance, QuantizedTolerance if quantized else FloatTolerance)
    assert compare(recorded, recorded, recorded, tolerance).passed
    assert not compare(swapped, recorded, recorded, tolerance).passed
    assert not compare(misscaled, recorded, recorded, tolerance).passed


def test_a_float_tolerance_is_never_wider_than_a_thousandth() -> None:
    recorded = spread()
    tolerance = tolerance_for(
        quantized=False, recorded=recorded, keras_logits=recorded, swapped=-recorded, misscaled=recorded * 0
    )
    assert tolerance == FloatTolerance(max_logit_difference=1e-3)


def test_a_quantised_tolerance_leaves_room_for_another_cpu() -> None:
    recorded = spread()
    tolerance = tolerance_for(
        quantized=True, recorded=recorded, keras_logits=recorded, swapped=-recorded, misscaled=recorded * 0
    )
    assert isinstance(tolerance, QuantizedTolerance)
    assert tolerance.clear_margin == 0.3
    assert compare(recorded + spread(1, 0.2), recorded, recorded, tolerance).passed


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("blind_to", ["swapped", "misscaled"])
def test_a_model_that_does_not_look_at_its_input_cannot_be_tested(quantized: bool, blind_to: str) -> None:
    recorded = spread()
    outputs = {"swapped": -recorded, "misscaled": -recorded, blind_to: recorded}
    with pytest.raises(ConversionError, match="would not notice"):
        tolerance_for(quantized=quantized, recorded=recorded, keras_logits=recorded, **outputs)
