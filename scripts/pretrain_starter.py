"""Pre-train the starter backbone on the project's own simulated fruit.

    python scripts/pretrain_starter.py [--photographs DATA]

writes `train/starter/mobilenet_v2_0.35_starter.weights.h5` for

    keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None).load_weights(PATH)

and prints, as JSON, how a linear probe on it compares with one on an untrained backbone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from simulator.dataset import photograph
from simulator.fruit import LABELS, Fruit, sample_fruit, turned

ALPHA = 0.35
SIZE_PX = 96
BATCH = 64
LEARNING_RATE = 2e-3
DEFECTS = ("mould", "rot", "bruise")
OUTPUT = Path(__file__).resolve().parent.parent / "train" / "starter" / "mobilenet_v2_0.35_starter.weights.h5"

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def main() -> None:
    """Generate, train, save, probe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=1500, help="pictures of each label")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--photographs", type=Path, help="labelled photographs to probe on as well")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    import keras

    keras.utils.set_random_seed(options.seed)
    started_s = time.perf_counter()
    images, targets = generate(options.per_class, options.seed, options.workers)
    generated_s = time.perf_counter()
    untrained = backbone()
    trained = pretrain(images, targets, options.epochs, options.seed)
    trained_s = time.perf_counter()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    trained.save_weights(options.output)
    # What was saved is what is probed, loaded as a user loads it.
    loaded = backbone()
    loaded.load_weights(options.output)
    fresh, fresh_targets = generate(150, options.seed + 1, options.workers)
    labels = fresh_targets["label"].argmax(axis=1)
    fruits = np.repeat(np.arange(len(labels) // 2), 2)
    figures: dict[str, Any] = {
        "generate_s": round(generated_s - started_s),
        "train_s": round(trained_s - generated_s),
        "bytes": options.output.stat().st_size,
        "simulated, 4 labels": compare(untrained, loaded, fresh, labels, fruits),
    }
    if options.photographs:
        figures["photographs"] = compare(untrained, loaded, *read_photographs(options.photographs))
    print(json.dumps(figures, indent=2))


def generate(per_class: int, seed: int, workers: int) -> tuple[Images, dict[str, Floats]]:
    """Two looks at each of many fruit: `[n, 96, 96, 3]` uint8 RGB with everything that is known of them."""
    jobs = [(seed, place, number) for number in range(per_class // 2) for place in range(len(LABELS))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        looks = [look for pair in pool.imap(_two_looks, jobs, chunksize=16) for look in pair]
    return np.stack([image for image, _ in looks]), {
        name: np.stack([target[name] for _, target in looks]) for name in ("label", "ripeness", "defects", "direction")
    }


def _two_looks(job: tuple[int, int, int]) -> list[tuple[Images, dict[str, Floats]]]:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(job)
    fruit = sample_fruit(rng, LABELS[job[1]])
    looks = []
    for _ in range(2):
        looks.append((photograph(fruit, image_size_px=SIZE_PX, rng=rng), _targets(fruit)))
        fruit = turned(fruit, rng)
    return looks


def _targets(fruit: Fruit) -> dict[str, Floats]:
    """Label, ripeness, which defects there are, and where the tip points: more than a label, for general features."""
    return {
        "label": np.array([fruit.label == label for label in LABELS], np.float32),
        "ripeness": np.array([fruit.ripeness], np.float32),
        "defects": np.array([any(d.kind == kind for d in fruit.defects) for kind in DEFECTS], np.float32),
        "direction": np.array([np.cos(fruit.pose.yaw_rad), np.sin(fruit.pose.yaw_rad)], np.float32),
    }


def backbone() -> Any:
    """MobileNetV2 without top, random weights, any input size."""
    import keras

    return keras.applications.MobileNetV2(
        input_shape=(SIZE_PX, SIZE_PX, 3), alpha=ALPHA, include_top=False, weights=None
    )


def pretrain(images: Images, targets: dict[str, Floats], epochs: int, seed: int) -> Any:
    """Train a backbone with one small head a target and return it."""
    import keras

    base = backbone()
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # 0.999 would need thousands of steps to forget the start
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    features = keras.layers.GlobalAveragePooling2D()(base(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)))
    features = keras.layers.Dropout(0.2)(features)
    activations = {"label": "softmax", "ripeness": "linear", "defects": "sigmoid", "direction": "linear"}
    heads = {
        name: keras.layers.Dense(targets[name].shape[1], activation=activation, name=name)(features)
        for name, activation in activations.items()
    }
    model = keras.Model(inputs, heads)
    steps = epochs * (len(images) // BATCH)
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps), weight_decay=1e-4),
        loss={
            "label": keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
            "ripeness": "mse",
            "defects": "binary_crossentropy",
            "direction": "mse",
        },
        loss_weights={"label": 1.0, "ripeness": 5.0, "defects": 0.5, "direction": 0.5},
        metrics={"label": "accuracy"},
    )
    model.fit(_batches(images, targets, seed), epochs=epochs, verbose=2)
    return base


def _batches(images: Images, targets: dict[str, Floats], seed: int) -> Any:
    """Shuffled batches, mirrored and turned by quarters, brightness and white balance varied."""
    import tensorflow as tf

    def vary(batch: Any, target: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        x, y = target["direction"][:, :1], target["direction"][:, 1:]
        flip_x, flip_y, swap = (tf.random.uniform([]) < 0.5 for _ in range(3))
        batch, x = tf.cond(flip_x, lambda: (batch[:, :, ::-1], -x), lambda: (batch, x))
        batch, y = tf.cond(flip_y, lambda: (batch[:, ::-1], -y), lambda: (batch, y))
        batch, x, y = tf.cond(swap, lambda: (tf.transpose(batch, [0, 2, 1, 3]), y, x), lambda: (batch, x, y))
        count = tf.shape(batch)[0]
        gain = tf.random.uniform([count, 1, 1, 1], 0.75, 1.3) * tf.random.uniform([count, 1, 1, 3], 0.93, 1.07)
        varied = tf.cast(tf.clip_by_value(tf.cast(batch, tf.float32) * gain, 0, 255), tf.uint8)
        return varied, {**target, "direction": tf.concat([x, y], axis=1)}

    data = tf.data.Dataset.from_tensor_slices((images, targets))
    return data.shuffle(len(images), seed=seed).batch(BATCH, drop_remainder=True).map(vary).prefetch(2)


def compare(
    untrained: Any, trained: Any, images: Images, labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Balanced accuracy of a linear probe on each backbone, the mean of five splits by group."""
    result: dict[str, Any] = {"images": len(images)}
    for name, base in (("untrained", untrained), ("starter", trained)):
        maps = base.predict(images.astype(np.float32) / 127.5 - 1, batch_size=BATCH, verbose=0)
        features = maps.mean(axis=(1, 2))
        scores = [
            probe(features, labels, np.random.default_rng(fold).random(groups.max() + 1)[groups] < 0.3)
            for fold in range(5)
        ]
        result[name] = round(float(np.mean(scores)), 3)
    return result


def probe(features: Floats, labels: npt.NDArray[np.int64], held_out: npt.NDArray[np.bool_]) -> float:
    """Balanced accuracy of ridge regression onto one-hot labels, on the held-out part."""
    known = ~held_out
    # An untrained network's features are tiny: no floor that would drown them.
    mean, deviation = features[known].mean(axis=0), np.maximum(features[known].std(axis=0), 1e-12)
    design = np.concatenate([(features - mean) / deviation, np.ones((len(features), 1))], axis=1).astype(np.float64)
    one_hot = np.eye(labels.max() + 1)[labels]
    weight = 1 / np.bincount(labels[known])[labels[known]]
    weighted = design[known] * (weight / weight.mean())[:, None]
    ridge = 0.3 * known.sum() * np.eye(design.shape[1])
    solution = np.linalg.solve(weighted.T @ design[known] + ridge, weighted.T @ one_hot[known])
    predicted = (design[held_out] @ solution).argmax(axis=1)
    recalls = [np.mean(predicted[labels[held_out] == label] == label) for label in np.unique(labels[held_out])]
    return float(np.mean(recalls))


def read_photographs(folder: Path) -> tuple[Images, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Photographs at the model's size, their labels and groups."""
    from edge_runtime.preprocess import InputSpec
    from evaluation.dataset import load_inputs, read_dataset

    dataset = read_dataset(folder)
    numbers = {group: number for number, group in enumerate(sorted({item.group for item in dataset.items}))}
    groups = np.array([numbers[item.group] for item in dataset.items], np.int64)
    return load_inputs(dataset.items, InputSpec(size_px=SIZE_PX)), dataset.label_indices(), groups


if __name__ == "__main__":
    main()
