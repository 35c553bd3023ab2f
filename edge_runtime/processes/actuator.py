"""The actuator process: alone owns the outputs, and brings them to rest by itself when the line is blind.

It reads no file and waits for nobody: what it knows comes from the board, the encoder and its box.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

from edge_runtime.acting.ejection import Belt, belt_at
from edge_runtime.acting.orders import Order, Orders, Sight
from edge_runtime.acting.schedule import LATE, NO_POSITION, RUN_ENDED
from edge_runtime.errors import RipelineError
from edge_runtime.monitoring.safe_state import LineState, SafeState, Standing
from edge_runtime.monitoring.watch import Facts, Fault, Watch
from edge_runtime.ports import Clock, Encoder, Outputs
from edge_runtime.processes import trouble
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import begin, failed, log, raise_priority
from edge_runtime.processes.mail import Inbox
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.ring import FrameRing
from edge_runtime.processes.ring_belt import RingBelt
from edge_runtime.processes.rows import Rows
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.safety_settings import OnBlind

_NAME = "actuator"
POLL_NS = 1_000_000
IDLE_NS = 4_000_000
"""Between two looks around, and between two rounds while nothing waits to be thrown out."""

REST_NS = 250_000
"""At least, however long a round took."""

FINISH_S = 1.5
STATES = tuple(LineState)
FAULTS = tuple(Fault)


def run_actuator(plan: LinePlan, memory: Memory) -> None:
    """Act until the line ends; the outputs rest afterwards, whatever happens."""
    orphaned = threading.Event()
    begin(_NAME, orphaned.set)
    # First, since to lay out a simulated line takes long, and nothing that does may run at the priority below.
    encoder = plan.ports.open_encoder()
    priority = raise_priority()  # before the outputs have threads, which inherit it
    with ExitStack() as stack:
        board = stack.enter_context(closing(Board.open(memory.board)))
        rows = stack.enter_context(closing(Rows.open(memory.rows)))
        outputs = stack.enter_context(closing(_opened(plan, board)))
        inbox = stack.enter_context(closing(Inbox(plan.actuator_box)))
        ring = stack.enter_context(closing(FrameRing.open(memory.ring, memory.frame_bytes)))
        actuator = Actuator(
            plan.config,
            board,
            plan.ports.clock(),
            encoder or RingBelt(ring),
            outputs,
            rows.put,
            watch_encoder=encoder is not None,
        )
        trouble.forget(plan.runtime, _NAME)
        log.info("ready, %s", priority)
        gc.collect()
        gc.freeze()
        _loop(actuator, inbox, board, orphaned)


def _opened(plan: LinePlan, board: Board) -> Outputs:
    try:
        return plan.ports.open_outputs()
    except RipelineError as error:
        if board[Cell.ACTUATOR_SINCE_NS]:  # they have worked before
            raise
        failed(plan.runtime, error)


def _loop(actuator: Actuator, inbox: Inbox, board: Board, orphaned: threading.Event) -> None:
    next_ns, leave_ns = time.monotonic_ns(), None
    while not orphaned.is_set():
        for sight in inbox.read():
            actuator.take(sight)
        actuator.tick()
        now_ns = time.monotonic_ns()
        if board[Cell.SUPERVISOR_STOP] >= Stop.ACTING:
            leave_ns = leave_ns or now_ns + round(FINISH_S * 1e9)
            hurried = board[Cell.SUPERVISOR_STOP] >= Stop.REPORTING
            if not actuator.is_waiting or now_ns >= leave_ns or hurried:
                break
        # Absolute: a round that took long is not added to the next one's wait. But at this priority rounds without
        # any rest between them would leave nobody else the processor.
        next_ns = max(next_ns + (POLL_NS if actuator.is_waiting else IDLE_NS), now_ns + REST_NS)
        time.sleep((next_ns - now_ns) / 1e9)
    actuator.rest()


class Actuator:
    """One round at a time.

    Args:
        config: `line.toml`; ejectors and safety.
        board: Written in its own cells.
        clock: The machine's.
        encoder: The belt's; without any word from it nothing can be thrown out.
        outputs: At rest now.
        report: Takes what became of each order, and each state; whether it did. Must not block.
        watch_encoder: Whether an encoder without a word, or an implausible one, is a fault.
    """

    def __init__(
        self,
        config: LineConfig,
        board: Board,
        clock: Clock,
        encoder: Encoder,
        outputs: Outputs,
        report: Callable[[dict[str, Any]], bool],
        *,
        watch_encoder: bool,
    ) -> None:
        self._safety, self._board, self._clock = config.safety, board, clock
        self._at_mm = [ejector.at_mm for ejector in config.ejector]
        self._encoder, self._outputs, self._report = encoder, outputs, report
        self._watch_encoder, self._connections = watch_encoder, board[Cell.CAPTURE_CONNECTIONS]
        self._orders = Orders(config.ejector, [board.fired_mm(number) for number in range(len(config.ejector))])
        self._watch, self._safe_state = (
            Watch(config.safety),
            SafeState(config.safety, restarted=board[Cell.ACTUATOR_SINCE_NS] != 0),
        )
        self._state: LineState | None = None
        self._beat_ns, self._beat = 0, False
        self._judge_ns = 0
        self._way_mm: float | None = None
        self._encoder_errs = False
        self._releases = board[Cell.SUPERVISOR_RELEASES]
        self._begun_ns = clock.monotonic_ns()

    @property
    def is_waiting(self) -> bool:
        """Whether some fruit is still to be thrown out."""
        return self._orders.is_waiting

    def take(self, sight: Sight) -> None:
        """What vision saw."""
        self._record(self._orders.take(sight, self._belt(self._clock.monotonic_ns())))

    def tick(self) -> None:
        """Look around, judge, act."""
        now_ns = self._clock.monotonic_ns()
        belt = self._belt(now_ns)
        if self._has_lost_its_place(belt):
            self._forget_places()
        # At the end capture and vision leave first; that they are silent is no fault, and the belt is finished.
        ending = self._board[Cell.SUPERVISOR_STOP] != Stop.RUNNING or self._board[Cell.CAPTURE_ENDED]
        if not ending and now_ns >= self._judge_ns:
            self._judge_ns = now_ns + IDLE_NS
            self._judge(now_ns, belt)
        self._record(self._orders.due(belt, now_ns, sorting=self._state is LineState.RUNNING))
        if now_ns >= self._beat_ns:
            self._beat, self._beat_ns = not self._beat, now_ns + round(self._safety.heartbeat_ms * 1e6)
            self._outputs.beat(self._beat)
        self._board[Cell.ACTUATOR_WAITING] = self.is_waiting
        self._board[Cell.ACTUATOR_BEAT_NS] = time.monotonic_ns()

    def rest(self) -> None:
        """The end: what still waits is given up, the outputs go where they go when the line is blind."""
        self._record(self._orders.abandon(RUN_ENDED))
        self._apply(LineState.SAFE)

    def _forget_places(self) -> None:
        self._record(self._orders.abandon(NO_POSITION))
        self._orders.forget_places()
        self._board.forget_fired()

    def _has_lost_its_place(self, belt: Belt) -> bool:
        """Whether places on the belt do not mean any more what they did: it is counted anew, or was not for a while."""
        connections, before_mm = self._board[Cell.CAPTURE_CONNECTIONS], self._way_mm
        if belt.way_mm is not None:
            self._way_mm = belt.way_mm
        # Where pictures measure the belt, nobody knows how far it ran without them.
        unseen = not self._watch_encoder and connections != self._connections
        self._connections = connections
        slipped = belt.way_mm is not None and before_mm is not None and belt.way_mm < before_mm - self._safety.slack_mm
        return unseen or slipped

    def _belt(self, now_ns: int) -> Belt:
        return belt_at(self._encoder, now_ns, since_ns=self._begun_ns)

    def _judge(self, now_ns: int, belt: Belt) -> None:
        board = self._board
        facts = Facts(
            now_ns=now_ns,
            wall_ns=self._clock.wall_ns(),
            period_ns=board[Cell.CAPTURE_PERIOD_NS] or 1,
            frame_ns=board[Cell.CAPTURE_FRAME_NS],
            changed_ns=board[Cell.CAPTURE_CHANGED_NS],
            lit_ns=board[Cell.CAPTURE_LIT_NS],
            moving_ns=board[Cell.CAPTURE_MOVING_NS],
            vision_ns=board[Cell.VISION_BEAT_NS],
            belt_mm=belt.way_mm,
            has_encoder=self._watch_encoder,
            needs_belt=bool(self._at_mm),
            model_bad=bool(board[Cell.VISION_MODEL_BAD]),
            missed=board[Cell.ACTUATOR_MISSED],
        )
        releases = board[Cell.SUPERVISOR_RELEASES]
        faults = self._watch.faults(facts)
        # One that gives no word goes on counting.
        errs = Fault.ENCODER in faults and belt.way_mm is not None
        if errs and not self._encoder_errs:
            # How far the belt has run by now, nobody knows: what waits would be fired at a neighbour.
            self._forget_places()
        self._encoder_errs = errs
        standing = self._safe_state.update(now_ns, faults, released=releases != self._releases)
        self._releases = releases
        changed = self._state is not standing.state
        self._apply(standing.state)  # before anybody is told
        self._show(standing, changed=changed)

    def _show(self, standing: Standing, *, changed: bool) -> None:
        board = self._board
        bits = sum(1 << FAULTS.index(fault) for fault in standing.faults)
        if changed:
            why = ", ".join(sorted(standing.faults)) or "all is well"
            log.warning("%s (%s)", standing.state, why)
            self._tell({"state": standing.state, "faults": sorted(standing.faults), "since_ns": standing.since_ns})
        board[Cell.ACTUATOR_STATE] = STATES.index(standing.state)
        board[Cell.ACTUATOR_SINCE_NS] = standing.since_ns
        board[Cell.ACTUATOR_FAULTS] = bits

    def _apply(self, state: LineState) -> None:
        if state is self._state:
            return
        self._state = state
        blind = state is not LineState.RUNNING
        # The belt first: it takes longest.
        self._outputs.permit(not (blind and self._safety.on_blind is OnBlind.STOP_LINE))
        self._outputs.hold(blind and self._safety.on_blind is OnBlind.DIVERT_ALL)

    def _record(self, orders: list[Order]) -> None:
        for order in orders:
            firing = order.firing
            if firing.fired_ns is not None and firing.planned_mm is not None:
                # Noted before it is done: a kill in between loses an ejection and never doubles one.
                self._board.note_fired(firing.ejector, firing.planned_mm - self._at_mm[firing.ejector])
                self._outputs.fire(firing.ejector, firing.fruit_id, firing.fired_ns)
                self._board.add(Cell.ACTUATOR_FIRED)
            elif firing.reason == LATE:
                self._board.add(Cell.ACTUATOR_MISSED)
            self._tell({"run_id": order.run_id, **asdict(firing)})

    def _tell(self, row: dict[str, Any]) -> None:
        if not self._report(row):
            self._board.add(Cell.ACTUATOR_UNTOLD)
