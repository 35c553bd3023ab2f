"""How far the belt has run, seen from its own texture: for lines without an encoder. Pure.

Rows along the belt are compared with those of an earlier picture by phase correlation (Kuglin and Hines 1975), in one
dimension and with the same shift for all rows. What stands still in the picture (uneven light, dust on the lens, the
frame beside the belt) is learned while the belt moves and taken away, or it would vote for a belt that stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import BeltDirection, Image
from edge_runtime.tracking.belt_motion import is_horizontal

Rows = npt.NDArray[np.float32]

LONGEST_PX = 512
ROWS = 48
NEW_KEY = 0.2
"""Share of the picture that the belt runs before the next pictures are compared with a newer one."""

LAST_KEY = 0.5

LOST_AFTER = 5
"""Pictures without a sure shift after which it may be any."""

SURE, SURE_NEAR = 7.0, 4.5
"""Peak of the correlation over its standard deviation, among all shifts and near the expected one: chance hardly gets
to 5 among hundreds, to 3.5 among dozens."""

MOST_SPREADS = 4.0
"""Median absolute deviations from a row's median beyond which a sample counts no more."""

STATIC_RATE = 0.1
STATIC_STEP_PX = 2.0
SMOOTHING = 0.5
_FASTER, _SLOWER_PX = 0.5, 6.0
_BACK_PX = 1.5


PROVEN = 0.1
"""Share of the picture that the belt must have been seen to run before anything is said of it."""

BRIDGED_NS = 1_000_000_000
"""For so long its speed is believed to go on when no picture shows it."""


@dataclass(frozen=True, slots=True)
class BeltStep:
    """`way_px` since the first picture; `sure` says that this picture showed it, and not the speed before.

    `known` is false until the belt was seen to run, and while it has not been seen for a second: a plain belt before a
    scenery that stands still must not be taken for one that stands.
    """

    way_px: float
    sure: bool
    known: bool


