"""When outputs are not the reference's: which usual mistake would explain them? Pure, but for reading the pictures.

The reference is shown what a model sees under each mistake; the mistake whose answers are the candidate's is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from edge_runtime.records import Image
from evaluation.dataset import Picture
from evaluation.picture import read_image
from export.golden import swapped_colours, wrong_scaling

Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Reference = Callable[[Images], Logits]

HANDFUL = 32
"""Pictures that are enough to tell one mistake from another."""

_EXPLAINED = 0.3
"""A mistake explains a difference when it leaves at most this share of it (root mean square over centred logits)."""

_ROUGHER = 3.0


def mistaken_inputs(inputs: Images) -> dict[str, Images]:
    """By the words that follow "matches if": what a model sees of `inputs` `[n, size, size, 3]` under a mistake.

    Each is such that the right scaling, x / 127.5 - 1, makes of it what the wrong one makes of the pixel.
    """
    scaled_twice: Images = np.clip(np.rint(inputs / 127.5 - 1), 0, 255).astype(np.uint8)
    return {
        "RGB and BGR are swapped": swapped_colours(inputs),
        "pixels are scaled to [0, 1] instead of [-1, 1]": wrong_scaling(inputs),
        "pixels are scaled twice": scaled_twice,
        "rows and columns are swapped": np.ascontiguousarray(inputs.transpose(0, 2, 1, 3)),
    }


def other_resizes(pictures: Sequence[Picture], spec: InputSpec) -> dict[str, Images]:
    """The same for pictures that are brought to the model's size in another way; those with a box are left alone."""
    whole = [read_image(picture.path) for picture in pictures if picture.box is None]
    if len(whole) != len(pictures):
        return {}
    ways: dict[str, Callable[[Image], Image]] = {
        "pictures are stretched to a square": lambda one: _resize(one, spec, cv2.INTER_AREA),
        "the centre is cut out instead of padding": lambda one: _resize(_centre(one), spec, cv2.INTER_AREA),
        "the padding is black": lambda one: _resize(_square(one, cv2.BORDER_CONSTANT), spec, cv2.INTER_AREA),
        "pictures are resized by nearest neighbour": lambda one: _resize(_edge(one), spec, cv2.INTER_NEAREST),
        "pictures are resized without averaging (linear)": lambda one: _resize(_edge(one), spec, cv2.INTER_LINEAR),
    }
    return {words: np.stack([way(one) for one in whole]) for words, way in ways.items()}


class Suspects:
    """What the reference answers under each mistake, found out when first asked for.

    Args:
        reference: From uint8 RGB `[n, size, size, 3]` to logits `[n, labels]`.
        inputs: A handful of model inputs.
        pictures: Where they came from, to try other ways of resizing; empty when nobody knows.
        spec: How they were made.
    """

    def __init__(self, reference: Reference, inputs: Images, pictures: Sequence[Picture], spec: InputSpec) -> None:
        self._reference, self._inputs, self._pictures, self._spec = reference, inputs, pictures, spec

    @cached_property
    def _as_is(self) -> Logits:
        return self._reference(self._inputs)

    @cached_property
    def _hypotheses(self) -> dict[str, Logits]:
        tried = mistaken_inputs(self._inputs)
        if self._pictures:
            tried |= other_resizes(self._pictures, self._spec)
        return {words: self._reference(seen) for words, seen in tried.items()}

    def explain(self, labels: Sequence[str], found: Logits) -> str:
        """The words "matches if …" for logits `[n, labels]` of the same inputs; empty when no mistake explains them."""
        return explain(labels, self._as_is, found, self._hypotheses)


def explain(labels: Sequence[str], expected: Logits, found: Logits, hypotheses: Mapping[str, Logits]) -> str:
    """Name the mistake under which the reference gives what was found, all logits `[n, labels]`.

    Args:
        labels: In the order of the columns.
        expected: Of the reference, for the inputs as they are.
        found: Of the candidate.
        hypotheses: Of the reference under each mistake, by the words that follow "matches if".
    """
    if not np.isfinite(found).all():
        return ""
    unexplained = _distance(expected, found)
    left = {words: _distance(answers, found) for words, answers in hypotheses.items()}
    order = _permutation(expected, found)
    if order is not None:
        moved = [f"{labels[place]} stands where {labels[at]} belongs" for at, place in enumerate(order) if place != at]
        left[f"labels are permuted ({', '.join(moved)})"] = _distance(expected[:, order], found)
    best = min(left, key=lambda words: left[words], default="")
    return f"matches if {best}" if best and left[best] < _EXPLAINED * unexplained else ""


def samples_unlike(samples: Images, pictures: Images) -> str:
    """Why quantisation samples cannot stand for pictures, both `[n, size, size, 3]`; empty when they may."""
    rough, usual = _roughness(samples), _roughness(pictures)
    if rough > _ROUGHER * usual or usual > _ROUGHER * rough:
        return (
            "the quantisation samples do not look like pictures of this data: neighbouring pixels differ by "
            f"{rough:.0f} levels instead of {usual:.0f} (noise, or other pictures?)"
        )
    return ""


def _permutation(expected: Logits, found: Logits) -> list[int] | None:
    """For each column of `found` the column of `expected` it is nearest to, if that is another order of all."""
    one, other = _centred(expected), _centred(found)
    order = np.square(one[:, :, None] - other[:, None, :]).mean(axis=0).argmin(axis=0).tolist()
    return order if sorted(order) == list(range(len(order))) and order != sorted(order) else None


def _distance(one: Logits, other: Logits) -> float:
    return float(np.sqrt(np.square(_centred(one) - _centred(other)).mean()))


def _centred(logits: Logits) -> npt.NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return np.asarray(exact - exact.mean(axis=-1, keepdims=True))


def _roughness(images: Images) -> float:
    return float(np.abs(np.diff(images.astype(np.int16), axis=2)).mean())


def _resize(image: Image, spec: InputSpec, interpolation: int) -> Image:
    resized: Image = cv2.resize(image, (spec.size_px, spec.size_px), interpolation=interpolation)  # type: ignore[assignment]
    return resized


def _edge(image: Image) -> Image:
    return _square(image, cv2.BORDER_REPLICATE)


def _square(image: Image, border: int) -> Image:
    height, width = image.shape[:2]
    side = max(height, width)
    above, left = (side - height) // 2, (side - width) // 2
    padded: Image = cv2.copyMakeBorder(  # type: ignore[assignment]
        image, above, side - height - above, left, side - width - left, border
    )
    return padded


def _centre(image: Image) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
