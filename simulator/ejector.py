"""The simulated ejector: takes orders as the real one would, and keeps what it truly did for the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import World


@dataclass(frozen=True, slots=True)
class Action:
    """One stroke of a valve: ordered, and done a latency later.

    `acted_mm` is the encoder's distance at that moment if the encoder had neither ticks nor noise, and so in the
    coordinates of the truth's `position_mm`: the stroke hits what lies at `acted_mm - at_mm`.
    """

    fruit_id: int
    ejector: int
    ordered_ns: int
    acted_ns: int
    acted_mm: float


class SimulatedEjector:
    """One valve a lane, behind the runtime's port.

    Args:
        world: With the ejector's latency and the belt that it acts on.
        start_ns: The clock's time when the belt starts.
    """

    def __init__(self, world: World, *, start_ns: int = 0) -> None:
        self._world = world
        self._rng = np.random.default_rng([world.seed, 0xE7EC])
        self.start_ns = start_ns
        self.actions: list[Action] = []

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:
        """Order a stroke now."""
        settings = self._world.scenario.ejector
        latency_ms = max(0.0, float(self._rng.normal(settings.latency_ms, settings.spread_ms)))
        acted_ns = now_ns - self.start_ns + round(1e6 * latency_ms)
        acted_mm = self._world.wheel.at_mm(self._world.motion.position_mm(acted_ns))
        self.actions.append(Action(fruit_id, ejector, now_ns, acted_ns + self.start_ns, acted_mm))
