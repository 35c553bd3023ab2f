"""A simulated line behind the runtime's own ports: a camera and an encoder in virtual time, and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_runtime.records import BeltDirection, Frame
from simulator.renderer import Renderer
from simulator.scenario import Scenario, load_scenario
from simulator.world import World, build_world


class SimulatedEncoder:
    """Belt distance from the scenario itself, exact at every time."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def position_mm(self, captured_ns: int) -> float | None:
        """Distance that the belt has run at that time."""
        return self._scenario.belt_mm(captured_ns)


class SimulatedCamera:
    """Every frame of a world, as fast as it is read."""

    live = False

    def __init__(self, world: World, *, name: str, renderer: Renderer | None = None) -> None:
        self.name = name
        self.dropped = 0
        self.frame_rate_hz: float | None = world.scenario.camera.frame_rate_hz
        self._world = world
        self._renderer = renderer or Renderer(world)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, stamped with their exposure's time and belt distance."""
        scenario = self._world.scenario
        for index in range(scenario.frames):
            if self._closed:
                return
            captured_ns = scenario.captured_ns(index)
            yield Frame(self._renderer.render(index), index, captured_ns, scenario.belt_mm(captured_ns))

    def close(self) -> None:
        """Stop after the current frame."""
        self._closed = True


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """What `run --source sim:NAME` needs, and what its decisions are scored against."""

    camera: SimulatedCamera
    encoder: SimulatedEncoder
    direction: BeltDirection
    mm_per_px: float
    world: World
    renderer: Renderer

    def truth(self) -> list[dict[str, Any]]:
        """One object a fruit, as in `truth.jsonl`."""
        return truth_of(self.world, self.renderer)


def open_scenario(name: str, *, seed: int = 0, duration_s: float | None = None) -> SimulatedLine:
    """Set up a scenario that ships.

    Args:
        name: As in `scenario_names()`.
        seed: The same name, seed and duration give the same frames.
        duration_s: Instead of the scenario's own.

    Raises:
        InputError: No such scenario, or a duration in which no fruit crosses the picture.
    """
    scenario = load_scenario(name)
    if duration_s is not None:
        scenario = scenario.model_copy(update={"seconds": duration_s})
    return line_of(build_world(scenario, seed=seed), name=f"sim:{name}")


def line_of(world: World, *, name: str) -> SimulatedLine:
    """Put a world behind the ports."""
    renderer = Renderer(world)
    return SimulatedLine(
        camera=SimulatedCamera(world, name=name, renderer=renderer),
        encoder=SimulatedEncoder(world.scenario),
        direction=BeltDirection.RIGHT,
        mm_per_px=world.scenario.camera.mm_per_px,
        world=world,
        renderer=renderer,
    )


def truth_of(world: World, renderer: Renderer) -> list[dict[str, Any]]:
    """What is known of every fruit that is wholly visible in at least one frame."""
    rows = []
    for fruit in world.fruits:
        width_px, height_px = renderer.size_px(fruit)
        frames = world.frames_in_full(fruit, width_px)
        if frames is None:
            continue
        rows.append(
            {
                "fruit_id": fruit.fruit_id,
                "label": fruit.label,
                "ripeness": None if fruit.ripeness is None else round(fruit.ripeness, 4),
                "position_mm": round(fruit.position_mm, 3),
                "across_mm": round(fruit.across_mm, 3),
                "lane": fruit.lane,
                "diameter_mm": round(fruit.diameter_mm, 2),
                "size_px": [width_px, height_px],
                "first_frame": frames[0],
                "last_frame": frames[1],
            }
        )
    return rows
