"""One pass over the pictures: what size, light and sharpness each has, and by what it is known again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edge_runtime.records import Image
from evaluation.dataset import Picture
from evaluation.picture import read_image

OnProgress = Callable[[int, int], None]

MEASURED_PX = 160
"""Light and sharpness are measured at about the size a model sees, never on an enlarged picture."""
HASH_SIDE = 12
HASH_BITS = HASH_SIDE**2
THUMBNAIL_PX = 4 * HASH_SIDE
DARK_END, LIGHT_END = 25, 95
"""Percentiles of grey that a dark belt or a white sky around a well-lit fruit leave alone."""
REBLUR_PX = 9
AT_ONCE = 64
"""Pictures handed to a thread together."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Arrays over N pictures, 2.5 KB each; `hashes` and `thumbnails` are empty where no near copies are looked for.

    Attributes:
        side_px: `[N]` int64, longer side of the fruit's box, or of the picture.
        dark_end: `[N]` float32, 25th percentile of grey, 0 to 255.
        light_end: `[N]` float32, 95th percentile of grey, 0 to 255.
        blur: `[N]` float32, 0 (sharp) to 1.
        hashes: `[N, 8, 18]` uint8, packed bits: perceptual hash of the picture in each of `poses`.
        thumbnails: `[N, 48, 48]` uint8 grey.
    """

    side_px: npt.NDArray[np.int64]
    dark_end: npt.NDArray[np.float32]
    light_end: npt.NDArray[np.float32]
    blur: npt.NDArray[np.float32]
    hashes: npt.NDArray[np.uint8]
    thumbnails: npt.NDArray[np.uint8]


def look_at(
    pictures: Sequence[Picture], on_progress: OnProgress = lambda _done, _total: None, *, near_copies: bool = True
) -> Looks:
    """Decode each picture once and measure it.

    Args:
        pictures: N readable pictures; of one with a box only the box is looked at.
        on_progress: Told (done, N) in the calling thread.
        near_copies: Keep what near copies are known by.

    Raises:
        InputError: A file has gone or is damaged.
    """
    n = len(pictures)
    kept = n if near_copies else 0
    looks = Looks(
        side_px=np.zeros(n, np.int64),
        dark_end=np.zeros(n, np.float32),
        light_end=np.zeros(n, np.float32),
        blur=np.zeros(n, np.float32),
        hashes=np.zeros((kept, 8, HASH_BITS // 8), np.uint8),
        thumbnails=np.zeros((kept, THUMBNAIL_PX, THUMBNAIL_PX), np.uint8),
    )

    def look(at: int) -> None:
        region = region_of(pictures[at])
        looks.side_px[at] = max(region.shape[:2])
        grey: npt.NDArray[np.uint8] = cv2.cvtColor(_shrunk(region), cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
        looks.dark_end[at], looks.light_end[at] = np.percentile(grey, (DARK_END, LIGHT_END))
        looks.blur[at] = blur_effect(grey)
        if not near_copies:
            return
        looks.thumbnails[at] = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        looks.hashes[at] = [perceptual_hash(pose) for pose in poses(looks.thumbnails[at])]

    def look_at_some(piece: range) -> int:
        for at in piece:
            look(at)
        return piece.stop

    # A future for each piece and not for each picture: at 40,000 pictures these alone would take 80 MB.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(look_at_some, (range(at, min(at + AT_ONCE, n)) for at in range(0, n, AT_ONCE))):
            on_progress(done, n)
    return looks


def poses(thumbnail: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """A square picture turned by each right angle, as it is and mirrored: eight, the first one unchanged."""
    turned = [np.rot90(thumbnail, quarter) for quarter in range(4)]
    return [np.ascontiguousarray(pose) for picture in turned for pose in (picture, picture[:, ::-1])]


def perceptual_hash(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The signs of a picture's low frequencies against their median, `[18]` uint8, packed bits (imagehash's phash)."""
    found = imagehash.phash(PillowImage.fromarray(thumbnail), hash_size=HASH_SIDE)
    return np.packbits(found.hash.ravel())


def blur_effect(grey: npt.NDArray[np.uint8]) -> float:
    """How little a picture loses when it is blurred again, 0 (sharp) to 1, in the blurrier direction.

    Crété et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric", 2007.
    It does not depend on contrast, and a picture that moved is blurred in one direction only.
    """
    sharp = grey.astype(np.float32)
    worst = 0.0
    for axis, kernel in ((0, (1, REBLUR_PX)), (1, (REBLUR_PX, 1))):
        before = np.abs(np.diff(sharp, axis=axis))
        after = np.abs(np.diff(cv2.blur(sharp, kernel), axis=axis))
        lost, had = float(np.maximum(0, before - after).sum()), float(before.sum())
        worst = max(worst, 1 - lost / had if had else 1.0)
    return worst


def region_of(picture: Picture) -> Image:
    """The pixels that are looked at: the picture, or what lies in its box, `[height, width, 3]` uint8 RGB."""
    image, box = read_image(picture.path), picture.box
    if box is None:
        return image
    height, width = image.shape[:2]
    left, top = min(max(round(box.x_px), 0), width - 1), min(max(round(box.y_px), 0), height - 1)
    right, bottom = max(round(box.x_px + box.width_px), left + 1), max(round(box.y_px + box.height_px), top + 1)
    return image[top:bottom, left:right]


def _shrunk(image: Image) -> Image:
    scale = MEASURED_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
