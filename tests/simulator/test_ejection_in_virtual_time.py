"""In virtual time an ejector acts as by a loop that reads the encoder every millisecond, with fewer readings."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_runtime.acting.ejection import Ejection, belt_at
from edge_runtime.deciding.decide import Policy
from edge_runtime.ejectors.virtual_time import POLL_NS, EjectionInVirtualTime
from edge_runtime.ports import Encoder
from edge_runtime.records import Decision, Verdict
from simulator.fruit import LABELS
from simulator.line import SimulatedLine, open_scenario
from tests.decisions import decision

POLICY = Policy.accepting(list(LABELS), ("ripe",))


class Counted:
    """An encoder that counts how often it is asked."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.readings = encoder, 0

    def position_mm(self, time_ns: int) -> float | None:
        self.readings += 1
        return self._encoder.position_mm(time_ns)


@pytest.mark.parametrize("scenario", ["ramps", "stop_and_go"])
def test_orders_are_given_at_the_same_millisecond(scenario: str, tmp_path: Path) -> None:
    line = open_scenario(scenario, seed=3, duration_s=14.0)
    decisions = _decisions(line)
    file = tmp_path / "firings.jsonl"
    encoder = Counted(line.encoder)
    with EjectionInVirtualTime(file, encoder, line.ejector, line.ejectors(), POLICY) as ejection:
        for one in decisions:
            ejection.advance(one.decided_ns)
            ejection.report(one)
    found = [json.loads(row) for row in file.read_text().splitlines()]
    expected, readings = _every_millisecond(line, decisions)
    assert found == expected
    assert sum(row["fired_ns"] is not None for row in found) > 6
    assert encoder.readings < readings / 2


def _decisions(line: SimulatedLine) -> list[Decision]:
    """One for every fruit while it leaves the picture, all to be thrown out."""
    made = []
    for fruit in line.truth():
        decided_ns = int(line.world.shutter.exposed_ns[fruit["last_frame"]])
        probabilities = {label: float(label == "spoiled") for label in LABELS}
        whole = decision(fruit["fruit_id"], Verdict.DIVERT)
        places = {name: fruit[name] for name in ("position_mm", "across_mm", "lane")}
        made.append(replace(whole, decided_ns=decided_ns, probabilities=probabilities, **places))
    return sorted(made, key=lambda one: one.decided_ns)


def _every_millisecond(line: SimulatedLine, decisions: list[Decision]) -> tuple[list[dict[str, object]], int]:
    encoder, ejection = Counted(line.encoder), Ejection(line.ejectors())
    firings, now_ns, waiting = [], 0, list(decisions)
    while waiting or ejection.is_waiting:
        while waiting and waiting[0].decided_ns < now_ns + POLL_NS:
            one = waiting.pop(0)
            gain = POLICY.gain_by_throwing_out(one.probabilities)
            firings += ejection.decided(one, gain, belt_at(encoder, now_ns, since_ns=0))
        now_ns += POLL_NS
        firings += ejection.due(belt_at(encoder, now_ns, since_ns=0), now_ns)
    return [asdict(one) for one in firings], encoder.readings
