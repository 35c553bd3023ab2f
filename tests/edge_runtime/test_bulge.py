from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.localization.bulge import body_and_bulge
from edge_runtime.localization.separate import Mask, Thing, depth_within, outlines_of, separate

RADIUS = 24
USUAL = np.pi * RADIUS**2


def _drawn(*discs: tuple[float, float, float]) -> Mask:
    mask = np.zeros((160, 240), np.uint8)
    for x, y, radius in discs:
        cv2.circle(mask, (round(16 * x), round(16 * y)), round(16 * radius), (255,), cv2.FILLED, shift=4)
    return mask


def _things(mask: Mask, longest: float = 2.5 * RADIUS) -> list[Thing]:
    (outline,) = outlines_of(mask)
    return sorted(separate([outline], 40, USUAL, longest), key=lambda thing: thing.box)


def _half_grey_beside(radius: int, side: str) -> Mask:
    """A red disc, and the part of its neighbour that is not as grey as the belt: a corner, a strip or half of it."""
    mask = _drawn((90, 80, radius))
    grey = _drawn((90 + radius + 20, 80, 21))
    if side == "upper":
        grey[88:] = 0
    elif side == "near":
        grey[:, 90 + radius + 26 :] = 0
    else:
        cv2.circle(grey, (90 + radius + 36, 88), 19, (0,), cv2.FILLED)
    return cv2.morphologyEx(mask | grey, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))  # type: ignore[return-value]


@pytest.mark.parametrize("side", ["upper", "near", "crescent"])
@pytest.mark.parametrize("radius", [22, 28])
def test_what_shows_of_a_half_grey_fruit_is_parted_from_the_one_that_it_touches(radius: int, side: str) -> None:
    red, grey = _things(_half_grey_beside(radius, side))
    left, _, width, height = red.box
    assert left + width / 2 == pytest.approx(90, abs=3)
    assert (width, height) == pytest.approx((2 * radius, 2 * radius), abs=6)
    assert grey.box[0] == pytest.approx(90 + radius, abs=5)


def test_what_is_no_longer_than_one_is_one() -> None:
    assert len(_things(_half_grey_beside(22, "near"), longest=70)) == 1


def test_a_large_fruit_whose_grey_middle_leaves_a_crescent_is_one() -> None:
    mask = _drawn((100, 80, 32))
    mask[70:, 80:96] = 0
    mask[90:, :96] = 0
    assert len(_things(mask)) == 1


@given(
    size=st.floats(0.6, 1.2),
    length=st.floats(1.0, 1.4),
    point=st.floats(0.4, 1.0),
    angle=st.floats(0, 360),
    stalk=st.floats(0, 30),
    around=st.floats(0, 360),
)
def test_one_fruit_long_pointed_and_with_a_stalk_is_one(
    size: float, length: float, point: float, angle: float, stalk: float, around: float
) -> None:
    """Up to 1.44 times as large as usual, and 1.4 times as long as wide."""
    radius = size * RADIUS / length**0.5
    way = 2 * radius * length - radius - point * radius
    step = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    middle = np.array([120, 80])
    ends = [(middle - step * way / 2, radius), (middle + step * way / 2, point * radius)]
    rim = np.concatenate([cv2.ellipse2Poly((round(x), round(y)), (round(r),) * 2, 0, 0, 360, 5) for (x, y), r in ends])
    mask = np.zeros((160, 240), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(rim), (255,))
    if stalk:
        way_out = np.array([np.cos(np.radians(around)), np.sin(np.radians(around))]) * (radius * length + stalk)
        end = middle + way_out
        cv2.line(mask, (120, 80), (round(end[0]), round(end[1])), (255,), 3)
    assert len(_things(mask)) == 1


@given(radius=st.floats(12, 30), other=st.floats(0.5, 0.7), near=st.floats(0.85, 0.98), angle=st.floats(0, 360))
def test_both_share_out_the_region_and_each_keeps_its_middle(
    radius: float, other: float, near: float, angle: float
) -> None:
    small = other * radius
    reach = near * (radius + small)
    x, y = 120 + reach * np.cos(np.radians(angle)), 80 + reach * np.sin(np.radians(angle))
    region = _drawn((120, 80, radius), (x, y, small))
    box = (0, 0, region.shape[1], region.shape[0])
    mask, depth = depth_within(outlines_of(region), box)
    found = body_and_bulge(mask, depth, 40)
    body, bulge = found
    assert not (body & bulge).any()
    assert ((body | bulge) == mask).all()
    assert body[81, 121] == 255
    assert bulge[round(y) + 1, round(x) + 1] == 255


# Seen in a simulated line: what a grey fruit shows of itself is a ring, a part of it as thick as the red one beside it.
RING = [
    (82, 8), (75, 1), (58, 2), (52, 6), (48, 11), (42, 25), (33, 15), (24, 11), (12, 11), (2, 17),
    (1, 32), (2, 35), (7, 40), (14, 43), (25, 43), (32, 40), (41, 33), (44, 45), (48, 50), (57, 53),
    (67, 53), (67, 51), (60, 51), (54, 48), (52, 38), (50, 35), (50, 31), (51, 30), (55, 35), (57, 35),
    (59, 33), (59, 30), (57, 29), (60, 26), (65, 25), (66, 29), (64, 31), (65, 35), (69, 35), (71, 29),
    (76, 25), (78, 27), (78, 29), (80, 30), (80, 33), (82, 35), (84, 35), (84, 30), (82, 24), (83, 20),
]  # fmt: skip


def test_what_no_line_parts_is_left_whole() -> None:
    mask = np.zeros((55, 86), np.uint8)
    cv2.fillPoly(mask, [np.array(RING, np.int32)], (255,))
    (outline,) = outlines_of(mask)
    whole, depth = depth_within([outline], cv2.boundingRect(outline))  # type: ignore[arg-type]
    assert body_and_bulge(whole, depth, 404.5) == []
