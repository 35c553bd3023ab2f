"""The vision process: newest frame to decisions. It may be killed at any moment; what it decided is written by then."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from edge_runtime.acting.orders import Sight
from edge_runtime.bundles.bundle import Bundle, open_bundle, proof
from edge_runtime.bundles.golden import open_proven_engine
from edge_runtime.bundles.rolling_self_test import RollingSelfTest
from edge_runtime.decision_record import RunIdentity
from edge_runtime.errors import BundleError
from edge_runtime.journaling.spool import SpoolWriter
from edge_runtime.line import OnFrame, Tally
from edge_runtime.monitoring.scene_watch import SceneReporter
from edge_runtime.pipeline import Pipeline, Step
from edge_runtime.ports import Engine
from edge_runtime.processes import trouble
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import begin, log
from edge_runtime.processes.facts import CAMERA, VERDICTS, tell_run_id
from edge_runtime.processes.mail import Outbox
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.reporting import SPOOL
from edge_runtime.processes.ring import FrameRing, Numbered
from edge_runtime.records import Decision, Frame

_NAME = "vision"
_LOOK_S = 0.001
_USUAL_SHAPE = (720, 1280, 3)
_LATENCY_EVERY_S = 1.0


def run_vision(plan: LinePlan, memory: Memory) -> None:
    """Decide until the line or its source ends."""
    begin(_NAME)
    cv2.setNumThreads(1)  # pictures are small: threads that wait for one another take longer
    bundle = open_bundle(plan.bundle)
    if proof(plan.bundle) != plan.proof:
        raise BundleError(
            f"The bundle {plan.bundle} is another than the line was started with.",
            remedy="Bring a new bundle into a folder of its own, and start the line anew with it.",
        )
    engine = open_proven_engine(bundle, plan.artefact, plan.engine)
    identity = RunIdentity.new(plan.config.name)
    tell_run_id(plan, identity.run_id)
    with (
        closing(Board.open(memory.board)) as board,
        closing(FrameRing.open(memory.ring, memory.frame_bytes)) as ring,
        closing(SpoolWriter(plan.runtime / SPOOL, identity)) as record,
        plan.observers(memory.start) as on_frame,
    ):
        vision = Vision(plan, identity.run_id, bundle, engine, board, ring, record, on_frame)
        vision.rehearse()
        gc.collect()
        trouble.forget(plan.runtime, _NAME)
        gc.freeze()  # to look through all that a library brought takes as long as some pictures
        vision.run()


class Vision:
    """Feeds the pipeline from the ring, and writes down what it decides before anyone acts on it."""

    def __init__(
        self,
        plan: LinePlan,
        run_id: str,
        bundle: Bundle,
        engine: Engine,
        board: Board,
        ring: FrameRing,
        record: SpoolWriter,
        on_frame: OnFrame,
    ) -> None:
        pair = bundle.record(plan.artefact, plan.engine)
        self._labels = bundle.manifest.labels
        self._live, self._policy = plan.ports.live, plan.policy
        self._new_pipeline = partial(
            Pipeline, bundle.manifest, engine, pair.temperature, plan.policy, plan.config, pair.energy_limit
        )
        self._pipeline = self._new_pipeline()
        self._self_test = RollingSelfTest(bundle, plan.artefact, engine, plan.config.safety.self_test_s)
        board[Cell.VISION_MODEL_BAD] = 0
        self._board, self._ring, self._record, self._on_frame = board, ring, record, on_frame
        self._actuator, self._run_id = Outbox(plan.actuator_box), run_id
        self._tally, self._latency_due = Tally(self._labels), 0.0
        self._lost_before = board[Cell.VISION_LOST]
        self._scene = SceneReporter(plan.runtime, CAMERA, plan.journal.with_name("scene.json"))
        self._taken, self._now_ns = board[Cell.VISION_TAKEN], 0

    def rehearse(self) -> None:
        """Look at a picture of nothing and forget it, so that the first that counts finds code and memory warm."""
        newest = self._ring.newest(after=0)
        shape = _USUAL_SHAPE if newest is None else newest.frame.image.shape
        self._new_pipeline().step(Frame(np.full(shape, 128, np.uint8), 0, 0))

    def run(self) -> None:
        """Until the end."""
        while True:
            self._board[Cell.VISION_BEAT_NS] = time.monotonic_ns()
            numbered = self._next()
            if numbered is not None:
                self._step(numbered)
                self._test_model(busy=True)
            elif self._board[Cell.SUPERVISOR_STOP] >= Stop.SEEING or self._board[Cell.CAPTURE_ENDED]:
                if self._ring.newest_number <= self._taken:
                    break
            else:
                self._test_model(busy=False)
                time.sleep(_LOOK_S)
        decisions = self._stamped(self._pipeline.finish(self._now_ns))
        self._hand_over(decisions, ())
        self._show_latency()

    def _next(self) -> Numbered | None:
        """The newest frame; where none may be lost, the next."""
        if self._live:
            return self._ring.newest(after=self._taken)
        if self._ring.newest_number <= self._taken:
            return None
        frame = self._ring.read(self._taken + 1)
        return None if frame is None else Numbered(self._taken + 1, frame)

    def _step(self, numbered: Numbered) -> None:
        frame, board = numbered.frame, self._board
        step = self._pipeline.step(frame)
        self._now_ns = frame.captured_ns
        step = replace(step, decisions=self._stamped(step.decisions))
        seen = tuple((view.fruit_id, view.position_mm) for view in step.tracked if view.position_mm is not None)
        self._hand_over(step.decisions, seen)
        self._taken = numbered.number
        board[Cell.VISION_TAKEN] = numbered.number
        board.add(Cell.VISION_FRAMES)
        self._look_on(frame, step)
        self._tally.frame(step)
        if time.monotonic() >= self._latency_due:
            self._show_latency()

    def _stamped(self, decisions: Sequence[Decision]) -> list[Decision]:
        if not self._live:
            return list(decisions)
        return [replace(decision, decided_ns=time.monotonic_ns()) for decision in decisions]

    def _hand_over(self, decisions: Sequence[Decision], seen: Sequence[tuple[int, float]]) -> None:
        """Written first, then acted on, then counted."""
        for decision in decisions:
            self._record.append(decision)
        self._board[Cell.VISION_LOST] = self._lost_before + self._record.lost
        orders = tuple((one, self._policy.gain_by_throwing_out(one.probabilities)) for one in decisions)
        if orders or seen:
            # At most once: what the actuator does not take now is lost, and not sent again.
            self._actuator.send(Sight(self._run_id, orders, tuple(seen)))
        for decision in decisions:
            self._board.add(VERDICTS[decision.verdict])
            self._board.count_label(self._labels.index(decision.label))

    def _look_on(self, frame: Frame, step: Step) -> None:
        self._scene.look(frame.image, time.monotonic_ns())
        try:
            self._on_frame(frame, step)
        except OSError as error:
            log.warning("films and kept pictures end here: %s", error)
            self._on_frame = lambda _frame, _step: None

    def _test_model(self, *, busy: bool) -> None:
        outcome = self._self_test.step(time.monotonic(), busy=busy)
        if outcome is not None:
            self._board[Cell.VISION_MODEL_BAD] = not outcome.passed
            if not outcome.passed:
                log.error("the model does not answer as it did when it was exported: %s", outcome.reason)

    def _show_latency(self) -> None:
        self._latency_due = time.monotonic() + _LATENCY_EVERY_S
        if (latency := self._tally.latency_ms(("frame",)).get("frame")) is not None:
            for cell, name in zip(
                (Cell.VISION_P50_US, Cell.VISION_P99_US, Cell.VISION_MAX_US), ("p50", "p99", "max"), strict=True
            ):
                self._board[cell] = round(latency[name] * 1000)
