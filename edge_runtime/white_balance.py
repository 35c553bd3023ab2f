"""Light that changes colour or strength, taken out of a fruit's crop by what it does to the belt beside it. Pure.

The belt is the grey card of the line: it lies in the same light as the fruit, and what it looked like at first is known
(von Kries 1902: one factor a channel). Dirt and glare change parts of it, so the factors are medians over the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image

EVERY_FRAMES = 15
FIRST_FRAMES = 30
"""The empty scene has been learnt by then; what the belt looks like is what it should look like."""

SAMPLES = 24
"""Along each side of the scene: some hundred pixels tell a median as well as all of them do."""

MOST_LIGHT, MOST_COLOUR = 2.0, 1.25
"""Factors go no farther, that of all channels together and that of one against the others: fruit cannot be told so."""

SMOOTHING = 0.3
LEAST_LEVEL = 16
"""What is darker than this shows the sensor's noise, not the light."""

LEAST_SHARE = 0.25
LEAST_CHANGE = 0.01


class WhiteBalance:
    """Follows the light on the empty scene; no correction before that is known."""

    def __init__(self) -> None:
        self._frames = 0
        self._shape: tuple[int, ...] = ()
        self._at_first: Image | None = None
        self._log_gains = np.zeros(3)
        self._table: Image | None = None

    @property
    def gains(self) -> npt.NDArray[np.float64]:
        """Factors `[3]`, red, green and blue, that bring the light back to what it was at first."""
        return np.exp(self._log_gains)

    def follow(self, scene: Image | None) -> None:
        """Take in a frame's empty scene, `[height, width, 3]` uint8 YCrCb.

        Where it is not known (None), or of another size than before, all begins anew.
        """
        if scene is None or scene.shape != self._shape:
            self._frames, self._shape = 0, () if scene is None else scene.shape
        self._frames += scene is not None
        if scene is None or self._frames < FIRST_FRAMES:
            self._at_first, self._table, self._log_gains = None, None, np.zeros(3)
        elif self._frames % EVERY_FRAMES == 0:
            now = np.asarray(cv2.cvtColor(_sampled(scene), cv2.COLOR_YCrCb2RGB), np.uint8)
            if self._at_first is None:
                self._at_first = now
            self._log_gains += SMOOTHING * (_log_gains(self._at_first, now) - self._log_gains)
            self._table = _table(self.gains)

    def apply(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Crops `[N, height, width, 3]` uint8 RGB as in the first light; the same array where nothing changed."""
        if self._table is None or not len(inputs):
            return inputs
        rows = inputs.reshape(-1, inputs.shape[2], 3)
        return np.asarray(cv2.LUT(rows, self._table), np.uint8).reshape(inputs.shape)


def _sampled(scene: Image) -> Image:
    rows, columns = (max(1, side // SAMPLES) for side in scene.shape[:2])
    return np.ascontiguousarray(scene[::rows, ::columns])


def _log_gains(before: Image, now: Image) -> npt.NDArray[np.float64]:
    """Bounded logarithms of the factors `[3]`; zeros where too little of the scene can be compared."""
    pairs = np.stack([before.reshape(-1, 3), now.reshape(-1, 3)])
    usable = (pairs > LEAST_LEVEL).all(axis=(0, 2))  # what was clipped at first makes a factor too small: the safe side
    if usable.mean() < LEAST_SHARE:
        return np.zeros(3)
    then, here = np.log(pairs[:, usable].astype(np.float64))
    logs = np.median(then - here, axis=0)
    light = float(np.clip(logs.mean(), -np.log(MOST_LIGHT), np.log(MOST_LIGHT)))
    return np.asarray(light + np.clip(logs - logs.mean(), -np.log(MOST_COLOUR), np.log(MOST_COLOUR)))


def _table(gains: npt.NDArray[np.float64]) -> Image | None:
    if np.abs(gains - 1).max() < LEAST_CHANGE:
        return None
    levels = np.arange(256)[np.newaxis, :, np.newaxis] * gains
    table: Image = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return table
