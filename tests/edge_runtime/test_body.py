"""Where the body of a fruit lies, whatever stands out from it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.localization.body import margins_of
from edge_runtime.localization.localize import Localizer
from edge_runtime.localization.separate import outlines_of
from edge_runtime.records import BeltDirection, Box, Detection, Frame
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings, TrackSettings
from edge_runtime.tracking.belt_motion import extent
from edge_runtime.tracking.track import Tracker

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


def _margins(mask: np.ndarray) -> tuple[float, ...]:
    outlines = outlines_of(mask)
    return margins_of(outlines, cv2.boundingRect(np.concatenate(outlines)))  # type: ignore[arg-type]


@pytest.mark.parametrize("radius_px", [5, 9, RADIUS_PX, 47])
def test_a_round_thing_is_all_body(radius_px: int) -> None:
    mask = np.zeros((120, 120), np.uint8)
    cv2.circle(mask, (60, 60), radius_px, (255,), cv2.FILLED)
    assert _margins(mask) == pytest.approx((0, 0, 0, 0), abs=1)


@pytest.mark.parametrize(("stalk", "side"), [("left", 0), ("up", 1), ("right", 2), ("down", 3)])
def test_a_stalk_is_none_of_it(stalk: str, side: int) -> None:
    margins = _margins(_shape(stalk=stalk))
    assert margins == pytest.approx([STALK_PX if number == side else 0 for number in range(4)], abs=1)


def test_a_pointed_tip_is_but_for_its_end() -> None:
    mask = np.zeros((120, 120), np.uint8)
    cv2.fillPoly(mask, [np.array([[20, 40], [20, 80], [100, 60]])], (255,))
    left, top, right, bottom = _margins(mask)
    assert (left, top, bottom) == pytest.approx((0, 0, 0), abs=2)
    assert 0 < right < 16  # of 80 px


def test_what_hangs_on_by_a_neck_is_none_of_it() -> None:
    """As wide as it may be, such as what shows of a machine's edge beside a fruit."""
    mask = _shape(stalk="right")
    cv2.rectangle(mask, (96, 52), (115, 68), (255,), cv2.FILLED)
    assert _margins(mask) == pytest.approx((0, 0, 115 - 80, 0), abs=2.5)


def test_a_crumb_beside_it_is_not_its_body() -> None:
    mask = _shape(stalk=None)
    cv2.circle(mask, (100, 60), 3, (255,), cv2.FILLED)
    assert _margins(mask) == pytest.approx((0, 0, 103 - 80, 0), abs=1)


@pytest.mark.parametrize(
    ("direction", "margins"),
    [
        (BeltDirection.RIGHT, (1.0, 3.0)),
        (BeltDirection.LEFT, (3.0, 1.0)),
        (BeltDirection.DOWN, (2.0, 4.0)),
        (BeltDirection.UP, (4.0, 2.0)),
    ],
)
def test_margins_are_told_along_the_belt(direction: BeltDirection, margins: tuple[float, float]) -> None:
    seen = extent(Detection(Box(50, 60, 40, 30), 900, margins_px=(1.0, 2.0, 3.0, 4.0)), direction, (320, 240))
    assert seen.margins == margins


def test_a_fruit_with_a_stalk_is_where_its_body_is() -> None:
    """Seen by the localiser, followed by the tracker."""
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
    # 40 px of stalk move the box's middle 20 px back: 10 mm.
    assert positions[40] == pytest.approx(positions[0], abs=1.0)


def test_what_joins_it_in_some_views_does_not_move_it() -> None:
    """A thing beside the belt that sticks to its outline in every third picture, as wide as the fruit."""
    belt = BeltSettings(direction=BeltDirection.RIGHT, mm_per_px=0.5)
    positions = {}
    for joins in (False, True):
        tracker, found, image = Tracker(TrackSettings(), belt), [], np.zeros((360, 640, 3), np.uint8)
        for index in range(60):
            x = 10.0 * (index - 6)
            more = 50.0 if joins and index % 3 == 0 else 0.0
            seen = [Detection(Box(x, 100, 60 + more, 60), 3000, margins_px=(0, 0, more, 0))] if 0 < x < 510 else []
            frame = Frame(image, index, index * 40_000_000, belt_mm=5.0 * index)
            found += tracker.update(frame, seen).tracked
        positions[joins] = found[-1].position_mm
    assert positions[True] == pytest.approx(positions[False], abs=0.01)
