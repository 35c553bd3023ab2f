"""Where a patch differs from the empty belt by a trace of colour: mould on rubber, grey on grey.

A pixel's noise hides such a trace, the mean of a block of pixels shows it. Other things leave traces too, in footage
more than in a camera's own pictures: light, edges in a picture that shakes, and codecs, which change the colour of
whole blocks. So a trace must exceed what the block has strayed by before, and what its neighbours in the empty scene
would make in its place; light must not explain it, which changes luma and both colours by the same ratio; and it counts
only where it is wide: a codec's blocks lie alone, or line the edge of what is clear to see.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike

from edge_runtime.localization.shadow import GREY, Plane, Planes

BLOCK_PX = 4
"""In a picture that is looked at closely; in one of half its size, blocks of half as many pixels show as much."""

LEAST_TINT, SPREADS = 6.0, 6.0
"""The least that both colour differences of a block together exceed, in levels at sensitivity 1, and in spreads."""

SHAKEN = 1.5
"""Times what a neighbouring block would make in a block's place: so much of a scene's edge is no trace."""

NARROWEST, NARROWEST_ALONE = 3, 2
"""In blocks, of a patch, and of what of it is not clear to see as well: mould is speckled with both."""

REACH = 5
"""In blocks: so far from there the rest of the fruit may be clear to see, and yet taken for shade."""

MOST = 170
"""Of 255: a block is clear to see where two thirds of it are."""

PIXEL_TINT = 3
"""What a pixel of such a block exceeds itself, so that the patch ends where it ends and not with a block."""

BRIGHT = 220
"""Of luma: about where a camera's first colour is at its end, and light that changes changes the colours' ratio."""

FIRST_SPREAD = 1.0
CAPPED = 1 / 3
LEARNT_EVERY, LEARNT_TIMES, LEARNING_RATE = 4, 6, 0.08
"""Pictures from one that is learnt from to the next, with the scene's three planes in between; how many at least."""

MARGIN = REACH + NARROWEST
_GREY = np.float32(GREY)
_WIDE, _WIDE_ALONE, _NEAR, _AROUND = (
    np.ones((side, side), np.uint8) for side in (NARROWEST, NARROWEST_ALONE, 3, 2 * REACH + 1)
)


