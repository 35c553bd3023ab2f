"""Regions that go on unchanged keep what a close look found out about them; what changes is looked at anew."""

import pytest

from edge_runtime.localization.known_shapes import LOOKS, MOST_LOOKS, KnownShapes, Part
from edge_runtime.localization.separate import Rectangle
from edge_runtime.records import NO_MARGINS

REGION: Rectangle = (100, 50, 60, 30)
AREA = 1400.0
PAIR = [Part((100, 50, 32, 30), 800.0, (0.0, 0.0, 3.0, 1.0)), Part((130, 52, 30, 28), 600.0, NO_MARGINS)]


def known(second: list[Part] = PAIR) -> KnownShapes:
    """After two looks at the same place."""
    shapes = KnownShapes()
    for parts in (PAIR, second):
        shapes.learn(REGION, AREA, parts)
        shapes.next_frame()
    return shapes


def test_the_things_of_a_region_move_on_with_it() -> None:
    parts = known().recall((123, 47, 60, 30), AREA)
    assert parts is not None
    assert [part.box for part in parts] == [(123, 47, 32, 30), (153, 49, 30, 28)]
    assert [part.margins for part in parts] == [part.margins for part in PAIR]
    assert [part.area for part in parts] == [800.0, 600.0]


def test_what_reaches_to_the_end_of_a_region_that_is_a_pixel_longer_reaches_to_its_end() -> None:
    parts = known().recall((123, 47, 61, 29), 1.01 * AREA)
    assert parts is not None
    (left, top, *_), (x, y, width, height) = parts[0].box, parts[1].box
    assert (left, top, x + width, y + height) == (123, 47, 184, 76)
    assert sum(part.area for part in parts) == pytest.approx(1.01 * AREA)


def test_places_known_to_half_a_pixel_are_kept_so() -> None:
    halves = [part._replace(box=(part.box[0] + 0.5, part.box[1], part.box[2] - 0.5, part.box[3])) for part in PAIR]
    shapes = KnownShapes()
    for _ in range(2):
        shapes.learn(REGION, AREA, halves)
        shapes.next_frame()
    parts = shapes.recall((123, 47, 60, 30), AREA)
    assert parts is not None
    assert [part.box for part in parts] == [(123.5, 47, 31.5, 30), (153.5, 49, 29.5, 28)]


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


def test_one_look_is_not_believed() -> None:
    shapes = KnownShapes()
    shapes.learn(REGION, AREA, PAIR)
    shapes.next_frame()
    assert shapes.recall(REGION, AREA) is None


@pytest.mark.parametrize(
    ("second", "believed"),
    [
        ([PAIR[0]._replace(box=(100, 50, 34, 30)), PAIR[1]], True),
        ([PAIR[0]._replace(box=(100, 50, 35, 30)), PAIR[1]], False),
        ([PAIR[0]._replace(margins=(0.0, 0.0, 3.0, 4.0)), PAIR[1]], False),
        (PAIR[:1], False),
        ([Part(REGION, AREA, NO_MARGINS)], False),
    ],
)
def test_looks_that_found_different_things_are_not_believed(second: list[Part], believed: bool) -> None:
    assert (known(second).recall(REGION, AREA) is not None) is believed


def test_a_look_is_compared_with_where_the_things_should_be_by_now() -> None:
    shapes = KnownShapes()
    for x in (0, 20):
        parts = [part._replace(box=(part.box[0] + x, *part.box[1:])) for part in PAIR]
        shapes.learn((100 + x, 50, 60, 30), AREA, parts)
        shapes.next_frame()
    assert shapes.recall((140, 50, 60, 30), AREA) is not None


def test_now_and_then_even_what_does_not_change_is_looked_at_closely() -> None:
    shapes = known()
    for number in range(1, LOOKS):
        assert shapes.recall((100 + 5 * number, 50, 60, 30), AREA) is not None
        shapes.next_frame()
    assert shapes.recall((100 + 5 * LOOKS, 50, 60, 30), AREA) is None


def test_in_a_frame_of_many_looks_what_is_known_waits_but_not_for_ever() -> None:
    shapes = known()
    for _ in range(1, 2 * LOOKS):
        for number in range(MOST_LOOKS):
            shapes.learn((400, 30 * number, 80, 20), 2 * AREA, PAIR[:1])
        assert shapes.recall(REGION, AREA) is not None
        shapes.next_frame()
    for number in range(MOST_LOOKS):
        shapes.learn((400, 30 * number, 80, 20), 2 * AREA, PAIR[:1])
    assert shapes.recall(REGION, AREA) is None


def test_a_few_looks_leave_time_for_one_that_is_due() -> None:
    shapes = known()
    for _ in range(1, LOOKS):
        assert shapes.recall(REGION, AREA) is not None
        shapes.next_frame()
    shapes.learn((100, 200, 80, 40), 2 * AREA, PAIR)
    assert shapes.recall(REGION, AREA) is None


def test_changes_from_frame_to_frame_do_not_add_up() -> None:
    shapes = known()
    assert shapes.recall((105, 50, 61, 30), AREA) is not None
    shapes.next_frame()
    assert shapes.recall((110, 50, 62, 30), AREA) is None


def test_a_region_that_was_not_there_in_the_frame_before_is_not_known() -> None:
    shapes = known()
    shapes.next_frame()
    assert shapes.recall(REGION, AREA) is None
