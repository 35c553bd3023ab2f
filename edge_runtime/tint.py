"""Where a patch differs from the empty belt by a trace of colour: mould on rubber, grey on grey.

A pixel's noise hides such a trace, the mean of a block of pixels shows it. What the light does to the belt's colour is
none: luma and both colour differences change by the same ratio.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.shadow import GREY, Plane, Planes

BLOCK_PX = 4
LEAST_TINT, SPREADS = 6.0, 6.0
"""The least that both colour differences of a block together exceed, in levels at sensitivity 1, and in spreads."""

PIXEL_TINT = 3
"""What a pixel of such a block exceeds itself, so that the patch ends where it ends and not with a block."""

BEYOND = 2.0

BRIGHT = 220.0
"""Of luma: about where a camera's first colour is at its end, and light that changes changes the colours' ratio."""

FIRST_SPREAD = 1.0
LEARNING_RATE = 0.02
LEARNT_FRAMES = 24


class Tint:
    """Traces of colour, block by block.

    `inner` is a mask of what the latest picture shows well within such patches.

    Args:
        empty: The empty scene; kept, and looked at again where `learn` is told so.
        sensitivity: As in `[localize]` of `line.toml`.
    """

    def __init__(self, empty: Planes, sensitivity: float) -> None:
        _, height, width = empty.shape
        size = height // BLOCK_PX, width // BLOCK_PX
        self._empty = empty
        self._sensitivity = sensitivity
        self._part = np.s_[: size[0] * BLOCK_PX, : size[1] * BLOCK_PX]
        # A block's colour is expected to be the slope times its luma and the rest, in shade as in light.
        self._slope, self._rest = np.empty((2, 2, *size), np.float32)
        self._tint, self._limit, self._spread = np.empty((3, *size), np.float32)
        self._spread[:] = FIRST_SPREAD
        self._bright = np.zeros(size, np.bool_)
        self._scratch = np.empty((size[0] * BLOCK_PX, size[1] * BLOCK_PX), np.uint8)
        self.inner: Plane = np.zeros((height, width), np.uint8)
        self._frames = 0
        self.learn(slice(None))
        self._lay_limit()

    def add_to(self, mask: Plane, picture: Planes, differs: Plane) -> None:
        """Put patches with a trace of colour into a mask, 0 or 255.

        Args:
            mask: What differs otherwise; changed in place.
            picture: The picture.
            differs: How much both colour differences of each pixel together differ from the empty scene.
        """
        luma, *colours = (self._in_blocks(plane).astype(np.float32) for plane in picture)
        red, blue = (
            np.abs(colour - rest - luma * slope)
            for colour, slope, rest in zip(colours, self._slope, self._rest, strict=True)
        )
        np.add(red, blue, out=self._tint)
        if self._frames < LEARNT_FRAMES:
            return
        traces: Plane = cv2.compare(self._tint, self._limit, cv2.CMP_GT)
        traces[self._bright | (luma > BRIGHT)] = 0
        cv2.threshold(differs[self._part], PIXEL_TINT, 255, cv2.THRESH_BINARY, dst=self._scratch)
        found = cv2.bitwise_and(_in_pixels(traces), self._scratch, dst=self._scratch)
        cv2.bitwise_or(mask[self._part], found, dst=mask[self._part])
        # A patch's outer blocks may owe their colour to what lies beside them.
        cv2.erode(traces, np.ones((3, 3), np.uint8), dst=traces)
        self.inner[self._part] = cv2.bitwise_and(_in_pixels(traces), found)

    def learn(self, rows: slice) -> None:
        """The empty scene changed in these rows."""
        height = len(self._tint)
        start, stop, _ = rows.indices(height * BLOCK_PX)
        blocks = slice(start // BLOCK_PX, -(-stop // BLOCK_PX))
        pixels = slice(blocks.start * BLOCK_PX, blocks.stop * BLOCK_PX)
        luma, *colours = (self._in_blocks(plane[pixels]).astype(np.float32) for plane in self._empty)
        np.greater(luma, BRIGHT, out=self._bright[blocks])
        for colour, slope, rest in zip(colours, self._slope[:, blocks], self._rest[:, blocks], strict=True):
            np.divide(colour - GREY, np.maximum(luma, 1), out=slope)
            np.subtract(colour, luma * slope, out=rest)

    def follow(self, clear: Plane) -> None:
        """Learn from the latest picture how far blocks stray: all but those at what is clear to see, a mask.

        A trace counts as so many spreads, however strong it is: stains and a change of the belt's colour come again and
        raise the limit, mould is too rare to.
        """
        near = cv2.dilate(clear[self._part][1::BLOCK_PX, 1::BLOCK_PX], np.ones((3, 3), np.uint8))
        rate = max(LEARNING_RATE, 1 / (self._frames + 2))
        strays = np.minimum(self._tint, self._limit * np.float32(BEYOND / SPREADS))
        cv2.accumulateWeighted(strays, self._spread, rate, cv2.bitwise_not(near))
        self._frames += 1
        self._lay_limit()

    def _lay_limit(self) -> None:
        np.multiply(self._spread, SPREADS / self._sensitivity, out=self._limit)
        np.maximum(self._limit, LEAST_TINT / self._sensitivity, out=self._limit)

    def _in_blocks(self, plane: Plane) -> Plane:
        """Block means, in steps that are quick each."""
        height, width = (side // BLOCK_PX for side in plane.shape)
        half = cv2.resize(
            plane[: height * BLOCK_PX, : width * BLOCK_PX], (width * 2, height * 2), interpolation=cv2.INTER_AREA
        )
        return cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _in_pixels(blocks: Plane) -> Plane:
    """Blocks of a mask, each as large as it is; four bytes at a time, as `cv2.resize` takes longer than all else."""
    wide = (blocks.astype(np.uint32) * np.uint32(0x01010101)).view(np.uint8)
    return wide.repeat(BLOCK_PX, axis=0)
