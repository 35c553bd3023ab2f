"""Labelled crops of simulated fruit, as the line's camera would cut them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.records import Image
from simulator.fruit import LABELS, Fruit, sample_fruit, turned
from simulator.light import Light, uneven_light
from simulator.optics import lay, make_layer
from simulator.sprite import draw_sprite
from simulator.surroundings import SURROUNDINGS, Surroundings, background, lay_neighbours

LOOKS = (2, 3)
"""How many pictures of one fruit, at least and at most; the last fruit of a label may have fewer."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What was written."""

    folder: Path
    labels: tuple[str, ...]
    images: int
    fruits: int


@dataclass(frozen=True, slots=True)
class _Look:
    label: str
    fruit_id: str
    fruit: Fruit
    rng: np.random.Generator


def write_dataset(
    folder: Path,
    *,
    per_class: int,
    image_size_px: int,
    seed: int,
    surroundings: str = "belt",
    progress: Callable[[int, int], None] | None = None,
) -> DatasetSummary:
    """Write `folder/<label>/NNNN.jpg`, `labels.txt` (least to most acceptable) and `manifest.csv`.

    Two or three pictures show the same physical fruit; they share `fruit` and `group` in the manifest.

    Args:
        folder: Created if missing.
        per_class: Pictures for each label.
        image_size_px: Side of the square pictures.
        seed: The same seed gives the same files.
        surroundings: Key of `surroundings.SURROUNDINGS`.
        progress: Called with (pictures done, pictures in all).

    Raises:
        InputError: A size or count makes no sense.
    """
    if per_class < 1:
        raise InputError(f"per-class is {per_class}", expected="at least 1 picture for each label")
    if not 32 <= image_size_px <= 1024:
        raise InputError(f"image-size is {image_size_px}", expected="between 32 and 1024 pixels")
    total, done = per_class * len(LABELS), 0
    fruits: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        manifest = csv.writer(stream, lineterminator="\n")
        manifest.writerow(["file", "label", "group", "fruit"])
        for label in LABELS:
            (folder / label).mkdir(exist_ok=True)
            for number, look in enumerate(_looks(label, per_class, seed)):
                name = f"{label}/{number:04d}.jpg"
                crop = photograph(
                    look.fruit, image_size_px=image_size_px, rng=look.rng, around=SURROUNDINGS[surroundings]
                )
                quality = int(look.rng.integers(72, 96))
                cv2.imwrite(str(folder / name), crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
                manifest.writerow([name, label, look.fruit_id, look.fruit_id])
                fruits.add(look.fruit_id)
                done += 1
                if progress:
                    progress(done, total)
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return DatasetSummary(folder, LABELS, total, len(fruits))


def photograph(
    fruit: Fruit, *, image_size_px: int, rng: np.random.Generator, around: Surroundings = SURROUNDINGS["belt"]
) -> Image:
    """One crop of a fruit in some light, with about a tenth of its longer side around it: by default on some belt.

    Returns:
        `[image_size_px, image_size_px, 3]` uint8 RGB.
    """
    px_per_mm = float(rng.uniform(1.8, 3.2))
    angle = float(rng.uniform(0, 2 * np.pi))
    lean = float(rng.uniform(0.15, 0.7))
    light = Light(
        direction=(lean * float(np.cos(angle)), lean * float(np.sin(angle)), 0.8),
        ambient=float(rng.uniform(0.35, 0.6)),
        sharpness=float(rng.uniform(*around.sharpness)),
    )
    # As a localiser frames it: by all that shows.
    sprite = draw_sprite(fruit, px_per_mm=px_per_mm, light=light).by_its_box()
    longer = max(sprite.size_px)
    side = round(longer * (1 + 2 * float(rng.uniform(0.06, 0.15))))
    picture = background(side, around, px_per_mm=px_per_mm, rng=rng)
    lay_neighbours(picture, around, fruit_px=longer, px_per_mm=px_per_mm, light=light, rng=rng)
    layer = make_layer(
        sprite,
        px_per_mm=px_per_mm,
        light=light,
        blur_px=float(rng.uniform(0, 0.025)) * longer,
        focus_px=float(rng.uniform(0.2, 0.7)),
    )
    slack = 0.25 * (side - longer)
    lay(picture, layer, (side / 2 + float(rng.uniform(-slack, slack)), side / 2 + float(rng.uniform(-slack, slack))))
    interpolation = cv2.INTER_AREA if side > image_size_px else cv2.INTER_LINEAR
    sized = cv2.resize(picture, (image_size_px, image_size_px), interpolation=interpolation)
    return _develop(np.asarray(sized, np.uint8), around, rng)


def _develop(picture: Image, around: Surroundings, rng: np.random.Generator) -> Image:
    """Uneven light, exposure, white balance and sensor noise."""
    height, width = picture.shape[:2]
    gain = uneven_light(height, width, strength=float(rng.uniform(0.05, 0.35)), rng=rng)
    gain = gain * float(rng.uniform(*around.exposure))
    balance = 1 + rng.normal(0, around.white_balance, 3)
    noise = rng.normal(0, float(rng.uniform(0.8, 4.0)), size=picture.shape)
    exposed = np.round(picture * (gain[..., None] * balance) + noise)
    return np.asarray(np.clip(exposed, 0, 255), np.uint8)


def _looks(label: str, count: int, seed: int) -> Iterator[_Look]:
    """Fruit one after the other, each seen two or three times, `count` looks in all."""
    made, number = 0, 0
    while made < count:
        rng = np.random.default_rng([seed, LABELS.index(label), number])
        fruit = sample_fruit(rng, label)
        for _ in range(min(int(rng.integers(LOOKS[0], LOOKS[1] + 1)), count - made)):
            yield _Look(label, f"{label}-{number:04d}", fruit, rng)
            fruit = turned(fruit, rng)
            made += 1
        number += 1