class Tint:
    """Traces of colour, block by block.

    `inner` is a mask, 0 or 255, of what the latest picture shows well within such patches; None if there is none.

    Args:
        empty: The empty scene; kept, and looked at again by `learn` and `follow`.
        sensitivity: As in `[localize]` of `line.toml`.
        block_px: 2 or 4.
    """

    def __init__(self, empty: Planes, sensitivity: float, block_px: int = BLOCK_PX) -> None:
        _, height, width = empty.shape
        size = height // block_px, width // block_px
        self._sensitivity, self._block_px = sensitivity, block_px
        self._part = np.s_[..., : size[0] * block_px, : size[1] * block_px]
        self._empty = empty[self._part]
        self._blocks = np.empty((3, *size), np.uint8)
        self._edge, self._tint, self._limit, self._clear = np.zeros((4, *size), np.uint8)
        self._spread = np.full(size, FIRST_SPREAD, np.float32)
        self._found: Plane = np.zeros((height, width), np.uint8)
        self._inner = np.zeros_like(self._found)
        self.inner: Plane | None = None
        self._frames = 0
        self.learn()

    def find(self, picture: Planes, clear: Plane, differs: Plane) -> Plane | None:
        """Patches with a trace of colour: a mask, 0 or 255, until the next call; None where there is none.

        That there is none is quick to see; where there is one, the rest is looked at around it.

        Args:
            picture: The picture.
            clear: What differs clearly, 0 or 255.
            differs: How much both colour differences of each pixel together differ from the empty scene.
        """
        self.inner = None
        now = picture[self._part]
        colours = np.stack([_in_blocks(plane, self._block_px) for plane in now[1:]])
        red, blue = map(cv2.absdiff, colours, self._blocks[1:])
        cv2.add(red, blue, dst=self._tint)
        cv2.threshold(_in_blocks(clear[self._part], self._block_px), MOST, 255, cv2.THRESH_BINARY, dst=self._clear)
        if self._frames < LEARNT_EVERY * LEARNT_TIMES:
            return None
        # What is clear is no trace, nor is what is narrow, as the rim of a clear thing is.
        alone = cv2.subtract(cv2.compare(self._tint, self._limit, cv2.CMP_GT), self._clear)
        x, y, width, height = cv2.boundingRect(cv2.erode(alone, _WIDE_ALONE))
        if not width:
            return None
        left, top = max(0, x - MARGIN), max(0, y - MARGIN)
        right, bottom = x + width + MARGIN, y + height + MARGIN
        side = self._block_px
        pixels = np.s_[..., top * side : bottom * side, left * side : right * side]
        traces = self._traces(now[0][pixels], colours, np.s_[..., top:bottom, left:right])
        if not cv2.countNonZero(traces):
            return None
        itself = cv2.threshold(differs[self._part][pixels], PIXEL_TINT, 255, cv2.THRESH_BINARY)[1]
        # A patch's outer blocks may owe their colour to what lies beside them.
        for mask, blocks in ((self._found, traces), (self._inner, cv2.erode(traces, _NEAR))):
            mask[:] = 0
            np.bitwise_and(_in_pixels(blocks, self._block_px), itself, out=mask[self._part][pixels])
        self.inner = self._inner
        return self._found

    def learn(self) -> None:
        """The empty scene changed at once; its slow changes are seen to by `follow`."""
        for plane in range(3):
            self._look_at_scene(plane)

    def follow(self) -> None:
        """Learn from the latest picture how far blocks stray: all but those at what is clear to see.

        A trace counts as so much of the limit, however strong it is: stains and a change of the belt's colour come
        again and raise the limit, mould is too rare to.
        """
        times, rest = divmod(self._frames, LEARNT_EVERY)
        self._frames += 1
        if rest:
            self._look_at_scene(rest - 1)
            return
        strays = cv2.min(self._tint, cv2.convertScaleAbs(self._limit, alpha=CAPPED)) if times else self._tint
        rate = max(LEARNING_RATE, 1 / (times + 2))
        cv2.accumulateWeighted(strays, self._spread, rate, cv2.bitwise_not(cv2.dilate(self._clear, _NEAR)))
        cv2.convertScaleAbs(self._spread, dst=self._limit, alpha=SPREADS / self._sensitivity)
        least = np.uint8(min(255.0, LEAST_TINT / self._sensitivity))
        np.maximum(np.maximum(self._limit, self._edge), least, out=self._limit)

    def _look_at_scene(self, plane: int) -> None:
        np.copyto(self._blocks[plane], _in_blocks(self._empty[plane], self._block_px))
        if plane == 2:
            red, blue = (cv2.morphologyEx(shown, cv2.MORPH_GRADIENT, _NEAR) for shown in self._blocks[1:])
            cv2.addWeighted(red, SHAKEN, blue, SHAKEN, 0, dst=self._edge)

    def _traces(self, pixels: Plane, colours: Planes, where: tuple[Any, ...]) -> Plane:
        """Those blocks, 0 or 255, of a part of the picture that belong to patches which light does not make.

        Args:
            pixels: Of luma, in that part.
            colours: Both colour differences, by blocks, of the whole picture.
            where: The part, in blocks.
        """
        luma = _in_blocks(pixels, self._block_px)
        empty, clear, tint = self._blocks[where], self._clear[where], self._tint[where]
        gain = luma / np.maximum(empty[0], 1).astype(np.float32)
        red, blue = (
            cv2.absdiff(colour - _GREY, gain * (before - _GREY))
            for colour, before in zip(colours[where], empty[1:], strict=True)
        )
        cv2.min(tint, cv2.convertScaleAbs(cv2.add(red, blue)), dst=tint)
        traces = cv2.compare(tint, self._limit[where], cv2.CMP_GT)
        tells = cv2.threshold(cv2.max(luma, empty[0]), BRIGHT, 255, cv2.THRESH_BINARY_INV)[1]
        cv2.bitwise_and(traces, tells, dst=traces)
        alone = cv2.morphologyEx(cv2.subtract(traces, clear), cv2.MORPH_OPEN, _WIDE_ALONE)
        wide = cv2.morphologyEx(cv2.bitwise_or(traces, clear), cv2.MORPH_OPEN, _WIDE)
        cv2.bitwise_and(traces, wide, dst=traces)
        return cv2.bitwise_and(traces, cv2.dilate(alone, _AROUND))  # type: ignore[return-value]


def _in_blocks(plane: Plane, block_px: int) -> Plane:
    """Block means, in steps of two, which is far quicker than one."""
    for _ in range(block_px // 2):
        height, width = plane.shape
        plane = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return plane


def _in_pixels(blocks: MatLike, block_px: int) -> Plane:
    """Blocks of a mask, each as large as it is; so many bytes at a time, as `cv2.resize` takes longer than all else."""
    wide = blocks.astype(np.uint32) * np.uint32(0x01010101) if block_px == 4 else blocks * np.uint16(0x0101)
    return wide.view(np.uint8).repeat(block_px, axis=0)
