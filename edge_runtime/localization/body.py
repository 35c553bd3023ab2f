"""Where the body of a thing lies: stalk and sepals belong to its box, not to what an ejector must hit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
from cv2.typing import MatLike

from edge_runtime.localization.separate import Rectangle, depth_within
from edge_runtime.records import Margins

SLENDER = 0.15
"""Of the radius of the largest circle within: what such a circle does not fit into stands out from the body."""

PART = 0.2
"""Of the largest piece that opening leaves: smaller ones hang on by a neck, larger ones are fruit seen in pieces."""

STEP = 0.955
"""What a pixel counts in OpenCV's distances by 3 x 3 pixels (Borgefors 1986)."""


def margins_of(outlines: Sequence[MatLike], box: Rectangle) -> Margins:
    """How far within its box the body of a thing ends, in pixels.

    The body is the outline opened by a circle (Serra 1982). What is small and hangs on by a neck, such as an edge of
    the machine that the fruit passes, is none of it.

    Args:
        outlines: Of the parts of one thing, `[n, 1, 2]` each.
        box: Around all of them.
    """
    *_, width, height = box
    _, depth = depth_within(outlines, box)
    rim = SLENDER * cv2.minMaxLoc(depth)[1]
    core = cv2.compare(depth, rim, cv2.CMP_GT)  # type: ignore[call-overload]
    # By lists: of one piece or two, arrays take three times as long.
    pieces = cv2.connectedComponentsWithStats(core, connectivity=4)[2].tolist()[1:]
    least = PART * max(area for *_, area in pieces)
    pieces = [piece for piece in pieces if piece[cv2.CC_STAT_AREA] >= least]
    left, top = (min(piece[side] for piece in pieces) - 1 for side in (0, 1))
    right = width + 1 - max(x + wide for x, _, wide, *_ in pieces)
    bottom = height + 1 - max(y + tall for _, y, _, tall, _ in pieces)
    eroded = math.floor(rim / STEP)
    left, top, right, bottom = (float(max(0, side - eroded)) for side in (left, top, right, bottom))
    return left, top, right, bottom
