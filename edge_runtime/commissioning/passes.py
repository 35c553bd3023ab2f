"""What the sheet's way through the picture tells: direction, scale, speed, and how squarely the camera looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.records import BeltDirection

_GAP_NS = 1_000_000_000
_BACKWARDS = 0.05
_LEAST_TRAVEL = 0.05
_LEAST_SPREAD = 0.25

_UNIT = {
    BeltDirection.RIGHT: (1.0, 0.0),
    BeltDirection.LEFT: (-1.0, 0.0),
    BeltDirection.DOWN: (0.0, 1.0),
    BeltDirection.UP: (0.0, -1.0),
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """The marker, a sheet or a piece of known size, in one frame.

    `time_ns` is the frame's stamp as it came, `centre_px` (x, y), `mm_per_px` the scale by its known size along the
    picture's x and y, and `along` the unit vector of the sheet's ruler in the picture, None for a piece.
    """

    time_ns: int
    centre_px: tuple[float, float]
    mm_per_px: tuple[float, float]
    along: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Travel:
    """Where the marker went.

    `turned_deg` is how far its way is turned against the picture's axis, clockwise. `scale_error` is the standard error
    of `mm_per_px` as a share, `taper` by which share the scale grows from one end of the picture to the other along the
    belt; None where it was not seen over enough of the picture. `seen_mm` `[n]` are the ways along the belt of all
    sightings, from the picture's upstream edge, and `groups` `[n]` the pass that each belongs to.
    """

    direction: BeltDirection
    mm_per_px: float
    scale_error: float
    turned_deg: float
    taper: float | None
    seen_mm: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64]
    length_mm: float


def travel(sightings: Sequence[Sighting], picture_px: tuple[int, int]) -> Travel | None:
    """Put sightings together.

    Args:
        sightings: In order of time.
        picture_px: Width and height.

    Returns:
        None where the marker did not move by at least a twentieth of the picture.
    """
    if len(sightings) < 2:
        return None
    centres = np.array([each.centre_px for each in sightings])
    steps = np.diff(centres, axis=0)
    together = np.diff([each.time_ns for each in sightings]) < _GAP_NS
    moved = steps[together].sum(axis=0) if together.any() else np.zeros(2)
    # Back to the start between two passes without a gap: the sign of most steps is the belt's, not that of the sum.
    size = np.abs(steps).sum(axis=1)
    usual = np.median(steps[together & (size > 0.5)], axis=0) if (together & (size > 0.5)).any() else moved
    axis = int(np.argmax(np.abs(usual)))
    forwards = bool(usual[axis] > 0)
    direction = ((BeltDirection.LEFT, BeltDirection.RIGHT), (BeltDirection.UP, BeltDirection.DOWN))[axis][forwards]
    unit = np.array(_UNIT[direction])
    total_px = picture_px[axis]
    along_px = centres @ unit + (0.0 if forwards else total_px)
    if float(np.ptp(along_px)) < _LEAST_TRAVEL * total_px:
        return None
    groups = _passes(sightings, along_px, total_px)
    scales = np.array([each.mm_per_px[axis] for each in sightings])
    return Travel(
        direction=direction,
        mm_per_px=(scale := float(np.median(scales))),
        scale_error=float(np.std(scales) / scale / math.sqrt(len(scales))),
        turned_deg=_turned_deg(centres, groups, unit),
        taper=_taper(along_px / total_px, scales),
        seen_mm=along_px * scale,
        groups=groups,
        length_mm=total_px * scale,
    )


def ruler_sign(sighting: Sighting, direction: BeltDirection) -> int:
    """1 where the sheet's arrow points with the belt, -1 where it lies the other way round, 0 for a piece."""
    if sighting.along is None:
        return 0
    return 1 if np.dot(sighting.along, _UNIT[direction]) > 0 else -1


def _passes(sightings: Sequence[Sighting], along_px: npt.NDArray[np.float64], total_px: int) -> npt.NDArray[np.int64]:
    """A new pass begins where the marker was away for a second or is suddenly further upstream."""
    times = np.array([each.time_ns for each in sightings])
    new = (np.diff(times) >= _GAP_NS) & (np.diff(along_px) < 0)
    return np.concatenate([[0], np.cumsum(new | (np.diff(along_px) < -_BACKWARDS * total_px))]).astype(np.int64)


def _turned_deg(
    centres: npt.NDArray[np.float64], groups: npt.NDArray[np.int64], unit: npt.NDArray[np.float64]
) -> float:
    """Angle of the line through the centres of each pass against the axis, all passes together."""
    middle = np.array([centres[groups == number].mean(axis=0) for number in range(int(groups[-1]) + 1)])
    along = (centres - middle[groups]) @ unit
    across = (centres - middle[groups]) @ np.array([-unit[1], unit[0]])
    return math.degrees(math.atan2(float(along @ across), float(along @ along)))


def _taper(share: npt.NDArray[np.float64], scales: npt.NDArray[np.float64]) -> float | None:
    if float(np.ptp(share)) < _LEAST_SPREAD:
        return None
    slope = float(np.polyfit(share, scales, 1)[0])
    return slope / float(np.median(scales))
