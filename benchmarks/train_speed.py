"""How much faster than the usual loop is `ripeline train`, and is it as good?

Beside each other, in processes of their own, on the same decoded pictures in memory, backbone, split and numbers of
epochs (20 + 10, from layer 100 on): the loop of the usual tutorial (Keras `fit` on the whole network, then on its
unfrozen top, augmentation by `RandomFlip` and `RandomRotation`) and the recipe (`train.recipe.run_recipe`). Tracing and
conversion are included, the start of the process and the decoding are not. Bars: phase one 8 times faster without
augmentation and 4 times with it, both phases 3 times, accuracy not below the loop's 95 % interval. The search of
`auto`, judged by held-out sources as shipped, is timed apart; its bar is 10 minutes.

    python benchmarks/train_speed.py --data DATA --weights alpha0.35.h5 --wide-weights alpha1.0.h5 [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import arguments, publish

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from train.config import TrainConfig
    from train.recipe import LabelledPictures

LABELS = ("unripe", "turning", "ripe")
EPOCHS, FINE_TUNE_EPOCHS, FINE_TUNE_AT = 20, 10, 100
VIEWS = 4
NEVER = 10**6
CASES = {"loop": (False, True), "recipe": (False, True), "auto": (True,)}
BARS = {"phase one": 8.0, "phase one, augmented": 4.0, "both phases": 3.0, "auto_s": 600.0}


def main() -> None:
    """Measure every case of both sizes, or one case when called by itself."""
    options = arguments(
        __doc__ or "",
        ("--data", {"type": Path, "required": True}),
        ("--weights", {"type": Path, "required": True}),
        ("--wide-weights", {"type": Path, "required": True}),
        ("--case", {"help": argparse.SUPPRESS}),
    )
    if options.case:
        print(json.dumps(one_case(json.loads(options.case), options.data)))
        return
    rows = []
    for alpha, size_px, weights in ((0.35, 160, options.weights), (1.0, 224, options.wide_weights)):
        settings = {"alpha": alpha, "size_px": size_px, "weights": str(weights), "quick": options.quick}
        found = {}
        for kind, augmentations in CASES.items():
            for augmented in augmentations:
                found[kind, augmented] = in_a_process(settings | {"kind": kind, "augmented": augmented}, options.data)
                print(f"alpha {alpha}, {kind}, augmented {augmented}: {found[kind, augmented]}", file=sys.stderr)
        rows += [compared(alpha, size_px, found, augmented) for augmented in (False, True)]
        rows[-1]["auto_s"] = found["auto", True]["both_s"]
    publish("train_speed", {"bars": BARS, "epochs": [EPOCHS, FINE_TUNE_EPOCHS], "rows": rows}, table(rows), options)


def in_a_process(case: dict[str, Any], data: Path) -> dict[str, Any]:
    """One case in a fresh interpreter."""
    paths = ["--data", str(data), "--weights", "-", "--wide-weights", "-"]
    command = [sys.executable, __file__, *paths, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compared(alpha: float, size_px: int, found: dict[Any, dict[str, Any]], augmented: bool) -> dict[str, Any]:
    """Both sides of one comparison."""
    loop, recipe = found["loop", augmented], found["recipe", augmented]
    return {
        "alpha": alpha,
        "size_px": size_px,
        "augmented": augmented,
        "loop": loop,
        "recipe": recipe,
        "phase_one_times": loop["phase_one_s"] / recipe["phase_one_s"],
        "both_times": loop["both_s"] / recipe["both_s"],
        "accuracy_holds": recipe["accuracy"] >= loop["accuracy_ci95"][0],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For people."""
    lines = ["alpha  size  augmented   loop: one   both     acc   recipe: one   both     acc   faster: one   both"]
    for row in rows:
        loop, recipe = row["loop"], row["recipe"]
        lines.append(
            f"{row['alpha']:5} {row['size_px']:5}  {'yes' if row['augmented'] else 'no':>9}"
            f" {loop['phase_one_s']:10.1f}s {loop['both_s']:5.1f}s {loop['accuracy']:7.3f}"
            f" {recipe['phase_one_s']:11.1f}s {recipe['both_s']:6.1f}s {recipe['accuracy']:7.3f}"
            f" {row['phase_one_times']:11.1f}x {row['both_times']:6.1f}x"
        )
        if "auto_s" in row:
            lines.append(f"{'':19} as shipped, auto judged by held-out sources: {row['auto_s']:.0f} s")
    return "\n".join(lines)


