"""Which detection is which track: the assignment of least cost within the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import lap
import numpy as np

from edge_runtime.tracking.belt_motion import Extent, distance_px, shift_px
from edge_runtime.tracking.fruit_track import FruitTrack

GATE_SLACK_PX = 2.0
_APART = 1e6


def assign(
    tracks: Sequence[FruitTrack],
    seen: Sequence[Extent],
    riding: Sequence[bool],
    way_px: float,
    gate: float,
    given: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Give each track at most one detection, and each detection to one track at most.

    The pairs of least total distance from the prediction, in gates, as Jonker and Volgenant (1987) find them; none
    beyond the gate, none that would move a fruit backwards. Fruit choose before things that may be one.

    Args:
        tracks: What is being followed.
        seen: This frame's detections.
        riding: Which of them may belong to a track.
        way_px: The belt's way.
        gate: Largest distance as a share of a track's diameter.
        given: Pairs that are known beforehand.

    Returns:
        Number of track to number of detection.
    """
    chosen = dict(given or {})
    for confirmed in (True, False):
        rows = [
            number
            for number, track in enumerate(tracks)
            if (track.fruit_id is not None) is confirmed and number not in chosen
        ]
        taken = set(chosen.values())
        columns = [number for number in range(len(seen)) if riding[number] and number not in taken]
        chosen |= _cheapest(tracks, seen, rows, columns, way_px, gate)
    return chosen


def _cheapest(
    tracks: Sequence[FruitTrack],
    seen: Sequence[Extent],
    rows: Sequence[int],
    columns: Sequence[int],
    way_px: float,
    gate: float,
) -> dict[int, int]:
    places = [(column, one.low, one.high, one.across, 0.5 * one.width) for column in columns for one in (seen[column],)]
    costs: dict[tuple[int, int], float] = {}
    for row in rows:
        track = tracks[row]
        here, gate_px = track.predicted(way_px), gate * track.diameter + GATE_SLACK_PX
        first, last = here.low - gate_px, here.high + gate_px
        middle, half = track.across, 0.5 * track.width
        # Aligned as by `FruitTrack.is_aligned`, which would be called for each pair.
        near = [
            column
            for column, low, high, across, side in places
            if low <= last and high >= first and abs(middle - across) <= max(half, side)
        ]
        for column in near:
            cost = _cost(track, here, seen[column], gate_px)
            if cost < _APART:
                costs[row, column] = cost
    wanting, wanted = sorted({row for row, _ in costs}), sorted({column for _, column in costs})
    if len(wanting) == len(wanted) == len(costs):
        # Nobody has a choice: the usual frame.
        return dict(costs.keys())
    table = np.array([[costs.get((row, column), _APART) for column in wanted] for row in wanting])
    _, partners, _ = lap.lapjv(table, extend_cost=True, cost_limit=2.0)
    return {wanting[at]: wanted[column] for at, column in enumerate(partners) if column >= 0}


def _cost(track: FruitTrack, here: Extent, seen: Extent, gate_px: float) -> float:
    """Distance in gates, at most 1, or `_APART`."""
    distance = distance_px(here, seen)
    moved = shift_px(track.last, seen)
    if distance > gate_px or (moved is not None and moved < -0.5 * gate_px):
        return _APART
    return distance / gate_px
