"""How the learning rate of phase two goes from its first step to its last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["constant", "cosine"]

WARM_UP_SHARE, LONGEST_WARM_UP = 0.1, 1.0
"""Of all epochs, and in epochs: Adam's first steps are as long as the rate whatever the gradient, and a whole backbone
that takes them at its highest rate is worse for it at once, which the guard rightly stops."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of `epochs` epochs, of which `peak` is the highest.

    `constant` stays at it. `cosine` rises to it in a straight line (Goyal et al. 2017, "Accurate, large minibatch SGD")
    and falls to 0 along half a cosine (Loshchilov and Hutter 2017, "SGDR", one period, no restart). Where a step is on
    the way is all that its rate depends on: a run that goes on has the rates of one that was never broken off.
    """

    schedule: Schedule
    peak: float
    epochs: int

    @property
    def falls(self) -> bool:
        """Whether it has an end that it must reach to be what it is."""
        return self.schedule == "cosine"

    def at(self, done: float) -> float:
        """The rate after so many epochs, from 0 to `epochs`, parts of one included."""
        if not self.falls:
            return self.peak
        warm_up = min(LONGEST_WARM_UP, WARM_UP_SHARE * self.epochs)
        if done < warm_up:
            return self.peak * done / warm_up
        way = min((done - warm_up) / (self.epochs - warm_up), 1.0)
        return self.peak * (1 + math.cos(math.pi * way)) / 2

    def of_epoch(self, number: int) -> float:
        """The rate in the middle of an epoch, counted from 1: what its row in the history says."""
        return self.at(number - 0.5)
