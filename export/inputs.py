"""The pictures that an export needs, found again by their content and made into model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Item, label_indices, load_inputs
from evaluation.split import Split
from export.golden import GOLDEN_INPUTS, choose_golden, swapped_colours, wrong_scaling
from export.samples import MORE_SAMPLES, QUANTIZATION_SAMPLES, choose_samples
from train.run_directory import Run, match_data

Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Inputs:
    """Model inputs `[n, size, size, 3]` and label indices `[n]` of what each step needs.

    `pool` are the training pictures that quantisers may see, those of `samples` first.
    """

    spec: InputSpec
    pool: tuple[Item, ...]
    samples: Images
    validation: Images
    validation_truth: npt.NDArray[np.int64]
    validation_pictures: tuple[Item, ...]
    test: Images
    test_truth: npt.NDArray[np.int64]
    test_pictures: tuple[Item, ...]
    golden: Images

    def stacked(self) -> Images:
        """Everything that each engine is shown, in one array, validation first; `split` takes outputs apart again."""
        return np.concatenate(
            [self.validation, self.test, self.golden, swapped_colours(self.golden), wrong_scaling(self.golden)]
        )

    def split(self, outputs: Logits) -> list[Logits]:
        """Validation, test, golden, golden with swapped colours, golden wrongly scaled."""
        sizes = [len(self.validation), len(self.test), *3 * [len(self.golden)]]
        return np.split(outputs, np.cumsum(sizes)[:-1])

    def more_samples(self) -> Images:
        """The whole pool."""
        return np.concatenate([self.samples, load_inputs(self.pool[len(self.samples) :], self.spec)])

    def some_validation(self, count: int) -> Images:
        """A few of the validation inputs, spread over all of them."""
        return self.validation[np.unique(np.linspace(0, len(self.validation) - 1, count).astype(np.int64))]


def load(run: Run, data: Path | None) -> Inputs:
    """Find a run's pictures and prepare them; InputError where some are missing or changed."""
    items, spec, seed = match_data(run, data), run.record.input, run.record.config.seed
    pool = choose_samples(items[Split.TRAIN], MORE_SAMPLES, seed)
    samples = pool[:QUANTIZATION_SAMPLES]
    # Few validation images: training ones fill up the golden set, which asks for behaviour, not for accuracy.
    validation, test = items[Split.VALIDATION], items[Split.TEST]
    candidates = validation if len(validation) >= GOLDEN_INPUTS else validation + samples

    def truth(some: Sequence[Item]) -> npt.NDArray[np.int64]:
        return label_indices(some, run.record.labels)

    golden = [candidates[place] for place in choose_golden(truth(candidates), seed)]
    return Inputs(
        spec=spec,
        pool=tuple(pool),
        samples=load_inputs(samples, spec),
        validation=load_inputs(validation, spec),
        validation_truth=truth(validation),
        validation_pictures=tuple(validation),
        test=load_inputs(test, spec),
        test_truth=truth(test),
        test_pictures=tuple(test),
        golden=load_inputs(golden, spec),
    )