class BeltTexture:
    """Follows the belt from picture to picture.

    Args:
        direction: Where it runs to in the picture.
    """

    def __init__(self, direction: BeltDirection) -> None:
        self._direction = direction
        self._key: Rows | None = None
        self._static: Rows | None = None
        self._static_way_px = 0.0
        self._key_way_px = self._way_px = 0.0
        self._speed_px_s: float | None = None
        self._last_ns = self._unsure = 0
        self._sure_ns = 0
        self._proven = False
        self._last_rows: Rows | None = None
        self._window: Rows | None = None

    @property
    def speed_px_s(self) -> float:
        """As the last pictures showed it; 0 before."""
        return self._speed_px_s or 0.0

    @property
    def _is_lost(self) -> bool:
        return self._speed_px_s is None or self._unsure >= LOST_AFTER

    def see(self, image: Image, captured_ns: int) -> BeltStep:
        """Take in a picture, `[height, width, 3]` uint8 RGB; its size must not change."""
        rows, px_per_sample = self._rows(image)
        if self._key is None or self._key.shape != rows.shape:
            self._key, self._static, self._last_ns = rows, rows.mean(axis=1, keepdims=True) + 0 * rows, captured_ns
            self._key_way_px = self._static_way_px = self._way_px
            return BeltStep(self._way_px, False, False)
        seconds = max(1e-6, (captured_ns - self._last_ns) / 1e9)
        expected_px = self._way_px - self._key_way_px + self.speed_px_s * seconds
        shift_px, worth = self._shift(rows, expected_px / px_per_sample, px_per_sample)
        # A picture that is the last one to the bit is a camera that hangs, not a belt that stands.
        hangs = self._last_rows is not None and np.array_equal(rows, self._last_rows)
        sure = worth >= (SURE if self._is_lost else SURE_NEAR) and not hangs
        self._unsure = 0 if sure else self._unsure + 1
        self._last_rows = rows
        if not sure:
            shift_px = expected_px
        before_px, self._way_px = self._way_px, max(self._way_px, self._key_way_px + shift_px)
        if sure:
            now = (self._way_px - before_px) / seconds
            old = self._speed_px_s
            self._speed_px_s = now if old is None else old + SMOOTHING * (now - old)
        self._last_ns = captured_ns
        self._learn_static(rows)
        # For a few unsure pictures the old key stays, as far as it goes: it may yet tell the way across the gap.
        reach = (NEW_KEY if sure else LAST_KEY) * px_per_sample * rows.shape[1]
        if self._way_px - self._key_way_px >= reach or self._unsure >= LOST_AFTER:
            self._key, self._key_way_px = rows, self._way_px
        self._proven = self._proven or self._way_px >= PROVEN * px_per_sample * rows.shape[1]
        self._sure_ns = captured_ns if sure else self._sure_ns
        return BeltStep(self._way_px, sure, self._proven and captured_ns - self._sure_ns <= BRIDGED_NS)

    def _rows(self, image: Image) -> tuple[Rows, float]:
        """Lines along the belt, upstream end first, `[ROWS, samples]`, and how many pixels a sample is."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if not is_horizontal(self._direction):
            grey = cv2.transpose(grey)
        if self._direction in (BeltDirection.LEFT, BeltDirection.UP):
            grey = cv2.flip(grey, 1)
        samples = min(LONGEST_PX, grey.shape[1])
        small = cv2.resize(grey, (samples, ROWS), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32), grey.shape[1] / samples

    def _shift(self, rows: Rows, expected: float, px_per_sample: float) -> tuple[float, float]:
        """By how many pixels the belt lies further than in the key picture, and how clearly."""
        assert self._key is not None
        assert self._static is not None
        count = rows.shape[1]
        if self._window is None or self._window.shape[1] != count:
            self._window = np.hanning(count).astype(np.float32)[None]
        one, other = (np.fft.rfft(_levelled(part - self._static) * self._window, axis=1) for part in (self._key, rows))
        cross = (np.conj(one) * other).sum(axis=0)
        power = np.sqrt((np.abs(one) ** 2).sum(axis=0) * (np.abs(other) ** 2).sum(axis=0))
        found = np.fft.irfft(cross / (power + 1e-3 * power.max() + 1e-9), count)
        shifts = np.fft.fftfreq(count, 1 / count)
        allowed = (shifts >= -_BACK_PX) & (shifts < count / 2)
        if self._is_lost:
            # What is left of a standing scenery comes first to light where nothing else is seen.
            allowed &= np.abs(shifts) >= _BACK_PX
        else:
            moved = expected - (self._way_px - self._key_way_px) / px_per_sample
            allowed &= np.abs(shifts - expected) <= _FASTER * abs(moved) + _SLOWER_PX
        best = int(np.argmax(np.where(allowed, found, -np.inf)))
        left, middle, right = found[best - 1], found[best], found[(best + 1) % count]
        bend = left - 2 * middle + right
        part = 0.0 if bend >= 0 else 0.5 * (left - right) / bend
        return float(shifts[best] + np.clip(part, -0.5, 0.5)) * px_per_sample, float(middle / (found.std() + 1e-12))

    def _learn_static(self, rows: Rows) -> None:
        """Follow what stays while the belt moves on; one that is known to run and stands teaches nothing."""
        assert self._static is not None
        if not self._proven or self._way_px - self._static_way_px >= STATIC_STEP_PX:
            self._static += STATIC_RATE * (rows - self._static)
            self._static_way_px = self._way_px


def _levelled(rows: Rows) -> Rows:
    """Without what stands out: a fruit's edge, or its ghost in what was learned, must not outweigh all of the belt."""
    centred = rows - np.median(rows, axis=1, keepdims=True)
    most = MOST_SPREADS * float(np.median(np.abs(centred))) + 1.0
    return np.asarray(np.clip(centred, -most, most), np.float32)
