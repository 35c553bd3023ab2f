"""Regions that go on unchanged keep what a close look found out about them; what changes is looked at anew."""

import pytest

from edge_runtime.known_shapes import LOOKS, KnownShapes, Part
from edge_runtime.separate import Rectangle

REGION: Rectangle = (100, 50, 60, 30)
AREA = 1400.0
PAIR = [Part((100, 50, 32, 30), 800.0, (1.5, -0.5)), Part((130, 52, 30, 28), 600.0, (0.0, 0.0))]


def known(box: Rectangle = REGION) -> KnownShapes:
    shapes = KnownShapes()
    shapes.learn(box, AREA, PAIR)
    shapes.next_frame()
    return shapes


def test_the_things_of_a_region_move_on_with_it() -> None:
    parts = known().recall((123, 47, 60, 30), AREA)
    assert parts is not None
    assert [part.box for part in parts] == [(123, 47, 32, 30), (153, 49, 30, 28)]
    assert [part.lean for part in parts] == [part.lean for part in PAIR]
    assert [part.area for part in parts] == [800.0, 600.0]


def test_what_reaches_to_the_end_of_a_region_that_is_a_pixel_longer_reaches_to_its_end() -> None:
    parts = known().recall((123, 47, 61, 29), 1.01 * AREA)
    assert parts is not None
    (left, top, *_), (x, y, width, height) = parts[0].box, parts[1].box
    assert (left, top, x + width, y + height) == (123, 47, 184, 76)
    assert sum(part.area for part in parts) == pytest.approx(1.01 * AREA)


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ((123, 47, 62, 30), AREA),
        ((123, 47, 58, 30), AREA),
        ((123, 47, 60, 32), AREA),
        ((123, 47, 60, 30), 1.03 * AREA),
        ((123, 47, 60, 30), 0.97 * AREA),
        ((161, 50, 60, 30), AREA),
        ((100, 81, 60, 30), AREA),
    ],
)
def test_another_size_area_or_place_asks_for_a_closer_look(box: Rectangle, area: float) -> None:
    assert known().recall(box, area) is None


def test_now_and_then_even_what_does_not_change_is_looked_at_closely() -> None:
    shapes = known()
    for number in range(1, LOOKS):
        assert shapes.recall((100 + 5 * number, 50, 60, 30), AREA) is not None
        shapes.next_frame()
    assert shapes.recall((100 + 5 * LOOKS, 50, 60, 30), AREA) is None


def test_changes_from_frame_to_frame_do_not_add_up() -> None:
    shapes = known()
    assert shapes.recall((105, 50, 61, 30), AREA) is not None
    shapes.next_frame()
    assert shapes.recall((110, 50, 62, 30), AREA) is None


def test_a_region_that_was_not_there_in_the_frame_before_is_not_known() -> None:
    shapes = known()
    shapes.next_frame()
    assert shapes.recall(REGION, AREA) is None
