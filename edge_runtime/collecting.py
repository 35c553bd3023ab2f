"""Pictures for labelling out of a moving line: follow fruit without a model, and pick the views worth keeping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from edge_runtime.localization.localize import Localizer
from edge_runtime.pipeline import Step
from edge_runtime.records import Decision, Frame, TrackedDetection, Verdict
from edge_runtime.settings.config import LineConfig
from edge_runtime.tracking.track import Tracker

UNSURE_BELOW = 0.8
EVERY_PICTURES = 0.2

Keep = Callable[[Frame, TrackedDetection], object]


class Follower:
    """Stands where the pipeline stands for a line that has no model yet: finds and follows, decides nothing."""

    def __init__(self, config: LineConfig) -> None:
        self._localizer = Localizer(config.localize, config.belt)
        self._tracker = Tracker(config.track, config.belt, config.camera.readout_ms)

    def step(self, frame: Frame) -> Step:
        """Take in one frame."""
        update = self._tracker.update(frame, self._localizer.detect(frame.image))
        return Step(update.tracked, [], {}, update.finished)

    def finish(self, now_ns: int) -> list[Decision]:  # noqa: ARG002
        """See `edge_runtime.line.Stepper`."""
        return []


class Collector:
    """Keeps whole views of each fruit, every so far on its way; where fruit are decided, only those decided unsurely.

    Args:
        keep: Called with each frame and view to be kept.
        every_px: Picture pixels between two views of one fruit; None for a fifth of the picture's length.
        until_decided: Whether to wait for a decision and keep only unsure ones.
    """

    def __init__(self, keep: Keep, *, every_px: float | None, until_decided: bool) -> None:
        self._keep, self._every_px, self._until_decided = keep, every_px, until_decided
        self._last: dict[int, tuple[float, float]] = {}
        self._waiting: dict[int, list[tuple[Frame, TrackedDetection]]] = defaultdict(list)
        self._decided: set[int] = set()

    def on_frame(self, frame: Frame, step: Step) -> None:
        """Take in what a frame led to."""
        for view in step.tracked:
            if view.fruit_id in self._decided:
                continue  # nothing more is coming that frames would have to be held for
            if not view.detection.touches_border and self._has_come_on(frame, view):
                if self._until_decided:
                    self._waiting[view.fruit_id].append((frame, view))
                else:
                    self._keep(frame, view)
        for decision in step.decisions:
            self._decided.add(decision.fruit_id)
            for held in self._waiting.pop(decision.fruit_id, []):
                if is_unsure(decision):
                    self._keep(*held)
        for fruit_id in step.ended:
            self._decided.discard(fruit_id)
            self._waiting.pop(fruit_id, None)
            self._last.pop(fruit_id, None)

    def _has_come_on(self, frame: Frame, view: TrackedDetection) -> bool:
        every_px = self._every_px or EVERY_PICTURES * max(frame.image.shape[:2])
        x, y = view.detection.box.centre_px
        last = self._last.get(view.fruit_id)
        if last is not None and max(abs(x - last[0]), abs(y - last[1])) < every_px:
            return False
        self._last[view.fruit_id] = (x, y)
        return True


def is_unsure(decision: Decision) -> bool:
    """Whether a fruit's true label would teach the model more than most."""
    return decision.verdict is Verdict.UNDECIDED or max(decision.probabilities.values()) < UNSURE_BELOW
