"""Transfer learning in two phases: a new head on a frozen backbone, then its last layers, gently.

The frozen part runs once over every view of every picture; both phases train on its cached output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import numpy.typing as npt

from train.augment import augmented_view
from train.backbone import batch_norms, single_tensor_cut
from train.config import TrainConfig
from train.fit import Examples, Guard, PhaseResult, fit_phase
from train.model import build_head, build_model, scaling
from train.run_directory import EpochRow, RecipeEvent

FEATURE_BATCH = 64
RETRIES = 3
RETRY_RATE_FACTOR = 0.3
JUMP_FACTOR = 1.5
JUMP_MARGIN = 0.05
"""Phase two has diverged when validation loss exceeds phase one's best times the factor plus the margin."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: a stage, and how far it has come of how much (epochs or views)."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence about the data that a person should read before the training is paid for."""

    text: str


OnEvent = Callable[[Progress | Notice | EpochRow | RecipeEvent], None]
Record = Callable[[EpochRow | RecipeEvent], None]


@dataclass(frozen=True, slots=True)
class LabelledInputs:
    """`inputs` `[N, size, size, 3]` uint8 RGB, `truth` `[N]` label indices."""

    inputs: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.int64]


@dataclass(slots=True)
class Trained:
    """The recipe's outcome: the whole model, its history and what was decided on the way."""

    model: keras.Model
    history: list[EpochRow] = field(default_factory=list)
    events: list[RecipeEvent] = field(default_factory=list)


def run_recipe(
    backbone: keras.Model,
    train: LabelledInputs,
    validation: LabelledInputs,
    *,
    labels: int,
    config: TrainConfig,
    on_event: OnEvent,
) -> Trained:
    """Train a classifier on top of a backbone, which is changed in place from `config.fine_tune_at` on.

    Raises:
        InputError: `config.fine_tune_at` is no layer of the backbone.
        RuntimeError: Batch normalisation moved, which would be a defect of Ripeline.
    """
    _freeze(backbone)
    head = build_head(labels)
    trained = Trained(build_model(backbone, head, config.dropout))

    def record(entry: EpochRow | RecipeEvent) -> None:
        if isinstance(entry, EpochRow):
            trained.history.append(entry)
        else:
            trained.events.append(entry)
        on_event(entry)

    rng = np.random.default_rng(config.seed)
    fine_tunes = config.fine_tune_epochs > 0
    bottom, top = _split(backbone, single_tensor_cut(backbone, config.fine_tune_at) if fine_tunes else None)
    cached = _cache_views(bottom, train, config.views, rng, on_event)
    cached_validation = Examples(_run(bottom, validation.inputs)[None], validation.truth)

    pooled = np.stack([_run(top, view) for view in cached.views])
    centre, spread = pooled.mean(axis=(0, 1)), float(pooled.std(axis=(0, 1)).mean())
    learner = build_head(labels, config.head_decay)
    first = fit_phase(
        _classifier(None, learner, pooled.shape[2:], config.dropout),
        Examples((pooled - centre) / spread, train.truth),
        Examples((_run(top, cached_validation.views[0])[None] - centre) / spread, validation.truth),
        phase="head",
        first_epoch=1,
        epochs=config.epochs,
        rate=config.head_rate,
        config=config,
        rng=rng,
        record=record,
    )
    head.set_weights(_unscaled(learner, centre, spread))
    if fine_tunes:
        _unfreeze(backbone, config.fine_tune_at)
        model = _classifier(top, head, cached.views.shape[2:], config.dropout)
        watched = _watching_batch_norms(backbone, record)
        _fine_tune(model, cached, cached_validation, first=first, config=config, rng=rng, record=watched)
    return trained


