"""Regions that look as they did a frame before, only farther on: what was found out about them still holds.

To cut touching fruit apart, and to tell a body from its stalk, costs a frame more than to find all that lies on the
belt. Most of it goes on unchanged from frame to frame, so it is looked at closely now and then, and when it changes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from edge_runtime.separate import Rectangle

SAME_PX, SAME_AREA = 1, 0.02
"""A region whose sides and area changed by no more than this is the same one."""

LOOKS = 6
"""Frames from one close look to the next, so that what went wrong in one look does not last."""


class Part(NamedTuple):
    """One thing of a region; `lean` as in `edge_runtime.body`."""

    box: Rectangle
    area: float
    lean: tuple[float, float]


class _Shape(NamedTuple):
    """A region in the frame before: what it measured, and its things where they lay, at the close look."""

    place: tuple[int, int]
    box: Rectangle
    area: float
    parts: list[Part]
    age: int


class KnownShapes:
    """What the regions of the frame before were found to be."""

    def __init__(self) -> None:
        self._before: dict[int, list[_Shape]] = {}
        self._now: defaultdict[int, list[_Shape]] = defaultdict(list)

    def next_frame(self) -> None:
        """From now on regions are those of the next frame."""
        self._before, self._now = self._now, defaultdict(list)

    def learn(self, box: Rectangle, area: float, parts: list[Part]) -> None:
        """Remember what a close look at a region found."""
        self._now[box[2]].append(_Shape(box[:2], box, area, parts, 1))

    def recall(self, box: Rectangle, area: float) -> list[Part] | None:
        """The things of a region, moved to where it is now; None where a closer look is due.

        Args:
            box: Around the region.
            area: Of the region.
        """
        x, y, width, height = box
        for near in range(width - SAME_PX, width + SAME_PX + 1):
            for shape in self._before.get(near, ()):
                (left, top), (*_, seen_height) = shape.place, shape.box
                is_same = abs(height - seen_height) <= SAME_PX and abs(area - shape.area) <= SAME_AREA * area
                if is_same and abs(x - left) < width and abs(y - top) < height and shape.age < LOOKS:
                    self._now[near].append(shape._replace(place=(x, y), age=shape.age + 1))
                    return [_moved(part, shape, box, area) for part in shape.parts]
        return None


def _moved(part: Part, shape: _Shape, box: Rectangle, area: float) -> Part:
    """A part of a region, in the same proportion to it as at the close look."""
    x, y, width, height = box
    left, top, seen_width, seen_height = shape.box
    part_x, part_y, part_width, part_height = part.box
    start_x = x + round((part_x - left) * width / seen_width)
    end_x = x + round((part_x + part_width - left) * width / seen_width)
    start_y = y + round((part_y - top) * height / seen_height)
    end_y = y + round((part_y + part_height - top) * height / seen_height)
    return Part((start_x, start_y, end_x - start_x, end_y - start_y), part.area * area / shape.area, part.lean)
