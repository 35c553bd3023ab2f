from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.annotate import COLOURS, Mark, draw_frame
from edge_runtime.records import Box, Image, Verdict


def grey(height: int = 540, width: int = 960) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def has_colour(image: Image, colour: tuple[int, int, int]) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(axis=-1).any())


@pytest.mark.parametrize("verdict", [*Verdict, None])
def test_a_box_has_its_verdicts_colour_and_only_that(verdict: Verdict | None) -> None:
    drawn = draw_frame(grey(), [Mark(Box(300, 200, 120, 90), 7, verdict, "ripe", 0.93)])
    assert {each for each, colour in COLOURS.items() if has_colour(drawn, colour)} == {verdict}
    assert drawn[200, 350].tolist() == list(COLOURS[verdict])


def test_the_fruit_itself_is_not_painted_over_and_the_input_is_left_alone() -> None:
    image = grey()
    drawn = draw_frame(image, [Mark(Box(300, 200, 120, 90), 7, Verdict.ACCEPT, "ripe", 0.93)])
    assert np.array_equal(drawn[206:284, 306:414], image[206:284, 306:414])
    assert np.array_equal(image, grey())


def test_the_strip_shows_counts_in_their_colours() -> None:
    drawn = draw_frame(grey(), [], header="clip.mp4", counts={"ACCEPT": 3, "DIVERT": 1})
    strip = drawn[:30]
    assert has_colour(strip, COLOURS[Verdict.ACCEPT])
    assert has_colour(strip, COLOURS[Verdict.DIVERT])
    assert not has_colour(strip, COLOURS[Verdict.UNDECIDED])
    assert np.array_equal(drawn[40:], grey()[40:])


@pytest.mark.parametrize("size", [(120, 160), (540, 960), (1080, 1920)])
@pytest.mark.parametrize("place", [(-20, -10), (0, 0), (1, 1)])
def test_boxes_and_tags_at_every_edge_stay_in_the_picture(size: tuple[int, int], place: tuple[int, int]) -> None:
    height, width = size
    x = -20.0 if place[0] < 0 else place[0] * (width - 40.0)
    y = -10.0 if place[1] < 0 else place[1] * (height - 40.0)
    mark = Mark(Box(x, y, 60, 60), 123, Verdict.UNDECIDED, "a rather long label", 0.5)
    drawn = draw_frame(
        grey(*size), [mark], header="a header that is much too long for this picture " * 4, counts={"x": 1}
    )
    assert drawn.shape == (height, width, 3)
    assert has_colour(drawn, COLOURS[Verdict.UNDECIDED])
