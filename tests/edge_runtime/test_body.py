"""Where the body of a fruit lies, whatever stands out from it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.belt_motion import extent
from edge_runtime.body import lean_of
from edge_runtime.config import BeltSettings, LocalizeSettings, TrackSettings
from edge_runtime.localize import Localizer
from edge_runtime.records import BeltDirection, Box, Detection, Frame
from edge_runtime.separate import outlines_of
from edge_runtime.track import Tracker

RADIUS_PX = 20
STALK_PX = 16


def _shape(*, stalk: str | None) -> np.ndarray:
    """A round body in the middle of 120 x 120 pixels, with a stalk 3 px wide on one side."""
    mask = np.zeros((120, 120), np.uint8)
    cv2.circle(mask, (60, 60), RADIUS_PX, (255,), cv2.FILLED)
    ways = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    if stalk is not None:
        x, y = ways[stalk]
        end = 60 + x * (RADIUS_PX + STALK_PX), 60 + y * (RADIUS_PX + STALK_PX)
        cv2.line(mask, (60, 60), end, (255,), 3)
    return mask


def _lean(mask: np.ndarray) -> tuple[float, float]:
    outlines = outlines_of(mask)
    return lean_of(outlines, cv2.boundingRect(np.concatenate(outlines)))  # type: ignore[arg-type]


def test_a_round_thing_lies_in_the_middle_of_its_box() -> None:
    assert _lean(_shape(stalk=None)) == pytest.approx((0, 0), abs=0.3)


@pytest.mark.parametrize(("stalk", "way"), [("left", (1, 0)), ("right", (-1, 0)), ("up", (0, 1)), ("down", (0, -1))])
def test_a_stalk_moves_the_middle_by_half_of_what_it_moves_the_box(stalk: str, way: tuple[int, int]) -> None:
    # The stalk moves the box's middle by half its length; half of that is given back.
    x, y = way
    assert _lean(_shape(stalk=stalk)) == pytest.approx((x * STALK_PX / 4, y * STALK_PX / 4), abs=0.6)


def test_a_crumb_beside_it_is_not_its_body() -> None:
    mask = _shape(stalk=None)
    cv2.circle(mask, (100, 60), 3, (255,), cv2.FILLED)
    x, y = _lean(mask)
    assert x == pytest.approx(-(103 - 80) / 4, abs=0.6)
    assert y == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(
    ("direction", "lean"),
    [(BeltDirection.RIGHT, 3.0), (BeltDirection.LEFT, -3.0), (BeltDirection.DOWN, -2.0), (BeltDirection.UP, 2.0)],
)
def test_the_lean_is_told_along_the_belt(direction: BeltDirection, lean: float) -> None:
    seen = extent(Detection(Box(50, 60, 40, 30), 900, lean_px=(3.0, -2.0)), direction, (320, 240))
    assert seen.lean == lean


def test_a_fruit_with_a_stalk_is_where_its_body_is() -> None:
    """Seen by the localiser, followed by the tracker: half of what the stalk moves the box by is taken back."""
    belt = BeltSettings(direction=BeltDirection.RIGHT, mm_per_px=0.5)
    positions = {}
    for stalk in (0, 40):
        localizer, tracker, found = Localizer(LocalizeSettings(), belt), Tracker(TrackSettings(), belt), []
        for index in range(60):
            image = np.full((360, 640, 3), 60, np.uint8)
            x = 20 * (index - 15)
            cv2.circle(image, (x, 180), 40, (200, 40, 40), cv2.FILLED)
            if stalk:
                cv2.line(image, (x - 40 - stalk, 180), (x, 180), (60, 200, 60), 6)
            frame = Frame(image, index, index * 40_000_000, belt_mm=10.0 * index)
            found += tracker.update(frame, localizer.detect(image)).tracked
        assert len({view.fruit_id for view in found}) == 1
        positions[stalk] = found[-1].position_mm
    # 40 px of stalk move the box's middle 20 px back: 10 mm, of which half is known to be stalk.
    assert positions[40] - positions[0] == pytest.approx(5.0, abs=1.0)