def one_case(case: dict[str, Any], data: Path) -> dict[str, Any]:
    """Train one way on the decoded pictures; seconds and the accuracy on the test split."""
    import keras

    from edge_runtime.preprocess import InputSpec
    from evaluation.dataset import load_inputs, read_dataset
    from evaluation.metrics import score
    from evaluation.split import Split, assign_splits
    from train.config import TrainConfig
    from train.determinism import make_deterministic
    from train.pictures import InMemory
    from train.recipe import LabelledPictures

    dataset = read_dataset(data, LABELS)
    splits = assign_splits(dataset.items, 0).splits
    items = {split: [item for item, one in zip(dataset.items, splits, strict=True) if one is split] for split in Split}
    part = {
        split: LabelledPictures(
            InMemory(load_inputs(some, InputSpec(size_px=case["size_px"]))),
            dataset.label_indices()[[one is split for one in splits]],
            [item.source for item in some],
        )
        for split, some in items.items()
    }
    short = {"epochs": 2, "fine_tune_epochs": 1} if case["quick"] else {}
    fixed = {"epochs": EPOCHS, "fine_tune_epochs": FINE_TUNE_EPOCHS, "patience": NEVER} | short
    fixed |= {"fine_tune_at": FINE_TUNE_AT, "select_by": "validation", "views": VIEWS if case["augmented"] else 1}
    shape = {"alpha": case["alpha"], "size_px": case["size_px"], "weights": case["weights"], "data": data}
    config = TrainConfig.model_validate(shape | (short if case["kind"] == "auto" else fixed))
    make_deterministic(0)
    train = loop if case["kind"] == "loop" else recipe
    model, phase_one_s, both_s = train(config, part[Split.TRAIN], part[Split.VALIDATION], case["augmented"])
    test = part[Split.TEST]
    probabilities = model.predict(test.pictures.read(range(len(test.pictures))), verbose=0)
    groups = [item.group for item in items[Split.TEST]]
    scores = score(LABELS, test.truth, probabilities, groups)
    keras.backend.clear_session()
    return {
        "phase_one_s": round(phase_one_s, 2),
        "both_s": round(both_s, 2),
        "accuracy": scores.accuracy,
        "accuracy_ci95": scores.accuracy_ci95,
        "balanced_accuracy": scores.balanced_accuracy,
    }


def loop(
    config: TrainConfig, train: LabelledPictures, validation: LabelledPictures, augmented: bool
) -> tuple[Any, float, float]:
    """The usual tutorial: the whole network at every step, then recompiled with its top unfrozen."""
    import keras
    import tensorflow as tf

    from train.backbone import build_backbone

    def batches(part: LabelledPictures) -> Any:
        pixels: npt.NDArray[np.uint8] = part.pictures.read(range(len(part.pictures)))
        found = tf.data.Dataset.from_tensor_slices((pixels, part.truth))
        if part is train:
            found = found.shuffle(len(pixels), seed=0)
        return found.batch(config.batch_size).prefetch(tf.data.AUTOTUNE)

    backbone = build_backbone(config.size_px, config.alpha, config.weights)
    data, judge = batches(train), batches(validation)
    began = time.perf_counter()
    backbone.trainable = False
    image = keras.Input((config.size_px, config.size_px, 3), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    if augmented:
        pixels = keras.layers.RandomFlip("horizontal")(pixels)
        pixels = keras.layers.RandomRotation(0.2)(pixels)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(pixels, training=False))
    answer = keras.layers.Dense(len(LABELS), activation="softmax")(keras.layers.Dropout(0.2)(pooled))
    model = keras.Model(image, answer)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data, epochs=config.epochs, validation_data=judge, verbose=0)
    phase_one_s = time.perf_counter() - began
    backbone.trainable = True
    for layer in backbone.layers[:FINE_TUNE_AT]:
        layer.trainable = False
    model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    total = config.epochs + config.fine_tune_epochs
    model.fit(data, epochs=total, initial_epoch=config.epochs, validation_data=judge, verbose=0)
    return model, phase_one_s, time.perf_counter() - began


def recipe(
    config: TrainConfig, train: LabelledPictures, validation: LabelledPictures, _augmented: bool
) -> tuple[Any, float, float]:
    """What `ripeline train` does between reading the pictures and measuring the model."""
    from train.backbone import build_backbone
    from train.recipe import run_recipe

    backbone = build_backbone(config.size_px, config.alpha, config.weights)
    began = time.perf_counter()
    phase_one_s: list[float] = []

    def watch(event: Any) -> None:
        if getattr(event, "phase", None) == "head":
            phase_one_s.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder:
        trained = run_recipe(
            backbone, train, validation, labels=len(LABELS), config=config, folder=Path(folder), on_event=watch
        )
    return trained.model, phase_one_s[-1], time.perf_counter() - began


if __name__ == "__main__":
    main()
