"""What a trained model is worth: validation first, for all that is fitted or chosen, and the test split last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Item, Picture, label_indices, read_images
from evaluation.metrics import Scores, score
from evaluation.split import Split
from evaluation.temperature import cautious_temperature
from evaluation.view_correlation import ViewCorrelation, measure_view_correlation
from train.backbone import build_backbone
from train.config import TrainConfig
from train.determinism import make_deterministic
from train.evidence import Evidence, forgetting_on, shift_to
from train.features import pooled_features
from train.model import PROBABILITIES, backbone_of
from train.pictures import FilePictures
from train.predict import KerasPredictions, predict_pictures
from train.refit import Head


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """Scores and probabilities `[N, labels]` on the validation and test split, and what else is known.

    `temperature_factor` is what a temperature fitted on the validation pictures must be multiplied by.
    """

    scores: dict[Split, Scores]
    probabilities: dict[Split, npt.NDArray[np.float32]]
    evidence: Evidence
    temperature_factor: float


def measure_run(
    model: keras.Model,
    labels: Sequence[str],
    items: Mapping[Split, Sequence[Item]],
    spec: InputSpec,
    config: TrainConfig,
    *,
    fine_tuned: bool,
    learned_head: Head | None = None,
    temperature: float | None = None,
) -> MeasuredRun:
    """Measure a model as the line would use it.

    The temperature is fitted on the validation split, or given where the model has learned from that; the validation
    pictures are then answered by `learned_head`, at a temperature of its own.

    Args:
        model: uint8 RGB to probabilities.
        labels: In ripeness order.
        items: Of each split.
        spec: Of the model's input.
        config: Of the run: policy, seed, and the other pictures to look at.
        fine_tuned: Whether the backbone is no longer as it was.
        learned_head: Where the model's own head has learned from the validation pictures: one that has not, which
            answers them in its place.
        temperature: Then, that of the model, from pictures that it has not seen.

    Raises:
        InputError: The retention or target pictures cannot be read, or are too few.
    """
    probabilities: dict[Split, npt.NDArray[np.float32]] = {}
    scores: dict[Split, Scores] = {}
    evidence, factor, used = Evidence(), 1.0, dict[Split, float]()
    for split in (Split.VALIDATION, Split.TEST):
        some = items[split]
        truth = label_indices(some, labels)
        answer = predict_pictures(model, FilePictures(some, spec))
        groups = [item.group for item in some]
        if split is Split.VALIDATION:
            own = cautious_temperature(answer.logits, truth, groups)
            if learned_head is not None:
                answer = _answer_with(learned_head, model, FilePictures(some, spec))
            validation = cautious_temperature(answer.logits, truth, groups)
            used = {Split.VALIDATION: validation, Split.TEST: temperature or own}
            factor = used[Split.TEST] / own
        probabilities[split] = answer.probabilities
        if split is Split.VALIDATION:
            correlation = measure_view_correlation(
                truth, answer.probabilities, [item.fruit for item in some], [item.from_line for item in some]
            )
            evidence = _evidence(model, items, spec, config, correlation, fine_tuned=fine_tuned)
        scores[split] = score(
            labels,
            truth,
            answer.probabilities,
            groups,
            temperature=used[split],
            sources=[item.source for item in some],
            policy=config.policy_for(labels),
        )
    return MeasuredRun(scores, probabilities, evidence, factor)


def _answer_with(head: Head, model: keras.Model, pictures: FilePictures) -> KerasPredictions:
    layer = model.get_layer(PROBABILITIES)
    own = layer.get_weights()
    layer.set_weights([head.kernel, head.bias])
    try:
        return predict_pictures(model, pictures)
    finally:
        layer.set_weights(own)


def _evidence(
    model: keras.Model,
    items: Mapping[Split, Sequence[Item]],
    spec: InputSpec,
    config: TrainConfig,
    correlation: ViewCorrelation,
    *,
    fine_tuned: bool,
) -> Evidence:
    if not fine_tuned and config.target is None:
        return Evidence(view_correlation=correlation)
    make_deterministic(config.seed)  # weights drawn at random are then the same as at the start
    before = partial(pooled_features, build_backbone(config.size_px, config.alpha, config.weights))
    after = partial(pooled_features, backbone_of(model))
    sets: dict[str, Sequence[Picture]] = {"validation": items[Split.VALIDATION]}
    if config.retention is not None:
        sets["retention"] = read_images(config.retention).pictures
    return Evidence(
        view_correlation=correlation,
        forgetting=forgetting_on(sets, spec, before, after, seed=config.seed) if fine_tuned else {},
        shift=shift_to(config.target, items[Split.TRAIN], spec, before, seed=config.seed) if config.target else None,
    )
