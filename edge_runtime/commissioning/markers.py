"""What is looked for on the belt while commissioning: the printed sheet, or a piece of known size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.commissioning.passes import Sighting
from edge_runtime.commissioning.picture_quality import PictureQuality, picture_quality
from edge_runtime.commissioning.sheet import Sheet
from edge_runtime.localization.localize import Localizer
from edge_runtime.records import Frame
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings

_WORST_MISFIT = 0.02


@dataclass(frozen=True, slots=True)
class Spotted:
    """A marker in a frame; `worth` grows with how well it shows, `outline_px` `[n, 2]` is drawn in the still."""

    sighting: Sighting
    outline_px: npt.NDArray[np.float64]
    worth: float
    quality: PictureQuality | None = None


class Marker(Protocol):
    """Finds one thing of known size."""

    def find(self, frame: Frame) -> Spotted | None:
        """Where it is in this frame; None where it is not, or not wholly."""
        ...


class SheetMarker:
    """The printed sheet."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def find(self, frame: Frame) -> Spotted | None:
        """See `Marker`."""
        view = self._sheet.find(frame.image)
        if view is None or view.misfit_px > _WORST_MISFIT * self._sheet.square_mm * math.sqrt(
            abs(np.linalg.det(view.px_per_mm))
        ):
            return None
        quality = picture_quality(frame.image, view)
        scale = (view.mm_per_px((1.0, 0.0)), view.mm_per_px((0.0, 1.0)))
        sighting = Sighting(frame.captured_ns, view.centre_px, scale, view.along)
        middle = 1 - abs(2 * view.centre_px[0] / frame.image.shape[1] - 1)
        blur = quality.blur_x_px + quality.blur_y_px
        return Spotted(sighting, view.outline_px, view.corners + middle - (0 if math.isinf(blur) else blur), quality)


class PieceMarker:
    """A round piece of known diameter, alone on a belt that is seen empty first."""

    def __init__(self, diameter_mm: float) -> None:
        self._diameter_mm = diameter_mm
        self._localizer = Localizer(LocalizeSettings(downscale=1), BeltSettings())

    def find(self, frame: Frame) -> Spotted | None:
        """See `Marker`."""
        seen = self._localizer.detect(frame.image)
        if len(seen) != 1 or seen[0].touches_border:
            return None
        box = seen[0].box
        scale = self._diameter_mm / (2 * math.sqrt(seen[0].area_px / math.pi))
        x, y = box.x_px, box.y_px
        corners = [[x, y], [x + box.width_px, y], [x + box.width_px, y + box.height_px], [x, y + box.height_px]]
        middle = 1 - abs(2 * box.centre_px[0] / frame.image.shape[1] - 1)
        return Spotted(Sighting(frame.captured_ns, box.centre_px, (scale, scale)), np.array(corners), middle)
