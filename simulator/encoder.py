"""The simulated quadrature encoder, behind the runtime's own port."""

from __future__ import annotations

import math

from simulator.motion import BeltMotion, Wheel
from simulator.scenario import EncoderSection

_BITS = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15

_EDGE = 1e-6
"""A reading this share of a tick before an edge counts as past it, so that rounding does not decide."""


class SimulatedEncoder:
    """Counts the edges of two channels, a quarter turn apart, as a wheel on the belt turns.

    Args:
        settings: Resolution and noise.
        motion: Of the belt.
        wheel: How far the wheel follows the belt.
        seed: Of the noise, which depends on the time of a reading alone.
        start_ns: When the belt's time begins on the clock that readings are asked for.
    """

    def __init__(
        self, settings: EncoderSection, motion: BeltMotion, wheel: Wheel, *, seed: int = 0, start_ns: int = 0
    ) -> None:
        self._settings, self._motion, self._wheel = settings, motion, wheel
        self._seed = seed
        self.start_ns = start_ns

    def count(self, time_ns: int) -> int:
        """Ticks since the start, as the counter shows them at that time."""
        ticks = self._wheel.at_mm(self._motion.position_mm(time_ns - self.start_ns)) * self._settings.ticks_per_mm
        if self._settings.noise_ticks > 0:
            ticks += self._settings.noise_ticks * _normal(self._seed, max(0, time_ns - self.start_ns))
        return math.floor(ticks + _EDGE)

    def channels(self, time_ns: int) -> tuple[bool, bool]:
        """Levels of A and B; going forward, A leads."""
        phase = self.count(time_ns) % 4
        return phase in (1, 2), phase in (2, 3)

    def position_mm(self, captured_ns: int) -> float | None:
        """Distance that the belt has run at that time, by the counter."""
        return self.count(captured_ns) / self._settings.ticks_per_mm


def _normal(seed: int, time_ns: int) -> float:
    """A standard normal number that hangs on seed and time alone: Box and Muller (1958) on two hashed uniforms.

    A generator of numpy's for every reading would cost more than everything else about it.
    """
    first = _mixed(seed * _GOLDEN + time_ns & _BITS)
    second = _mixed(first + _GOLDEN & _BITS)
    return math.sqrt(-2 * math.log((first + 1) / 2**64)) * math.cos(2 * math.pi * second / 2**64)


def _mixed(value: int) -> int:
    """64 bits well mixed: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _BITS
    return value ^ value >> 31
