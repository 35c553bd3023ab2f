"""One line, one step function: frame in, decisions out. No I/O, no thread, no clock but the stopwatch of its stages."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.manifest import Manifest
from edge_runtime.deciding.decide import Policy
from edge_runtime.deciding.fruit_evidence import FruitEvidence, Weighing
from edge_runtime.localization.localize import Localizer
from edge_runtime.ports import Engine
from edge_runtime.preprocess import to_model_inputs
from edge_runtime.records import BeltDirection, Decision, Frame, TrackedDetection, Verdict
from edge_runtime.settings.config import LineConfig
from edge_runtime.tracking.fruit_track import EARLIER_VIEWS, SUPPORT
from edge_runtime.tracking.track import Tracker
from edge_runtime.white_balance import WhiteBalance

STAGES = ("localize", "track", "preprocess", "infer", "decide", "frame")


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame led to.

    `milliseconds` are by stage, `frame` being all of them together; `ended` are fruit that will have no more views.
    """

    tracked: list[TrackedDetection]
    decisions: list[Decision]
    milliseconds: dict[str, float]
    ended: Sequence[int] = ()


class Pipeline:
    """Localise, follow, classify and decide, one frame at a time.

    A fruit is decided once: as soon as further views would not pay, but not before it has come as far as `decide_from`
    of the picture's length and so shown that it is there; at the latest at `decide_at`, or when it is gone. Views from
    before `decide_from` could not speed that up and are not classified; one is held for a fruit that comes no farther.

    Args:
        manifest: Of the bundle; its labels, input and identity.
        engine: A proven engine of that bundle.
        temperature: Of the artefact on this engine.
        policy: The bundle's own, or the line's.
        config: `line.toml`.
        energy_limit: Of the artefact on this engine; None where the bundle does not know it.
        stopwatch: What the stages are timed by, seconds.
    """

    def __init__(
        self,
        manifest: Manifest,
        engine: Engine,
        temperature: float,
        policy: Policy,
        config: LineConfig,
        energy_limit: float | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        costs = policy.table(manifest.labels)
        rules = config.decide
        self._manifest = manifest
        self._engine = engine
        self._policy = policy
        self._rules = rules
        self._weighing = Weighing(
            costs,
            temperature,
            rules.rho if rules.rho is not None else manifest.view_correlation,
            rules.view_cost * float(costs.max()),
            energy_limit,
        )
        self._stopwatch = stopwatch
        self._localizer = Localizer(config.localize, config.belt)
        self._light = WhiteBalance() if rules.white_balance else None
        self._tracker = Tracker(config.track, config.belt, config.camera.readout_ms)
        self._open: dict[int, FruitEvidence] = {}
        self._decided: set[int] = set()
        self._recent: deque[Frame] = deque(maxlen=EARLIER_VIEWS + 1)

    def step(self, frame: Frame) -> Step:
        """Take in one frame; decisions come in the order in which fruit reach their end."""
        watch = _Stopwatch(self._stopwatch)
        with watch.stage("frame"):
            with watch.stage("localize"):
                detections = self._localizer.detect(frame.image)
                if self._light is not None:
                    self._light.follow(self._localizer.scene)
            with watch.stage("track"):
                update = self._tracker.update(frame, detections)
            self._recent.append(frame)
            for some in (update.tracked, update.earlier):
                self._take_in([view for view in some if view.fruit_id not in self._decided], watch)
            with watch.stage("decide"):
                due = [view.fruit_id for view in update.tracked if self._is_due(view)]
                gone = [fruit for fruit in update.finished if fruit not in due and fruit not in update.lost]
            self._classify_held(gone, watch)
            with watch.stage("decide"):
                decisions = self._decide([*due, *gone], frame.captured_ns)
                for fruit in update.finished:
                    self._open.pop(fruit, None)
                self._decided.difference_update(update.finished)
        return Step(update.tracked, decisions, watch.milliseconds, update.finished)

    def finish(self, now_ns: int) -> list[Decision]:
        """Decide about what is still on the belt when the pictures end."""
        left = sorted(self._open.keys() - set(self._tracker.finish().lost))
        self._classify_held(left, _Stopwatch(self._stopwatch))
        return self._decide(left, now_ns)

    def _take_in(self, views: Sequence[TrackedDetection], watch: _Stopwatch) -> None:
        pictures = {one.index: one.image for one in self._recent}
        wanted, early = list[TrackedDetection](), list[TrackedDetection]()
        for view in views:
            fruit = self._open.setdefault(view.fruit_id, FruitEvidence(self._weighing, view))
            fruit.follow(view)
            if view.frame_index not in pictures:
                continue
            way = self._way(view)
            if way is not None and way < self._rules.decide_from:
                early += [view] if fruit.would_hold(view) else []
            elif fruit.wants(view):
                wanted.append(view)
        if not wanted and not early:
            return
        with watch.stage("preprocess"):
            crops = [(pictures[view.frame_index], view.detection.box) for view in (*wanted, *early)]
            inputs = to_model_inputs(crops, self._manifest.input)
            if self._light is not None:
                inputs = self._light.apply(inputs)
        for view, one in zip(early, inputs[len(wanted) :], strict=True):
            self._open[view.fruit_id].hold(view, one.copy())
        self._classify(wanted, inputs[: len(wanted)], watch)

    def _classify_held(self, fruit_ids: Sequence[int], watch: _Stopwatch) -> None:
        """Look at the one view that there is of each fruit that came no farther."""
        unseen = (self._open[fruit_id] for fruit_id in fruit_ids if fruit_id in self._open)
        held = [fruit.held for fruit in unseen if fruit.held is not None and not fruit.views]
        if held:
            self._classify([view for view, _ in held], np.stack([one for _, one in held]), watch)

    def _classify(self, views: Sequence[TrackedDetection], inputs: npt.NDArray[np.uint8], watch: _Stopwatch) -> None:
        if not views:
            return
        with watch.stage("infer"):
            logits = self._engine.logits(inputs)
        for view, row in zip(views, logits, strict=True):
            self._open[view.fruit_id].add(view, row)
        unsure = [at for at, view in enumerate(views) if self._open[view.fruit_id].asks_for_mirror_image(view)]
        if not unsure:
            return
        with watch.stage("infer"):
            logits = self._engine.logits(np.ascontiguousarray(inputs[unsure, :, ::-1]))
        for at, row in zip(unsure, logits, strict=True):
            self._open[views[at].fruit_id].add_mirror_image(views[at], row)

    def _way(self, view: TrackedDetection) -> float | None:
        """How far through the picture a fruit has come, 0 to 1; None before the belt's direction is known."""
        height, width = self._recent[-1].image.shape[:2]
        x, y = view.detection.box.centre_px
        return {
            BeltDirection.RIGHT: x / width,
            BeltDirection.LEFT: 1 - x / width,
            BeltDirection.DOWN: y / height,
            BeltDirection.UP: 1 - y / height,
            None: None,
        }[self._tracker.direction]

    def _is_due(self, view: TrackedDetection) -> bool:
        fruit, way = self._open.get(view.fruit_id), self._way(view)
        if fruit is None or not fruit.views or view.support < SUPPORT or way is None:
            return False
        return way >= (self._rules.decide_from if fruit.is_settled else self._rules.decide_at)

    def _decide(self, fruit_ids: Sequence[int], now_ns: int) -> list[Decision]:
        decisions = []
        for fruit_id in fruit_ids:
            fruit = self._open.pop(fruit_id, None)
            if fruit is None or not fruit.views:
                continue
            self._decided.add(fruit_id)
            decisions.append(self._decision(fruit_id, fruit, now_ns))
        return decisions

    def _decision(self, fruit_id: int, fruit: FruitEvidence, now_ns: int) -> Decision:
        shares = zip(self._manifest.labels, fruit.fused().tolist(), strict=True)
        probabilities = dict(shares)
        last = fruit.last
        return Decision(
            fruit_id=fruit_id,
            verdict=Verdict.UNDECIDED if fruit.is_unfamiliar else self._policy.verdict(probabilities),
            label=max(probabilities, key=lambda label: probabilities[label]),
            probabilities={label: round(share, 6) for label, share in probabilities.items()},
            views=fruit.views,
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
            unfamiliar=fruit.is_unfamiliar,
        )


class _Stopwatch:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + (self._now() - start) * 1000
