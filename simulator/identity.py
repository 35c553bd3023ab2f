"""Identity F1 of the tracker against the truth (Ristani et al., ECCV 2016), as py-motmetrics computes it."""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.evidence import Evidence, Row
from simulator.exposures import exposures_read
from simulator.matching import reach_mm


def identity(evidence: Evidence) -> Row | None:
    """How well fruit keep one number through the picture.

    In every good frame, fruit that are wholly visible stand against the tracker's views, by their place on the belt. A
    view on a fruit that an edge cuts counts neither way.

    Returns:
        `f1`, `precision`, `recall`, `switches` and `frames`; None without `tracks.csv` or `scene.json`, or where
        py-motmetrics is not installed.
    """
    if not evidence.tracks or evidence.scene is None:
        return None
    try:
        import motmetrics
    except ModuleNotFoundError:
        return None
    accumulator = motmetrics.MOTAccumulator()
    places = _Places(evidence)
    frames = 0
    for frame, views in _good_frames(evidence):
        accumulator.update(*places.compared(frame, views), frameid=frame)
        frames += 1
    names = {"f1": "idf1", "precision": "idp", "recall": "idr", "switches": "num_switches"}
    if frames == 0:
        return None
    found = motmetrics.metrics.create().compute(accumulator, metrics=list(names.values()), return_dataframe=False)
    figures = {name: round(float(found[theirs]), 6) for name, theirs in names.items()}
    return {**figures, "switches": int(figures["switches"]), "frames": frames}


def _good_frames(evidence: Evidence) -> list[tuple[int, list[Row]]]:
    """Number and views of each frame that arrived as it should, numbered as the run numbered them."""
    exposures = exposures_read(evidence)
    assert exposures is not None
    views: dict[int, list[Row]] = defaultdict(list)
    for view in evidence.tracks:
        views[view["frame"]].append(view)
    return [(int(number), views[int(number)]) for number in exposures.numbers[exposures.good]]


class _Places:
    """Where true fruit are: along the belt, and in which frames they are whole."""

    def __init__(self, evidence: Evidence) -> None:
        self._along = sorted(evidence.truth, key=lambda fruit: fruit["position_mm"])
        self._places_mm = [fruit["position_mm"] for fruit in self._along]
        self._reach_mm = {fruit["fruit_id"]: reach_mm(fruit, evidence.mm_per_px) for fruit in self._along}
        self._widest_mm = max(self._reach_mm.values(), default=0.0)
        self._whole: dict[int, list[int]] = defaultdict(list)
        for fruit in self._along:
            for frame in range(fruit["first_frame"], fruit["last_frame"] + 1):
                self._whole[frame].append(fruit["fruit_id"])

    def compared(self, frame: int, views: Sequence[Row]) -> tuple[list[int], list[int], Any]:
        """Numbers of whole fruit and of views in a frame; distances `[fruit, views]` in mm, NaN beyond reach."""
        whole = self._whole[frame]
        kept, columns = [], []
        for view in views:
            near = self._near(view)
            if not near or any(fruit_id in near for fruit_id in whole):
                kept.append(view["fruit_id"])
                columns.append([near.get(fruit_id, math.nan) for fruit_id in whole])
        return whole, kept, np.array(columns, np.float64).reshape(len(kept), len(whole)).T

    def _near(self, view: Row) -> dict[int, float]:
        """The fruit that a view may be about, with their distances in mm."""
        if view["position_mm"] is None:
            return {}
        first = bisect.bisect_left(self._places_mm, view["position_mm"] - self._widest_mm)
        end = bisect.bisect_right(self._places_mm, view["position_mm"] + self._widest_mm)
        near = {}
        for fruit in self._along[first:end]:
            across_mm = 0.0 if view["across_mm"] is None else view["across_mm"] - fruit["across_mm"]
            away_mm = math.hypot(view["position_mm"] - fruit["position_mm"], across_mm)
            if away_mm <= self._reach_mm[fruit["fruit_id"]]:
                near[fruit["fruit_id"]] = away_mm
        return near
