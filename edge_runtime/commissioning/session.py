"""One session of commissioning: takes frames as they come, and strokes at the sheet where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.commissioning.lag import Trace, sampled
from edge_runtime.commissioning.markers import Marker, Spotted
from edge_runtime.commissioning.measure import LONGEST_DELAY_MS, Figures, Order, measure
from edge_runtime.commissioning.passes import Sighting
from edge_runtime.commissioning.picture_quality import PictureQuality
from edge_runtime.commissioning.strokes import StrokePlan
from edge_runtime.localization.belt_colour import Colour, belt_colours
from edge_runtime.ports import Encoder
from edge_runtime.records import Frame, Image

_NEWS = 8
"""Sightings after which what is known is measured anew, when the marker is out of sight."""

_AFTER_NS = 500_000_000

_BESIDE = 2.0
"""The sheet has a ruler and an arrow outside of its squares."""

_EVERY = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """How the ejector is tried: when to stroke, `fire(now_ns)` which orders it, and `read_mark(stroke)`, asked after
    each (counted from 0): what a person reads on the ruler, None if there is no mark.
    """

    plan: StrokePlan
    fire: Callable[[int], None]
    read_mark: Callable[[int], float | None]


@dataclass(frozen=True, slots=True)
class Still:
    """The picture in which the marker shows best, and its `outline_px` `[n, 2]`."""

    image: Image
    outline_px: npt.NDArray[np.float64]


class Session:
    """Collects what commissioning goes by.

    Args:
        marker: Finds the sheet, or a piece of known size.
        encoder: In its own units; None for a line without one.
        trial: Of the ejector; None for none. Needs the encoder.
    """

    def __init__(self, marker: Marker, encoder: Encoder | None, trial: Trial | None = None) -> None:
        self.frames = 0
        self.picture_px = (0, 0)
        self.sightings: list[Sighting] = []
        self.quality: list[PictureQuality] = []
        self.orders: list[Order] = []
        self.still: Still | None = None
        self._marker, self._encoder, self._trial = marker, encoder, trial
        self._first_ns: int | None = None
        self._last_ns = 0
        self._worth = -np.inf
        self._known: tuple[int, Figures] = (0, Figures())

    def add(self, frame: Frame, now_ns: int) -> None:
        """Take in a frame, stamped as the camera stamps it, that was read at `now_ns`."""
        self._first_ns = frame.captured_ns if self._first_ns is None else self._first_ns
        self.frames, self._last_ns = self.frames + 1, max(frame.captured_ns, now_ns)
        self.picture_px = frame.image.shape[1], frame.image.shape[0]
        spotted = self._marker.find(frame)
        if spotted is not None:
            self._keep(spotted, frame)
        elif self.still is None:
            self.still = Still(frame.image.copy(), np.empty((0, 2)))
        if self._trial is not None and self._encoder is not None:
            if spotted is None and len(self.sightings) >= self._known[0] + _NEWS:
                self._known = len(self.sightings), measure(self.sightings, self.picture_px, self._trace())
            self._try(self._trial, self._encoder, now_ns)

    def figures(self) -> Figures:
        """What all of it tells together."""
        return measure(self.sightings, self.picture_px, self._trace(), self.orders)

    def belt_colours(self) -> tuple[Colour, ...]:
        """The few colours of what the still shows beside the marker, RGB; none without a marker in it."""
        if self.still is None or not len(self.still.outline_px):
            return ()
        middle = self.still.outline_px.mean(axis=0)
        wide = np.round(middle + _BESIDE * (self.still.outline_px - middle)).astype(np.int32)
        beside = np.ones(self.still.image.shape[:2], np.uint8)
        cv2.fillConvexPoly(beside, wide, (0,))
        pixels = self.still.image[beside > 0][::_EVERY]
        return belt_colours(pixels[None]) if len(pixels) else ()

    def _keep(self, spotted: Spotted, frame: Frame) -> None:
        self.sightings.append(spotted.sighting)
        if spotted.quality is not None:
            self.quality.append(spotted.quality)
        if spotted.worth > self._worth:
            self._worth, self.still = spotted.worth, Still(frame.image.copy(), spotted.outline_px)

    def _trace(self) -> Trace | None:
        """Beyond both ends: frames are late against the encoder, and strokes act after their order."""
        if self._encoder is None or self._first_ns is None:
            return None
        before_ns = round(1e6 * LONGEST_DELAY_MS)
        return sampled(self._encoder, self._first_ns - before_ns, self._last_ns + _AFTER_NS)

    def _try(self, trial: Trial, encoder: Encoder, now_ns: int) -> None:
        """Fire at a sheet at the ejector, once its way through the picture tells where on the belt it lies."""
        lag, sheets_mm = self._known[1].lag, self._known[1].sheets_mm
        counted = encoder.position_mm(now_ns)
        if lag is None or counted is None:
            return
        due = trial.plan.due(now_ns, counted * lag.scale, sheets_mm)
        if due is None:
            return
        sheet_mm, moving = due
        trial.fire(now_ns)
        self.orders.append(Order(now_ns, sheet_mm, moving, trial.read_mark(len(self.orders))))
