"""Regions that look as they did a frame before, only farther on: what was found out about them still holds.

To cut touching fruit apart, and to tell a body from its stalk, costs a frame more than to find all that lies on the
belt. Most of it goes on unchanged from frame to frame, so it is looked at closely now and then, and when it changes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from edge_runtime.localization.separate import Rectangle
from edge_runtime.records import Margins

SAME_PX, SAME_AREA = 1, 0.02
"""A region whose sides and area changed by no more than this is the same one."""

LOOKS, MOST_LOOKS = 6, 3
"""Frames from one close look to the next, so that what two looks found wrong does not last; twice as many where so many
things were looked at in the same frame, so that none takes far longer than most."""

ALIKE_PX = 2
"""Sides of things, and of their bodies, that two close looks may differ by to be believed: one may go wrong."""


STEPS = 2
"""A part's place is known to one part in so many of a pixel: it may have been looked at larger."""

Place = tuple[float, float, float, float]
"""x, y, width, height, in pixels of the picture that things are looked for in."""


class Part(NamedTuple):
    """One thing of a region; `margins` as in `edge_runtime.localization.body`."""

    box: Place
    area: float
    margins: Margins


class _Shape(NamedTuple):
    """A region in the frame before: where it lay, and what it measured and its things at the close look, `age` ago."""

    place: tuple[int, int]
    box: Rectangle
    area: float
    parts: list[Part]
    is_sure: bool
    age: int = 1


class KnownShapes:
    """What the regions of the frame before were found to be."""

    def __init__(self) -> None:
        self._before: dict[int, list[_Shape]] = {}
        self._now: defaultdict[int, list[_Shape]] = defaultdict(list)
        self._looks = 0

    def next_frame(self) -> None:
        """From now on regions are those of the next frame."""
        self._before, self._now = self._now, defaultdict(list)
        self._looks = 0

    def learn(self, box: Rectangle, area: float, parts: list[Part]) -> None:
        """Remember what a close look at a region found; it is believed once two looks in succession found the same."""
        shape = self._same(box, area)
        is_sure = shape is not None and _are_alike(parts, _moved(shape, box, area))
        self._now[box[2]].append(_Shape(box[:2], box, area, parts, is_sure))
        self._looks += len(parts)

    def recall(self, box: Rectangle, area: float) -> list[Part] | None:
        """The things of a region, moved to where it is now; None where a closer look is due.

        Args:
            box: Around the region.
            area: Of the region.
        """
        shape = self._same(box, area)
        if shape is None or not shape.is_sure:
            return None
        if shape.age >= (LOOKS if self._looks < MOST_LOOKS else 2 * LOOKS):
            return None
        self._now[shape.box[2]].append(shape._replace(place=box[:2], age=shape.age + 1))
        return _moved(shape, box, area)

    def _same(self, box: Rectangle, area: float) -> _Shape | None:
        x, y, width, height = box
        for near in range(width - SAME_PX, width + SAME_PX + 1):
            for shape in self._before.get(near, ()):
                (left, top), (*_, seen_height) = shape.place, shape.box
                is_same = abs(height - seen_height) <= SAME_PX and abs(area - shape.area) <= SAME_AREA * area
                if is_same and abs(x - left) < width and abs(y - top) < height:
                    return shape
        return None


def _moved(shape: _Shape, box: Rectangle, area: float) -> list[Part]:
    """The parts of a region, in the same proportion to it as at the close look."""
    x, y, width, height = box
    left, top, seen_width, seen_height = shape.box
    parts = []
    for part in shape.parts:
        part_x, part_y, part_width, part_height = part.box
        start_x = x + _step((part_x - left) * width / seen_width)
        end_x = x + _step((part_x + part_width - left) * width / seen_width)
        start_y = y + _step((part_y - top) * height / seen_height)
        end_y = y + _step((part_y + part_height - top) * height / seen_height)
        moved = (start_x, start_y, end_x - start_x, end_y - start_y)
        parts.append(Part(moved, part.area * area / shape.area, part.margins))
    return parts


def _step(length: float) -> float:
    return round(STEPS * length) / STEPS


def _are_alike(ones: list[Part], others: list[Part]) -> bool:
    return len(ones) == len(others) and all(
        abs(one - other) <= ALIKE_PX
        for a, b in zip(ones, others, strict=True)
        for one, other in zip((*a.box, *a.margins), (*b.box, *b.margins), strict=True)
    )
