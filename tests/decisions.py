"""Decisions as the line makes them, for tests of what becomes of them."""

from __future__ import annotations

from edge_runtime.records import Decision, Verdict


def decision(fruit_id: int, verdict: Verdict = Verdict.ACCEPT) -> Decision:
    return Decision(
        fruit_id=fruit_id,
        verdict=verdict,
        label="ripe",
        probabilities={"ripe": 0.9, "unripe": 0.1},
        views=5,
        first_frame=1,
        last_frame=6,
        first_captured_ns=1,
        decided_ns=2,
        position_mm=10.0,
        across_mm=5.0,
        lane=0,
        box_px=[1, 2, 3, 4],
        bundle_id="b",
        policy="p",
    )
