"""Where the body of a thing lies: stalk and sepals belong to its box, not to what an ejector must hit."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
from cv2.typing import MatLike

from edge_runtime.separate import Rectangle, depth_within

SLENDER = 0.25
"""Of the radius of the largest circle within: what such a circle does not fit into stands out from the body."""

BELIEVED = 0.5
"""Of the shift that opening the outline asks for. It takes a pointed tip as well, which is body: half way, neither
stalk nor tip is wrong by more than half of what it measures."""


def lean_of(outlines: Sequence[MatLike], box: Rectangle) -> tuple[float, float]:
    """How far the middle of the body lies from the middle of the box, (x, y) in pixels.

    The body is the outline opened by a circle (Serra 1982); its box is that of the eroded outline, grown again.

    Args:
        outlines: Of the parts of one thing, `[n, 1, 2]` each.
        box: Around all of them.
    """
    *_, width, height = box
    _, depth = depth_within(outlines, box)
    core = cv2.compare(depth, SLENDER * cv2.minMaxLoc(depth)[1], cv2.CMP_GT)  # type: ignore[call-overload]
    x, y, core_width, core_height = cv2.boundingRect(core)
    return (
        BELIEVED * (x - 1 + core_width / 2 - width / 2),
        BELIEVED * (y - 1 + core_height / 2 - height / 2),
    )