def _fine_tune(
    model: keras.Model,
    examples: Examples,
    validation: Examples,
    *,
    first: PhaseResult,
    config: TrainConfig,
    rng: np.random.Generator,
    record: Record,
) -> None:
    """Phase two, begun again at a lower rate when it diverges; leaves the better of both phases in the model."""
    start, rate = first.last_epoch + 1, config.fine_tune_rate
    limit = first.best_loss * JUMP_FACTOR + JUMP_MARGIN

    def note(kind: str, epoch: int, reason: str) -> None:
        record(RecipeEvent(phase="fine_tune", epoch=epoch, kind=kind, reason=reason, rate=rate))

    note("unfrozen", start, f"layers from {config.fine_tune_at} on are trained, batch normalisation stays")
    for attempt in range(RETRIES + 1):
        result = fit_phase(
            model,
            examples,
            validation,
            phase="fine_tune",
            first_epoch=start,
            epochs=config.fine_tune_epochs,
            rate=rate,
            config=config,
            rng=rng,
            record=record,
            guard=Guard(limit=limit, start_loss=first.best_loss),
        )
        if result.diverged_at is None:
            better = result.best_loss < first.best_loss
            note(
                "kept",
                result.best_epoch if better else first.best_epoch,
                f"validation loss {first.best_loss:.4f} after phase one, {result.best_loss:.4f} at best in phase two",
            )
            return
        last = attempt == RETRIES
        note(
            "gave_up" if last else "diverged",
            result.diverged_at,
            f"validation loss {result.diverged_loss:.4g} above {limit:.4g}; the weights from before are back, "
            + ("phase one's model is kept" if last else f"again at {RETRY_RATE_FACTOR} times the rate"),
        )
        rate *= RETRY_RATE_FACTOR


def _unscaled(
    learner: keras.layers.Dense, centre: npt.NDArray[np.float32], spread: float
) -> list[npt.NDArray[np.float32]]:
    """The weights that do on plain features what a head does that learned on `(features - centre) / spread`.

    One rate and one penalty then suit every backbone; the features of a random one are as small as 1e-11.
    """
    kernel, bias = learner.get_weights()
    return [kernel / spread, bias - centre @ (kernel / spread)]


def _freeze(backbone: keras.Model) -> None:
    for layer in backbone.layers:
        layer.trainable = False


def _unfreeze(backbone: keras.Model, at: int) -> None:
    """Batch normalisation stays frozen as a whole.

    Keras 3 lets `training=True` of the outer call reach a nested model that was called with `training=False`, so only a
    frozen layer is sure to use its moving statistics and to leave them alone.
    """
    for layer in backbone.layers[at:]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


def _watching_batch_norms(backbone: keras.Model, record: Record) -> Record:
    """Pass entries on, and raise RuntimeError at the first epoch that moved a batch normalisation."""
    before = [weight.numpy() for layer in batch_norms(backbone) for weight in layer.weights]

    def watched(entry: EpochRow | RecipeEvent) -> None:
        now = [weight.numpy() for layer in batch_norms(backbone) for weight in layer.weights]
        if not all(map(np.array_equal, before, now)):
            raise RuntimeError("batch normalisation moved during fine-tuning")
        record(entry)

    return watched


def _split(backbone: keras.Model, cut: int | None) -> tuple[keras.Model, keras.Model]:
    """Pixels to cached activations, and those to pooled features; `cut` None caches the pooled features themselves."""
    pool = keras.layers.GlobalAveragePooling2D(name="pool_features")
    image = keras.Input(backbone.input_shape[1:], dtype="uint8")
    if cut is None:
        features = pool(backbone(scaling()(image), training=False))
        identity = keras.Input(features.shape[1:])
        return keras.Model(image, features), keras.Model(identity, identity)
    border = backbone.layers[cut - 1].output
    bottom = keras.Model(backbone.input, border)
    return keras.Model(image, bottom(scaling()(image), training=False)), keras.Model(border, pool(backbone.output))


def _classifier(
    top: keras.Model | None, head: keras.layers.Dense, shape: tuple[int, ...], dropout: float
) -> keras.Model:
    """What a phase trains: cached activations to probabilities, sharing its layers with the whole model."""
    activations = keras.Input(shape)
    pooled = activations if top is None else top(activations, training=False)
    return keras.Model(activations, head(keras.layers.Dropout(dropout)(pooled)))


def _cache_views(
    bottom: keras.Model, train: LabelledInputs, views: int, rng: np.random.Generator, on_event: OnEvent
) -> Examples:
    """The frozen part's output for every picture as it is and for `views - 1` augmented ones."""
    cached = []
    for view in range(views):
        on_event(Progress("features", view, views))
        cached.append(_run(bottom, augmented_view(train.inputs, rng) if view else train.inputs))
    on_event(Progress("features", views, views))
    return Examples(np.stack(cached), train.truth)


def _run(model: keras.Model, inputs: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    outputs: npt.NDArray[np.float32] = model.predict(inputs, batch_size=FEATURE_BATCH, verbose=0)
    return outputs
