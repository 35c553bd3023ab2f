"""What a picture says about its camera, next to the one before it: frozen, black, torn, colours swapped. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.records import Image

_LOOKED_AT_PX = 160
_BANDS = 4
_TEXTURE_LEVELS = 2.0
_USUALLY = 0.9
_LEARNING = 0.05
_TORN_AT_MOST = 8
_MOVED_LEVELS = 24
_MOVED_SHARE = 0.005
_THUMBNAIL_PX = 16
_CLEAR_LEVELS = 6.0


@dataclass(frozen=True, slots=True)
class Look:
    """`changed`: it differs from the one before, if only by noise. `lit`: not black. `moving`: something in it moved.

    `torn`: a part of it is of the one before, so it must not be used.
    """

    changed: bool
    lit: bool
    moving: bool
    torn: bool


class PictureWatch:
    """Looks at every n-th pixel of each picture.

    A band across the picture that is the same to the last bit while the rest differs was not delivered, provided that
    the belt moves and that the band usually changes: where a stream is compressed, what stands still stays the same to
    the last bit.

    Args:
        black_level: Mean below which a picture is black.
    """

    def __init__(self, black_level: float) -> None:
        self._black_level = black_level
        self._before: Image | None = None
        self._changing = np.zeros(_BANDS)
        self._torn = 0

    def look(self, image: Image, *, belt_moves: bool | None = None) -> Look:
        """Take in a picture; `belt_moves` says whether the belt has since the one before, None where nobody knows."""
        every = max(1, image.shape[1] // _LOOKED_AT_PX)
        now, before = image[::every, ::every], self._before
        self._before = now.copy()
        lit = float(now.mean()) >= self._black_level
        if before is None or before.shape != now.shape:
            self._changing[:] = 0.0
            return Look(changed=True, lit=lit, moving=False, torn=False)
        pairs = list(zip(np.array_split(now, _BANDS), np.array_split(before, _BANDS), strict=True))
        changed = np.array([not np.array_equal(one, other) for one, other in pairs])
        if not changed.any():
            return Look(changed=False, lit=lit, moving=False, torn=False)
        textured = np.array([float(one.std()) >= _TEXTURE_LEVELS for one, _ in pairs])
        torn = belt_moves is not False and bool((~changed & textured & (self._changing > _USUALLY)).any())
        self._torn = self._torn + 1 if torn else 0
        # Where nobody knows, a belt that stands soon looks more likely than a camera that sends nothing else.
        torn = torn and (belt_moves is True or self._torn <= _TORN_AT_MOST)
        if not torn:
            self._changing += _LEARNING * (changed - self._changing)
        moved = cv2.absdiff(now, before).max(axis=2) > _MOVED_LEVELS
        return Look(changed=True, lit=lit, moving=float(moved.mean()) >= _MOVED_SHARE, torn=torn)


def thumbnail(image: Image) -> Image:
    """A picture as 16x16 pixels, to know it again by its colours."""
    return np.asarray(cv2.resize(image, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA), np.uint8)


def same_colours(before: Image, after: Image) -> bool | None:
    """Whether a scene, as two thumbnails, has come back with its colours, and not with red and blue exchanged.

    A grey scene looks the same either way and proves nothing: None.
    """
    old, new = before.astype(np.float32), after.astype(np.float32)
    straight = float(np.abs(new - old).mean())
    swapped = float(np.abs(new[..., ::-1] - old).mean())
    if max(straight, swapped) < _CLEAR_LEVELS or max(straight, swapped) < 2 * min(straight, swapped):
        return None
    return straight < swapped
