"""What flows through the line: frames, boxes, views and decisions, as small frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""`[height, width, 3]`, RGB. BGR exists only inside camera adapters."""

UNSORTED = "unsorted"
"""Folder of kept pictures that nobody has labelled yet: where labels are folders, it is none."""


class Verdict(StrEnum):
    """What the line does with a fruit."""

    ACCEPT = "ACCEPT"
    DIVERT = "DIVERT"
    UNDECIDED = "UNDECIDED"


class BeltDirection(StrEnum):
    """Where fruit moves to in the picture."""

    RIGHT = "right"
    LEFT = "left"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in picture pixels; `x_px`, `y_px` is its upper left corner."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float

    @property
    def centre_px(self) -> tuple[float, float]:
        """The middle, as (x, y)."""
        return self.x_px + self.width_px / 2, self.y_px + self.height_px / 2

    def as_list(self) -> list[int]:
        """`[x, y, w, h]` in whole pixels, the form of every file that Ripeline writes."""
        return [round(self.x_px), round(self.y_px), round(self.width_px), round(self.height_px)]


Margins = tuple[float, float, float, float]
"""How far within a box something ends, at its left, top, right and bottom side."""

NO_MARGINS: Margins = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the belt.

    `captured_ns` is the monotonic time of exposure; for a file, its place in the recording. `belt_mm` is the encoder's
    distance at that moment, None without an encoder. `read_ns` is when a picture in virtual time can be read, on the
    same clock; None where the real clock says so, and for recordings, which do not know.
    """

    image: Image
    index: int
    captured_ns: int
    belt_mm: float | None = None
    read_ns: int | None = None

    @property
    def readable_ns(self) -> int:
        """`read_ns`, or the exposure where that says nothing."""
        return self.captured_ns if self.read_ns is None else self.read_ns


@dataclass(frozen=True, slots=True)
class Detection:
    """Something on the belt that may be a fruit, in one frame.

    `touches_border` says that the picture's edge cuts it, so that a crop of it would show only a part. `margins_px` are
    how far within the box its body ends: stalk and sepals belong to the box as well.
    """

    box: Box
    area_px: float
    touches_border: bool = False
    margins_px: Margins = NO_MARGINS


@dataclass(frozen=True, slots=True)
class TrackedDetection:
    """A detection that has been given to a fruit; `support` is the share of the frames since the first that show it."""

    fruit_id: int
    detection: Detection
    frame_index: int
    captured_ns: int
    position_mm: float | None
    across_mm: float | None
    lane: int
    support: float = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The one decision about one fruit; the fields of `decisions.jsonl` (see `docs/formats.md`).

    `unfamiliar` says that it is UNDECIDED because it looks like nothing that the model learned from.
    """

    fruit_id: int
    verdict: Verdict
    label: str
    probabilities: dict[str, float]
    views: int
    first_frame: int
    last_frame: int
    first_captured_ns: int
    decided_ns: int
    position_mm: float | None
    across_mm: float | None
    lane: int
    box_px: list[int]
    bundle_id: str
    policy: str
    unfamiliar: bool = False
