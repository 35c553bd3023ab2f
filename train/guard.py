"""The guard over phase two: it stops an epoch in which the loss runs away, and begins again at a lower rate.

A rate that falls may first make worse what it makes better at its end: until there only a loss is too high that says no
more than guessing does; at the end the limit is that of any other rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from train.cache import Examples
from train.folds import Judge, Verdict
from train.run_record import EpochRow, RecipeEvent
from train.schedule import Rates
from train.top import Top

RETRIES = 3
RETRY_RATE_FACTOR = 0.3
JUMP_FACTOR = 1.5
JUMP_MARGIN = 0.05
"""Phase two has diverged when a loss exceeds that before it times the factor plus the margin."""
PROBE_PICTURES = 64
"""Of the judge's pictures about so many are looked at every few steps; all of them after an epoch."""

Record = Callable[[EpochRow | RecipeEvent], None]


class DivergedError(Exception):
    """Training ran away; the message says where and how far."""


def limit(loss_before: float) -> float:
    """What a loss may rise to."""
    return loss_before * JUMP_FACTOR + JUMP_MARGIN


class Guard:
    """Watches what a top learns through the eyes of a judge that it does not learn from."""

    def __init__(self, top: Top, train: Examples, validation: Examples, judge: Judge, rates: Rates) -> None:
        """Take the losses that must not be exceeded by much: those of `top` as it is now, before its first step."""
        self._top, self._train, self._validation, self._judge, self._rates = top, train, validation, judge, rates
        pictures = len(judge.train_rows) + len(judge.validation_rows)
        self._sample = judge.every(math.ceil(pictures / PROBE_PICTURES))
        said = self.verdict()
        guessing = math.log(said.logits.shape[1]) if rates.falls else 0.0
        self._sample_limit = max(limit(self._loss_on_sample()), guessing)
        self._end_limit = limit(float(said.losses.mean()))
        self._limit = max(self._end_limit, guessing)

    def verdict(self) -> Verdict:
        """What the judge says now."""
        return self._ask(self._judge)

    def epoch(self, learns: npt.NDArray[np.bool_], stage: str, number: int) -> tuple[float, float, Verdict]:
        """One epoch: cross-entropy and accuracy of what was shown, and what the judge says at its end.

        Raises:
            DivergedError: A loss is not a number or above its limit; within the epoch, at once.
        """
        loss, right, pictures = 0.0, 0.0, 0
        for shown in self._top.epoch(self._train, learns, stage, number):
            loss, right, pictures = loss + shown.loss, right + shown.right, pictures + shown.pictures
            if not math.isfinite(loss):
                raise DivergedError(f"step {shown.step}: the training loss is not a number")
            if not (found := self._loss_on_sample()) <= self._sample_limit:
                raise DivergedError(
                    f"step {shown.step}: loss {found:.4g} on a sample of {self._judge.name}, above "
                    f"{self._sample_limit:.4g}"
                )
        said = self.verdict()
        highest = self._end_limit if number == self._rates.epochs else self._limit
        if not (found := float(said.losses.mean())) <= highest:
            raise DivergedError(f"end of the epoch: loss {found:.4g} on {self._judge.name}, above {highest:.4g}")
        return loss / pictures, right / pictures, said

    def _loss_on_sample(self) -> float:
        return float(self._ask(self._sample).losses.mean())

    def _ask(self, judge: Judge) -> Verdict:
        parts = ((self._train, judge.train_rows), (self._validation, judge.validation_rows))
        return Verdict(
            np.concatenate([self._top.logits(examples, rows) for examples, rows in parts]),
            np.concatenate([examples.truth[rows] for examples, rows in parts]),
        )


class Attempt(Protocol):
    """`diverged` says where and how far an attempt ran away in the epoch after its last; None if it did not."""

    @property
    def epochs(self) -> int:
        """Finished ones."""
        ...

    @property
    def diverged(self) -> str | None:
        """See above."""
        ...


Tried = TypeVar("Tried", bound=Attempt)


def at_falling_rates(
    attempt: Callable[[str, float], Tried],
    rate: float,
    *,
    stage: str,
    of: str = "",
    gives_up: str,
    last_epoch: int,
    record: Record,
) -> tuple[Tried, float]:
    """Try at a rate, and as long as that diverges again at a lower one, `RETRIES` times at most.

    Args:
        attempt: Begins anew under a name at a rate.
        rate: The first.
        stage: The attempts' common name.
        of: What is tried, to begin the events' reasons with.
        gives_up: What is done when the last attempt diverges too.
        last_epoch: Of phase one.
        record: Told of every divergence.

    Returns:
        The last attempt and its rate.
    """
    for number in range(RETRIES + 1):
        tried = attempt(f"{stage}-{number}", rate)
        if tried.diverged is None:
            break
        gave_up = number == RETRIES
        outcome = gives_up if gave_up else f"again at {RETRY_RATE_FACTOR} times the rate"
        record(
            RecipeEvent(
                phase="fine_tune",
                epoch=last_epoch + tried.epochs + 1,
                kind="gave_up" if gave_up else "diverged",
                reason=f"{of}{tried.diverged}; the weights from before are back, {outcome}",
                rate=rate,
            )
        )
        if not gave_up:
            rate *= RETRY_RATE_FACTOR
    return tried, rate
