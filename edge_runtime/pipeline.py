"""One line, one step function: frame in, decisions out. No I/O, no thread, no clock but the stopwatch of its stages."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_runtime.config import LineConfig
from edge_runtime.decide import Policy, fuse
from edge_runtime.fruit_track import EARLIER_VIEWS, SUPPORT
from edge_runtime.localize import Localizer
from edge_runtime.manifest import Manifest
from edge_runtime.ports import Engine
from edge_runtime.preprocess import to_model_inputs
from edge_runtime.records import BeltDirection, Decision, Frame, TrackedDetection
from edge_runtime.track import Tracker

STAGES = ("localize", "track", "preprocess", "infer", "decide", "frame")


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame led to; `milliseconds` by stage, `frame` being all of them together."""

    tracked: list[TrackedDetection]
    decisions: list[Decision]
    milliseconds: dict[str, float]


@dataclass(slots=True)
class _Fruit:
    """A fruit not decided yet. `whole` holds logits of whole views, `cut` of the largest one that an edge cuts."""

    first: TrackedDetection
    last: TrackedDetection
    whole: list[npt.NDArray[np.float32]] = field(default_factory=list)
    cut: npt.NDArray[np.float32] | None = None
    cut_area_px: float = 0.0


class Pipeline:
    """Localise, follow, classify and decide, one frame at a time.

    A fruit is decided once: when it has come as far as `decide_at` of the picture's length, or when it is gone.

    Args:
        manifest: Of the bundle; its labels, input and identity.
        engine: A proven engine of that bundle.
        temperature: Of the artefact on this engine.
        policy: The bundle's own, or the line's.
        config: `line.toml`.
    """

    def __init__(
        self, manifest: Manifest, engine: Engine, temperature: float, policy: Policy, config: LineConfig
    ) -> None:
        policy.table(manifest.labels)
        self._manifest = manifest
        self._engine = engine
        self._temperature = temperature
        self._policy = policy
        self._decide_at = config.decide.decide_at
        self._rho = config.decide.rho if config.decide.rho is not None else manifest.view_correlation
        self._localizer = Localizer(config.localize, config.belt)
        self._tracker = Tracker(config.track, config.belt)
        self._open: dict[int, _Fruit] = {}
        self._decided: set[int] = set()
        self._recent: deque[Frame] = deque(maxlen=EARLIER_VIEWS + 1)

    def step(self, frame: Frame) -> Step:
        """Take in one frame; decisions come in the order in which fruit reach their end."""
        watch = _Stopwatch()
        with watch.stage("frame"):
            with watch.stage("localize"):
                detections = self._localizer.detect(frame.image)
            with watch.stage("track"):
                update = self._tracker.update(frame, detections)
            views = [view for view in (*update.earlier, *update.tracked) if view.fruit_id not in self._decided]
            self._recent.append(frame)
            self._classify(views, watch)
            with watch.stage("decide"):
                due = list(dict.fromkeys(view.fruit_id for view in views if self._is_due(view, frame)))
                for fruit in update.lost:
                    self._open.pop(fruit, None)
                gone = [fruit for fruit in update.finished if fruit in self._open]
                decisions = self._decide([*due, *(fruit for fruit in gone if fruit not in due)], frame.captured_ns)
                self._decided.difference_update(update.finished)
        return Step(update.tracked, decisions, watch.milliseconds)

    def finish(self, now_ns: int) -> list[Decision]:
        """Decide about what is still on the belt when the pictures end."""
        lost = self._tracker.finish().lost
        return self._decide(sorted(self._open.keys() - set(lost)), now_ns)

    def _classify(self, views: Sequence[TrackedDetection], watch: _Stopwatch) -> None:
        pictures = {one.index: one.image for one in self._recent}
        wanted = [view for view in views if view.frame_index in pictures and self._is_worth_a_look(view)]
        if not wanted:
            return
        with watch.stage("preprocess"):
            crops = [(pictures[view.frame_index], view.detection.box) for view in wanted]
            inputs = to_model_inputs(crops, self._manifest.input)
        with watch.stage("infer"):
            logits = self._engine.logits(inputs)
        for view, row in zip(wanted, logits, strict=True):
            fruit = self._open.setdefault(view.fruit_id, _Fruit(first=view, last=view))
            fruit.last = view
            if view.detection.touches_border:
                fruit.cut, fruit.cut_area_px = row, view.detection.area_px
            else:
                fruit.whole.append(row)

    def _is_worth_a_look(self, view: TrackedDetection) -> bool:
        """A view that an edge cuts shows part of a fruit: a makeshift, and only while there is no whole one."""
        if not view.detection.touches_border:
            return True
        fruit = self._open.get(view.fruit_id)
        return fruit is None or (not fruit.whole and view.detection.area_px > fruit.cut_area_px)

    def _is_due(self, view: TrackedDetection, frame: Frame) -> bool:
        height, width = frame.image.shape[:2]
        x, y = view.detection.box.centre_px
        share = {
            BeltDirection.RIGHT: x / width,
            BeltDirection.LEFT: 1 - x / width,
            BeltDirection.DOWN: y / height,
            BeltDirection.UP: 1 - y / height,
            None: 0.0,
        }[self._tracker.direction]
        return share >= self._decide_at and view.support >= SUPPORT and view.fruit_id in self._open

    def _decide(self, fruit_ids: Sequence[int], now_ns: int) -> list[Decision]:
        decisions = []
        for fruit_id in fruit_ids:
            fruit = self._open.pop(fruit_id)
            self._decided.add(fruit_id)
            decisions.append(self._decision(fruit_id, fruit, now_ns))
        return decisions

    def _decision(self, fruit_id: int, fruit: _Fruit, now_ns: int) -> Decision:
        views = fruit.whole or ([fruit.cut] if fruit.cut is not None else [])
        fused = fuse(np.stack(views), temperature=self._temperature, rho=self._rho)
        probabilities = {label: float(share) for label, share in zip(self._manifest.labels, fused, strict=True)}
        last = fruit.last
        return Decision(
            fruit_id=fruit_id,
            verdict=self._policy.verdict(probabilities),
            label=max(probabilities, key=lambda label: probabilities[label]),
            probabilities={label: round(share, 6) for label, share in probabilities.items()},
            views=len(views),
            first_frame=fruit.first.frame_index,
            last_frame=last.frame_index,
            first_captured_ns=fruit.first.captured_ns,
            decided_ns=now_ns,
            position_mm=None if last.position_mm is None else round(last.position_mm, 3),
            across_mm=None if last.across_mm is None else round(last.across_mm, 3),
            lane=last.lane,
            box_px=last.detection.box.as_list(),
            bundle_id=self._manifest.bundle_id,
            policy=self._policy.origin,
        )


class _Stopwatch:
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.milliseconds[name] = (time.perf_counter() - start) * 1000
