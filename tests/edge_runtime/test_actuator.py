"""The actuator, round by round, with a clock and outputs of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from edge_runtime.acting.orders import SAFE_STATE, Sight
from edge_runtime.acting.schedule import NO_POSITION, RUN_ENDED
from edge_runtime.processes.actuator import Actuator
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.records import Verdict
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.decision_settings import EjectorSettings
from edge_runtime.settings.output_settings import ModbusSettings, OutputSettings
from edge_runtime.settings.safety_settings import OnBlind, SafetySettings
from tests.decisions import decision

MS = 1_000_000
SPEED_MM_S = 250.0


@dataclass
class World:
    """Clock, encoder and outputs at once."""

    now_ns: int = 10**9
    zero_mm: float = 0.0
    stands_mm: float | None = None
    done: list[tuple[str, Any]] = field(default_factory=list)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns + 10**18

    def position_mm(self, captured_ns: int) -> float:
        return captured_ns / 1e9 * SPEED_MM_S - self.zero_mm if self.stands_mm is None else self.stands_mm

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:  # noqa: ARG002
        self.done.append(("fire", fruit_id))

    def hold(self, on: bool) -> None:
        self.done.append(("hold", on))

    def permit(self, on: bool) -> None:
        self.done.append(("permit", on))

    def beat(self, on: bool) -> None:
        self.done.append(("beat", on))

    def close(self) -> None: ...

    def last(self, output: str) -> Any:
        return [on for name, on in self.done if name == output][-1]


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.new("test")
    made[Cell.CAPTURE_PERIOD_NS] = 33 * MS
    yield made
    made.close(remove=True)


@pytest.fixture
def make(board: Board) -> Callable[..., tuple[World, Actuator, list[dict[str, Any]]]]:
    def make(on_blind: OnBlind = OnBlind.STOP_LINE, *, watch: bool = True) -> Any:
        permit = OutputSettings(modbus=ModbusSettings(host="here", coil=1))
        safety = SafetySettings(on_blind=on_blind, good_s=0.2, heartbeat_ms=50, run_permit=permit)
        config = LineConfig.model_construct(safety=safety, ejector=(EjectorSettings(at_mm=100.0),))
        world, reported = World(), list[dict[str, Any]]()

        def take(row: dict[str, Any]) -> bool:
            reported.append(row)
            return True

        return world, Actuator(config, board, world, world, world, take, watch_encoder=watch), reported

    return make


def run(world: World, actuator: Actuator, board: Board, milliseconds: int, *, frames: bool = True) -> None:
    for _ in range(milliseconds):
        world.now_ns += MS
        if frames:
            for cell in (Cell.CAPTURE_FRAME_NS, Cell.CAPTURE_CHANGED_NS, Cell.CAPTURE_LIT_NS, Cell.VISION_BEAT_NS):
                board[cell] = world.now_ns
        actuator.tick()


def sight(fruit_id: int, position_mm: float) -> Sight:
    found = decision(fruit_id, Verdict.DIVERT)
    shares = {"unripe": 1.0}
    found = replace(found, label="unripe", probabilities=shares, position_mm=position_mm, across_mm=50.0)
    return Sight("run", decided=((found, 1.0),))


def test_it_starts_at_rest_sorts_when_all_is_well_and_stops_the_belt_when_blind(make: Any, board: Board) -> None:
    world, actuator, _ = make()
    run(world, actuator, board, 150)
    assert world.last("permit") is False
    run(world, actuator, board, 110)
    assert world.last("permit") is True
    before_ns = world.now_ns
    while world.last("permit"):
        run(world, actuator, board, 1, frames=False)
    assert 99 * MS <= world.now_ns - before_ns <= 104 * MS, "three frame periods, and a look"


@pytest.mark.parametrize(
    ("on_blind", "permit", "hold"),
    [(OnBlind.STOP_LINE, False, False), (OnBlind.DIVERT_ALL, True, True), (OnBlind.PASS_ALL, True, False)],
)
def test_the_outputs_rest_as_the_plant_chose(
    make: Any, board: Board, on_blind: OnBlind, permit: bool, hold: bool
) -> None:
    world, actuator, _ = make(on_blind)
    run(world, actuator, board, 300)
    assert (world.last("permit"), world.last("hold")) == (True, False)
    run(world, actuator, board, 300, frames=False)
    assert (world.last("permit"), world.last("hold")) == (permit, hold)


def test_the_heartbeat_is_toggled_in_the_safe_state_too(make: Any, board: Board) -> None:
    world, actuator, _ = make()
    run(world, actuator, board, 1000, frames=False)
    beats = [on for name, on in world.done if name == "beat"]
    assert len(beats) == 20
    assert all(one != other for one, other in pairwise(beats))


def test_an_order_is_carried_out_in_its_place_once_and_not_in_the_safe_state(make: Any, board: Board) -> None:
    world, actuator, reported = make()
    run(world, actuator, board, 300)
    here_mm = world.position_mm(world.now_ns)
    actuator.take(sight(1, here_mm + 20.0))  # due in 120 mm, 480 ms
    actuator.take(sight(2, here_mm + 200.0))
    run(world, actuator, board, 479)
    assert ("fire", 1) not in world.done
    run(world, actuator, board, 3)
    assert world.done.count(("fire", 1)) == 1
    assert board.fired_mm(0) == pytest.approx(here_mm + 20.0, abs=0.01)
    run(world, actuator, board, 1500, frames=False)
    assert ("fire", 2) not in world.done
    assert [row["reason"] for row in reported if row.get("fruit_id") == 2] == [SAFE_STATE]


def test_where_pictures_measure_the_belt_orders_end_with_the_connection(make: Any, board: Board) -> None:
    world, actuator, reported = make(watch=False)
    run(world, actuator, board, 300)
    actuator.take(sight(1, world.position_mm(world.now_ns) + 20.0))
    board.add(Cell.CAPTURE_CONNECTIONS)
    run(world, actuator, board, 1000)
    assert ("fire", 1) not in world.done
    assert [row["reason"] for row in reported if row.get("fruit_id") == 1] == [NO_POSITION]


def test_an_encoder_that_counts_anew_ends_the_orders_of_the_old_count(make: Any, board: Board) -> None:
    world, actuator, reported = make()
    run(world, actuator, board, 300)
    here_mm = world.position_mm(world.now_ns)
    actuator.take(sight(1, here_mm + 20.0))
    run(world, actuator, board, 700)
    actuator.take(sight(2, here_mm + 300.0))
    world.zero_mm = world.position_mm(world.now_ns)  # it lost its power for a moment
    run(world, actuator, board, 10)
    assert [row["reason"] for row in reported if row.get("fruit_id") == 2] == [NO_POSITION]
    assert board.fired_mm(0) is None
    actuator.take(replace(sight(1, here_mm + 20.0 - world.zero_mm + 400.0), run_id="next"))
    run(world, actuator, board, 3000)
    assert world.done.count(("fire", 1)) == 2, "places of the old count refuse nothing"
    assert ("fire", 2) not in world.done


def test_an_encoder_that_stood_for_a_while_ends_the_orders_of_before(make: Any, board: Board) -> None:
    world, actuator, reported = make()
    board[Cell.CAPTURE_MOVING_NS] = world.now_ns
    run(world, actuator, board, 300)
    here_mm = world.position_mm(world.now_ns)
    actuator.take(sight(1, here_mm + 100.0))
    world.stands_mm = here_mm
    run(world, actuator, board, 200)
    world.stands_mm, world.zero_mm = None, 50.0  # what it did not count is missing from now on
    run(world, actuator, board, 1500)
    assert world.last("permit") is True
    assert ("fire", 1) not in world.done, "it would have come 50 mm too late, at another fruit"
    assert [row["reason"] for row in reported if row.get("fruit_id") == 1] == [NO_POSITION]


def test_at_the_end_the_belt_is_finished_and_what_is_left_is_given_up(make: Any, board: Board) -> None:
    world, actuator, reported = make()
    run(world, actuator, board, 300)
    here_mm = world.position_mm(world.now_ns)
    actuator.take(sight(1, here_mm + 20.0))
    actuator.take(sight(2, here_mm + 900.0))
    board[Cell.SUPERVISOR_STOP] = Stop.SEEING
    run(world, actuator, board, 1000, frames=False)  # eyes have left, which is no fault now
    assert ("fire", 1) in world.done
    actuator.rest()
    assert world.last("permit") is False
    assert [row["reason"] for row in reported if row.get("fruit_id") == 2] == [RUN_ENDED]
