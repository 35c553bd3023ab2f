"""Positions of fruit whose rows are exposed one after the other: those of the frame's time, whichever way they run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.records import BeltDirection, Box, Detection, Frame
from edge_runtime.settings.vision_settings import BeltSettings, TrackSettings
from edge_runtime.tracking.belt_motion import is_horizontal
from edge_runtime.tracking.track import Tracker

WIDTH, HEIGHT = 640, 360
SCALE = 0.5
SIZE_PX = 60.0
PERIOD_S = 0.04


def _exposed(middle_px: float, across_px: float, speed_px_s: float, readout_s: float, way: BeltDirection) -> Detection:
    """A box whose middle is at `middle_px` from the upstream edge when the middle row is exposed.

    What is at `a` then is seen at `a + speed * (time of its row)`, the row of a belt that runs down or up being that at
    which it is seen: a linear equation, solved here.
    """
    rolled = speed_px_s * readout_s
    ends = middle_px - SIZE_PX / 2, middle_px + SIZE_PX / 2
    if is_horizontal(way):
        low, high = (end + rolled * (across_px / HEIGHT - 0.5) for end in ends)
        low, high = (low, high) if way == BeltDirection.RIGHT else (WIDTH - high, WIDTH - low)
        box = Box(low, across_px - SIZE_PX / 2, high - low, SIZE_PX)
    else:
        turn = 1 if way == BeltDirection.DOWN else -1
        low, high = ((end - turn * rolled / 2) / (1 - turn * rolled / HEIGHT) for end in ends)
        low, high = (low, high) if turn > 0 else (HEIGHT - high, HEIGHT - low)
        box = Box(across_px - SIZE_PX / 2, low, SIZE_PX, high - low)
    return Detection(box, 0.785 * box.width_px * box.height_px)


def _positions(
    way: BeltDirection, across_px: float, speeds_px_s: list[float], readout_ms: float, told_ms: float
) -> npt.NDArray[np.float64]:
    """How far from its true place a fruit is said to lie, millimetres, in each view that shows all of it."""
    tracker = Tracker(TrackSettings(), BeltSettings(direction=way, mm_per_px=SCALE), told_ms)
    along_px = WIDTH if is_horizontal(way) else HEIGHT
    image, way_px, found = np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0.0, []
    for index, speed in enumerate(speeds_px_s):
        way_px += speed * PERIOD_S if index else 0.0
        middle = way_px - 40.0
        whole = SIZE_PX < middle < along_px - SIZE_PX
        seen = [_exposed(middle, across_px, speed, readout_ms / 1000, way)] if whole else []
        frame = Frame(image, index, round(index * PERIOD_S * 1e9), way_px * SCALE)
        found += [view.position_mm for view in tracker.update(frame, seen).tracked]
    assert len(found) >= 5
    return np.array(found, np.float64) - (40.0 + along_px) * SCALE


@pytest.mark.parametrize("way", BeltDirection)
@settings(max_examples=40, deadline=None)
@given(
    across=st.floats(0.1, 0.9),
    speed_px_s=st.floats(150, 450),
    turns=st.floats(0, 0.3),
    readout_ms=st.floats(-30, 30),
)
@example(across=0.8, speed_px_s=300, turns=0.0, readout_ms=20)
def test_a_fruit_lies_where_the_middle_row_has_it(
    way: BeltDirection, across: float, speed_px_s: float, turns: float, readout_ms: float
) -> None:
    """Whatever the lane, through ramps too: the way from frame to frame tells the speed."""
    across_px = across * (HEIGHT if is_horizontal(way) else WIDTH)
    speeds = [speed_px_s * (1 + turns * np.sin(index / 5)) for index in range(120)]
    assert _positions(way, across_px, speeds, readout_ms, readout_ms) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("way", "across_px", "late_mm"),
    [
        # 300 px/s for 20 ms are 6 px, 3 mm, from the first row to the last: at three quarters of the height a quarter.
        (BeltDirection.RIGHT, 270.0, 0.75),
        (BeltDirection.LEFT, 270.0, 0.75),
        (BeltDirection.RIGHT, 90.0, -0.75),
        (BeltDirection.LEFT, 90.0, -0.75),
    ],
)
def test_untold_it_lies_where_its_row_has_it(way: BeltDirection, across_px: float, late_mm: float) -> None:
    # Seen later it is farther on, and so taken to leave the picture earlier.
    assert _positions(way, across_px, [300.0] * 90, 20.0, 0.0) == pytest.approx(-late_mm, abs=1e-6)


def test_untold_a_fruit_that_runs_down_or_up_moves_against_the_belt_as_it_crosses_the_picture() -> None:
    for way in (BeltDirection.DOWN, BeltDirection.UP):
        found = _positions(way, 300.0, [300.0] * 90, 20.0, 0.0)
        assert abs(found[0] - found[-1]) > 1.0
        assert (found[0] > found[-1]) == (way == BeltDirection.DOWN)


def test_without_a_scale_tracks_are_as_they_were() -> None:
    """Positions that nobody can know are not corrected, and the belt's motion is found as by any other camera."""
    tracker, ids = Tracker(TrackSettings(), BeltSettings(direction=BeltDirection.RIGHT), 20.0), set()
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index in range(60):
        middle = 12.0 * index - 40.0
        seen = [_exposed(middle, 270.0, 300.0, 0.02, BeltDirection.RIGHT)] if 60 < middle < 580 else []
        for view in tracker.update(Frame(image, index, round(index * PERIOD_S * 1e9)), seen).tracked:
            assert view.position_mm is None
            ids.add(view.fruit_id)
    assert ids == {1}
