"""Choose golden inputs, and tolerances that a wrong scaling or swapped colours cannot slip through."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.golden import compare
from edge_runtime.bundles.manifest import FloatTolerance, QuantizedTolerance
from export.inspect import ConversionError

GOLDEN_INPUTS = 32
MAX_FLOAT_LOGIT_DIFFERENCE = 1e-3
CLEAR_MARGIN = 0.3
_QUANTIZED_SHARE = 0.15
"""Median logit difference allowed between machines, as a share of the logits' own spread."""

_TINY = 1e-6

Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


def choose_golden(truth: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Indices of golden inputs: labels in turn, at random within a label, 32 or all that there are."""
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    place = np.empty(len(truth), np.int64)
    for label in np.unique(truth):
        mine = shuffled[truth[shuffled] == label]
        place[mine] = np.arange(len(mine))
    return np.sort(shuffled[np.argsort(place[shuffled], kind="stable")][:GOLDEN_INPUTS])


def swapped_colours(inputs: Images) -> Images:
    """What a model sees when RGB and BGR are mistaken for each other."""
    return np.ascontiguousarray(inputs[..., ::-1])


def wrong_scaling(inputs: Images) -> Images:
    """Pixels that, scaled to -1..1, are what x / 255 would have given: the usual mistake."""
    scaled: Images = np.rint(127.5 + inputs / 2).astype(np.uint8)
    return scaled


def tolerance_for(
    *, quantized: bool, recorded: Logits, keras_logits: Logits, swapped: Logits, misscaled: Logits
) -> FloatTolerance | QuantizedTolerance:
    """The tolerance of one (artefact, engine), all logits `[n, labels]` of the golden inputs.

    Args:
        quantized: Integer artefacts differ legitimately between engines and CPUs; float ones do not.
        recorded: Outputs for the golden inputs themselves.
        keras_logits: Of the Keras model, to know which cases are clear.
        swapped: Outputs for `swapped_colours`.
        misscaled: Outputs for `wrong_scaling`.

    Raises:
        ConversionError: The self-test would pass with one of the two mistakes: the model hardly looks at its input.
    """
    # A model that hardly reacts needs a finer measure, or a mistake would stay below it.
    mistakes = [np.abs(recorded - wrong) for wrong in (swapped, misscaled)]
    tolerance: FloatTolerance | QuantizedTolerance
    if quantized:
        smallest = min(float(np.median(mistake)) for mistake in mistakes)
        allowed = min(_QUANTIZED_SHARE * float(recorded.std()), smallest / 2)
        tolerance = QuantizedTolerance(clear_margin=CLEAR_MARGIN, median_logit_difference=max(allowed, _TINY))
    else:
        smallest = min(float(mistake.max()) for mistake in mistakes)
        tolerance = FloatTolerance(max_logit_difference=max(min(MAX_FLOAT_LOGIT_DIFFERENCE, smallest / 2), _TINY))
    for name, wrong in (("swapped colours", swapped), ("a wrong scaling", misscaled)):
        if compare(wrong, recorded, keras_logits, tolerance).passed:
            raise ConversionError(
                f"The golden self-test would not notice {name}: the model's answers hardly change.",
                expected="a model whose answers depend on colour and brightness",
                remedy="look at the training report; a model this indifferent to its input has learnt nothing",
            )
    return tolerance
