"""Where fruit lie on an empty belt: lane by lane, alone or touching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.scenario import FruitSection
from simulator.sprite import Outline

_TRIPLES = 0.3
_PRESSED_MM = 0.3


@dataclass(frozen=True, slots=True)
class Group:
    """Fruit that lie together: the place of the first, downstream one, its lane, and how many there are."""

    position_mm: float
    lane: int
    size: int


def lay_groups(
    section: FruitSection, *, first_mm: float, last_mm: float, count: int, reach_mm: float, rng: np.random.Generator
) -> list[Group]:
    """Groups of about `count` fruit in all, lane after lane, between two places along the belt.

    Args:
        section: Lanes, spacing and the share that touches.
        first_mm: Place of the first fruit.
        last_mm: Beyond it lies none.
        count: Of fruit; fewer where they would lie closer than the least spacing.
        reach_mm: The longest that a fruit can be, kept free for each further fruit of a group.
        rng: Draws sizes and places.
    """
    groups: list[Group] = []
    room_mm = last_mm - first_mm
    for lane in range(section.lanes):
        wanted = (count + section.lanes - 1 - lane) // section.lanes
        sizes = _sizes(wanted, section.touching_share, rng)
        while sizes and _least_mm(sizes, section.min_spacing_mm, reach_mm) > room_mm:
            sizes.pop()
        slack_mm = room_mm - _least_mm(sizes, section.min_spacing_mm, reach_mm)
        if section.spacing == "regular":
            loose = np.linspace(0, slack_mm, len(sizes)) if len(sizes) > 1 else np.array([slack_mm / 2] * len(sizes))
        else:
            # Uniform order statistics: a Poisson process, given its count, in the room that the spacings leave.
            loose = np.sort(rng.uniform(0, slack_mm, len(sizes)))
        taken_mm = 0.0
        for offset_mm, size in zip(loose, sizes, strict=True):
            groups.append(Group(first_mm + float(offset_mm) + taken_mm, lane, size))
            taken_mm += section.min_spacing_mm + (size - 1) * reach_mm
    return groups


def touching_mm(below: Outline, above: Outline, across_mm: float, *, px_per_mm: float) -> float:
    """How far upstream a fruit lies that touches another.

    Args:
        below: The fruit downstream, to the right in the picture.
        above: The other one.
        across_mm: The other one's place across the belt less the first one's.
        px_per_mm: Scale of the outlines.

    Returns:
        Distance of the places along the belt at which the outlines meet.
    """
    down = round(across_mm * px_per_mm + below.anchor_px[1] - above.anchor_px[1])
    top, bottom = max(down, 0), min(down + above.mask.shape[0], below.mask.shape[0])
    if top >= bottom:
        return 1.0
    mine, other = above.mask[top - down : bottom - down], below.mask[top:bottom]
    both = mine.any(axis=1) & other.any(axis=1)
    if not both.any():
        return 1.0
    # Row by row from the one's upstream edge to the other's downstream edge: the row that leaves least room decides.
    ends_px = mine.shape[1] - mine[:, ::-1].argmax(axis=1) - above.anchor_px[0]
    begins_px = other.argmax(axis=1) - below.anchor_px[0]
    return max(float((ends_px - begins_px)[both].max()) / px_per_mm - _PRESSED_MM, 1.0)


def _sizes(count: int, touching_share: float, rng: np.random.Generator) -> list[int]:
    """Sizes of groups in random order, so that about that share of the fruit is not alone."""
    touching = round(count * touching_share)
    sizes = []
    while touching >= 2:
        size = 3 if touching == 3 or (touching > 4 and rng.random() < _TRIPLES) else 2
        sizes.append(size)
        touching -= size
    if not sizes:
        return [1] * count
    sizes += [1] * (count - sum(sizes))
    return [sizes[int(place)] for place in rng.permutation(len(sizes))]


def _least_mm(sizes: list[int], spacing_mm: float, reach_mm: float) -> float:
    """The shortest stretch that groups take, from the first fruit to the last group's end."""
    return max(len(sizes) - 1, 0) * spacing_mm + sum(size - 1 for size in sizes) * reach_mm
