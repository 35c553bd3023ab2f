"""Tables of `line.toml` about what the line sees: belt, camera, encoder, things, fruit."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from edge_runtime.records import BeltDirection
from edge_runtime.settings.section import Section

Level = Annotated[int, Field(ge=0, le=255)]


class BeltSettings(Section):
    """`[belt]`: how the belt lies in the picture."""

    direction: BeltDirection | None = Field(
        default=None, description="Where fruit moves to in the picture; left out: found from the first fruit."
    )
    mm_per_px: FiniteFloat | None = Field(
        default=None, gt=0, description="Belt millimetres for one picture pixel; left out: no positions in millimetres."
    )
    lanes: int = Field(default=1, ge=1, le=64, description="Lanes of equal width across the picture, counted from 0.")
    colours: tuple[tuple[Level, Level, Level], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Of the empty belt, red, green and blue from 0 to 255 (`ripeline line colour`); left out: learned "
        "from the pictures, which takes a belt of which more than half shows.",
    )


class CameraSettings(Section):
    """`[camera]`: how late its pictures are, which `ripeline line commission` measures, and what it must not adjust."""

    delay_ms: FiniteFloat = Field(
        default=0.0, ge=0, le=1000, description="From the exposure to the time that a frame is stamped with."
    )
    readout_ms: FiniteFloat = Field(
        default=0.0,
        ge=-100,
        le=100,
        description="Of a rolling shutter: from the exposure of the picture's first row to that of its last, as the "
        "sensor's datasheet gives it, negative where the last comes first; delay_ms is that of the middle row. "
        "0: a global shutter.",
    )
    exposure_ms: FiniteFloat | None = Field(
        default=None, gt=0, le=1000, description="Kept at this; left out: as the camera is. Attached cameras only."
    )
    white_balance_k: int | None = Field(
        default=None, ge=1000, le=20_000, description="Kept at this; left out: as the camera is. Attached cameras only."
    )


class EncoderSettings(Section):
    """`[encoder]`: what its counts mean; `ripeline line commission` measures it."""

    mm_per_tick: FiniteFloat = Field(
        default=1.0,
        gt=0,
        description="Belt millimetres for one unit that it counts; of one that counts millimetres, its correction.",
    )


class LocalizeSettings(Section):
    """`[localize]`: what counts as a thing on the belt."""

    downscale: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Make pictures n times smaller; left out: 2, or more above 1600 px, and from 1024 px on things are "
        "found in half of that where it divides.",
    )
    sensitivity: FiniteFloat = Field(
        default=1.0, ge=0.1, le=10, description="Above 1 finds fainter things, below 1 only clearer ones."
    )
    min_diameter_px: FiniteFloat | None = Field(
        default=None,
        gt=0,
        description="Smaller things are dirt; left out: 4 % of the picture's shorter side, "
        "and less than a fifth of the usual area once some fruit have passed.",
    )
    max_diameter_px: FiniteFloat | None = Field(
        default=None, gt=0, description="Larger things are no fruit; left out: the picture's shorter side."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_diameter_px and self.max_diameter_px and self.min_diameter_px >= self.max_diameter_px:
            raise ValueError("min_diameter_px must be smaller than max_diameter_px")
        return self


class TrackSettings(Section):
    """`[track]`: when views belong to one fruit."""

    min_views: int = Field(default=3, ge=1, le=100, description="Frames in which a thing must be seen to be a fruit.")
    max_missed_frames: int = Field(default=10, ge=0, le=1000, description="Frames without a view that are bridged.")
    gate: FiniteFloat = Field(
        default=0.34, gt=0, le=2, description="Largest error of a prediction, as a share of the fruit's diameter."
    )
