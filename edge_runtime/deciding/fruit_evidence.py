"""What is known of one fruit on its way to a decision: its views' logits, fused, and whether looking on would pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.deciding.decide import energy, fuse
from edge_runtime.deciding.sequential import prospect
from edge_runtime.records import Image, TrackedDetection

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Weighing:
    """How views are weighed: the same for every fruit of a run.

    `costs` is `[labels, verdicts]`, `view_cost` in the same unit; above `energy_limit` a view is unlike anything that
    the model learned from (None: not known).
    """

    costs: npt.NDArray[np.float64]
    temperature: float
    rho: float
    view_cost: float
    energy_limit: float | None


class FruitEvidence:
    """A fruit not decided yet.

    Args:
        weighing: Of the run.
        first: Its first view.
    """

    def __init__(self, weighing: Weighing, first: TrackedDetection) -> None:
        self._weighing = weighing
        self.first = self.last = first
        self._whole: dict[int, Logits] = {}
        self._cut: Logits | None = None
        self._cut_area_px = 0.0
        self.held: tuple[TrackedDetection, Image] | None = None
        self.is_settled = False

    def wants(self, view: TrackedDetection) -> bool:
        """Whether a view is worth an inference: not once more views would not pay.

        A view that an edge cuts shows part of a fruit: a makeshift, and only while there is no whole one.
        """
        if self.is_settled:
            return False
        return not view.detection.touches_border or (not self._whole and view.detection.area_px > self._cut_area_px)

    def would_hold(self, view: TrackedDetection) -> bool:
        """Whether a view from before it counts is worth keeping: the first whole one, or what an edge cuts least."""
        if self.held is None:
            return True
        kept = self.held[0].detection
        return kept.touches_border and (not view.detection.touches_border or view.detection.area_px > kept.area_px)

    def hold(self, view: TrackedDetection, model_input: Image) -> None:
        """Keep a view, `[size, size, 3]` uint8, in case that no other one comes."""
        self.held = view, model_input

    def follow(self, view: TrackedDetection) -> None:
        """Take in where it is now; its place on the belt gets surer by every view, inferred or not."""
        if view.frame_index < self.last.frame_index:
            self.first = min(self.first, view, key=lambda one: one.frame_index)
        elif not view.detection.touches_border or self.last.detection.touches_border:
            self.last = view

    def add(self, view: TrackedDetection, logits: Logits) -> None:
        """Take in a view's logits `[labels]`."""
        if view.detection.touches_border:
            if view.detection.area_px > self._cut_area_px:
                self._cut, self._cut_area_px = logits, view.detection.area_px
            return
        self._whole[view.frame_index] = logits
        self._weigh()

    def asks_for_mirror_image(self, view: TrackedDetection) -> bool:
        """Whether a view that was added left doubt which its mirror image may take away; not where an edge cut it."""
        return view.frame_index in self._whole and not self.is_settled

    def add_mirror_image(self, view: TrackedDetection, logits: Logits) -> None:
        """Take in the logits `[labels]` of the mirror image of a view that was added: together they are one view."""
        self._whole[view.frame_index] = (self._whole[view.frame_index] + logits) / 2
        self._weigh()

    def _weigh(self) -> None:
        rule = self._weighing
        ahead = prospect(self.fused(), rule.costs, views=len(self._whole), rho=rule.rho, view_cost=rule.view_cost)
        self.is_settled = rule.view_cost > 0 and ahead.is_settled and not self.is_unfamiliar

    @property
    def views(self) -> int:
        """How many views were fused."""
        return len(self._used)

    @property
    def is_unfamiliar(self) -> bool:
        """Whether most of its views are unlike anything that the model learned from."""
        limit = self._weighing.energy_limit
        return limit is not None and float(np.median(energy(np.stack(self._used)))) > limit

    def fused(self) -> npt.NDArray[np.float64]:
        """Probabilities `[labels]` from all views so far."""
        return fuse(np.stack(self._used), temperature=self._weighing.temperature, rho=self._weighing.rho)

    @property
    def _used(self) -> list[Logits]:
        return list(self._whole.values()) or ([self._cut] if self._cut is not None else [])
