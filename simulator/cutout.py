"""Photographed fruit cut out by their own mask, to ride on the simulated belt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.records import Image
from evaluation.dataset import Item, read_dataset
from evaluation.picture import read_image
from simulator.sprite import Sprite

_WORK_PX = 160
_GRABCUT_ROUNDS = 3
_AREA_SHARE = (0.2, 0.9)
_TRIES_EACH = 40
_LONGEST = 1.45
_THIN_SHARE = 0.15
"""Of a fruit's smaller extent: what is thinner is no body."""


@dataclass(frozen=True, slots=True)
class Photographed:
    """One fruit from photographs: `views` are cut out, `[h, w, 4]` uint8 RGBA, each shared by all who look like it."""

    views: tuple[npt.NDArray[np.uint8], ...]
    turn_deg: float
    diameter_px: float

    def sprite(self, turned: float) -> Sprite:
        """How it looks when it has rolled on by that share of a full turn: the next view comes forward."""
        view = self.views[math.floor(turned * len(self.views)) % len(self.views)]
        return _turned(view, self.turn_deg, self.diameter_px)


class Cutouts:
    """A folder of labelled photographs, one sub-folder a label, to take fruit from.

    Pictures with one `fruit` in the manifest are views of one fruit; each other picture is a fruit of its own.
    `notices` are sentences for people about what was left out.

    Raises:
        InputError: The folder is no labelled data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        dataset = read_dataset(folder, _labels(folder), every_label=False)
        self._fruits: dict[str, list[list[Item]]] = {}
        for label in dataset.labels:
            fruits: dict[str, list[Item]] = {}
            for item in dataset.items:
                if item.label == label:
                    fruits.setdefault(item.fruit or item.file, []).append(item)
            self._fruits[label] = list(fruits.values())
        self._cut: dict[str, npt.NDArray[np.uint8] | None] = {}
        self.labels = tuple(label for label in dataset.labels if self._fruits[label])
        self.notices = dataset.notices
        if not self.labels:
            raise InputError(f"No labelled picture in {folder}.", expected="folder/<label>/*.jpg")

    def draw(self, label: str, rng: np.random.Generator, *, diameter_px: float) -> Photographed:
        """A fruit of a label, turned at random, whose smaller extent is about `diameter_px`.

        Raises:
            InputError: None of the photographs that were tried shows a fruit that can be told from its background.
        """
        fruits = self._fruits[label]
        for place in rng.permutation(len(fruits))[:_TRIES_EACH]:
            views = tuple(cut for item in fruits[int(place)] if (cut := self._view(item)) is not None)
            if views:
                return Photographed(views, float(rng.uniform(0, 360)), diameter_px)
        raise InputError(
            f"No fruit can be cut out of the '{label}' pictures in {self.folder}.",
            expected="one fruit a picture, in the middle, of another colour than what lies behind it",
        )

    def _view(self, item: Item) -> npt.NDArray[np.uint8] | None:
        """Cut out once and kept: a long run shows each photograph many times."""
        if item.file not in self._cut:
            self._cut[item.file] = cut_out(_fruit_pixels(item))
        return self._cut[item.file]


def _labels(folder: Path) -> list[str] | None:
    """The sub-folders where nobody says which labels there are; their order makes no difference here."""
    if not folder.is_dir() or (folder / "labels.txt").is_file():
        return None
    return sorted(place.name for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))


def cut_out(image: Image) -> npt.NDArray[np.uint8] | None:
    """Separate the fruit in the middle of a picture from what lies behind it (GrabCut, Rother et al. 2004).

    Args:
        image: `[height, width, 3]` uint8 RGB, one fruit that fills most of it.

    Returns:
        `[h, w, 4]` uint8 RGBA cut to the fruit, at most 160 px long; None where no plausible single fruit comes out.
    """
    scale = _WORK_PX / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    height, width = image.shape[:2]
    if min(height, width) < 16:
        return None
    seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
    middle = (width // 2, height // 2)
    cv2.ellipse(seeds, middle, (int(0.49 * width), int(0.49 * height)), 0, 0, 360, (cv2.GC_PR_BGD,), -1)
    cv2.ellipse(seeds, middle, (int(0.40 * width), int(0.40 * height)), 0, 0, 360, (cv2.GC_PR_FGD,), -1)
    cv2.ellipse(seeds, middle, (int(0.15 * width), int(0.15 * height)), 0, 0, 360, (cv2.GC_FGD,), -1)
    cv2.setRNGSeed(0)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, seeds, None, background, foreground, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    mask = _one_blob(((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.uint8))
    if mask is None:
        return None
    alpha = cv2.GaussianBlur(mask * 255, (0, 0), 0.8)
    x, y, w, h = cv2.boundingRect(mask)
    return np.dstack([image, alpha])[y : y + h, x : x + w].astype(np.uint8)


def _one_blob(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """The largest connected part without its holes and whiskers, if it could be a fruit."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)  # type: ignore[assignment]
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)
    share = cv2.contourArea(largest) / mask.size
    solidity = cv2.contourArea(largest) / max(cv2.contourArea(cv2.convexHull(largest)), 1)
    if not _AREA_SHARE[0] <= share <= _AREA_SHARE[1] or solidity < 0.85:
        return None
    return np.asarray(cv2.drawContours(np.zeros_like(mask), [largest], -1, (1,), -1), np.uint8)


def _fruit_pixels(item: Item) -> Image:
    image = read_image(item.path)
    if item.box is None:
        return image
    x, y, w, h = item.box.as_list()
    x0, y0 = max(x, 0), max(y, 0)
    return np.ascontiguousarray(image[y0 : y + h, x0 : x + w])


def _turned(cut: npt.NDArray[np.uint8], angle_deg: float, diameter_px: float) -> Sprite:
    """Scale and rotate in premultiplied colours, so that no background shines through at the edge."""
    # No longer than drawn fruit are, whatever the photograph's proportions.
    scale = min(diameter_px / min(cut.shape[:2]), _LONGEST * diameter_px / max(cut.shape[:2]))
    height, width = cut.shape[:2]
    side = 2 * int(np.ceil(np.hypot(height, width) * scale / 2)) + 4
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, scale), np.float64)
    turn[:, 2] += side / 2 - np.array([width / 2, height / 2])
    alpha = cut[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([cut[..., :3] * alpha, 255 * alpha], axis=-1)
    if scale < 1:
        premultiplied = cv2.GaussianBlur(premultiplied, (0, 0), 0.35 / scale)
    whole = np.asarray(cv2.warpAffine(premultiplied, turn, (side, side), flags=cv2.INTER_LINEAR), np.float32)
    whole[..., :3] *= 255 / np.maximum(whole[..., 3:], 1)
    rgba = np.clip(np.round(whole), 0, 255).astype(np.uint8)
    mask = (rgba[..., 3] > 127).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(mask)
    anchor_x, anchor_y = _body_middle(mask)
    return Sprite(np.ascontiguousarray(rgba[y : y + h, x : x + w]), (anchor_x - x, anchor_y - y))


def _body_middle(mask: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """The middle (x, y) of the box around a photographed fruit's body.

    The body is what an opening with a disc leaves: stalks and the tips of sepals are thinner. Colour would not tell
    them from an unripe fruit. Sepals that lie flat on the shoulder count as body.
    """
    side = 2 * round(_THIN_SHARE * min(cv2.boundingRect(mask)[2:]) / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    x, y, w, h = cv2.boundingRect(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc))
    return x + w / 2, y + h / 2
