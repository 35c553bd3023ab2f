"""When a curve has stopped falling."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Plateau:
    """Watches a loss: ended once it has not fallen by more than `min_delta` for `patience` epochs.

    Attributes:
        best_loss: The lowest so far.
        best_epoch: When; None if nothing beat what `best_loss` began with.
    """

    patience: int
    min_delta: float
    best_loss: float = math.inf
    best_epoch: int | None = None
    waited: int = 0
    _reference: float | None = None

    def see(self, epoch: int, loss: float) -> bool:
        """Take the loss of an epoch; returns whether it is the best so far."""
        reference = self.best_loss if self._reference is None else self._reference
        self.waited = 0 if loss < reference - self.min_delta else self.waited + 1
        self._reference = reference if self.waited else loss
        better = loss < self.best_loss
        if better:
            self.best_loss, self.best_epoch = loss, epoch
        return better

    @property
    def ended(self) -> bool:
        """Whether to stop."""
        return self.waited >= self.patience
