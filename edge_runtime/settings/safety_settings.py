"""Tables of `line.toml` that say when a line is blind, what it does then, and when a process is restarted."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from edge_runtime.settings.output_settings import OutputSettings
from edge_runtime.settings.section import Section


class OnBlind(StrEnum):
    """What the line does while nothing can be decided."""

    STOP_LINE = "stop_line"
    DIVERT_ALL = "divert_all"
    PASS_ALL = "pass_all"


class Resume(StrEnum):
    """What ends the safe state."""

    AUTO = "auto"
    OPERATOR = "operator"


class SafetySettings(Section):
    """`[safety]`: what happens when the line is blind, and when it counts as blind.

    Thresholds in frames are counted in frame periods of the camera.
    """

    on_blind: OnBlind = Field(
        default=OnBlind.PASS_ALL,
        description="stop_line: the run permit goes off. divert_all: every ejector stays on. pass_all: none acts.",
    )
    resume: Resume = Field(
        default=Resume.AUTO, description="auto: sorts again once all is well for good_s. operator: waits for a word."
    )
    good_s: FiniteFloat = Field(default=2.0, ge=0, le=3600, description="How long all must be well before it sorts.")
    silent_frames: FiniteFloat = Field(default=3.0, ge=1, description="Without a frame for so long, it is blind.")
    frozen_frames: FiniteFloat = Field(
        default=3.0, ge=1, description="The same picture for so long while the belt moves: the camera is frozen."
    )
    black_frames: FiniteFloat = Field(default=3.0, ge=1, description="Black pictures for so long.")
    vision_frames: FiniteFloat = Field(default=3.0, ge=1, description="Nothing from vision for so long: it is stalled.")
    encoder_frames: FiniteFloat = Field(
        default=3.0, ge=1, description="No word from the encoder, or none that fits the picture, for so long."
    )
    black_level: FiniteFloat = Field(default=8.0, ge=0, le=255, description="A picture is black below this mean level.")
    max_speed_mm_s: FiniteFloat = Field(default=5000.0, gt=0, description="No belt runs faster, so an encoder errs.")
    slack_mm: FiniteFloat = Field(default=5.0, gt=0, description="How far an encoder may slip back or jump.")
    clock_step_ms: FiniteFloat = Field(default=500.0, gt=0, description="A step of the machine's clock that counts.")
    self_test_s: FiniteFloat = Field(
        default=600.0, gt=0, description="How often the running model is held against its golden outputs."
    )
    max_misses: int = Field(default=10, ge=1, description="More orders that came too late within a minute are a fault.")
    run_permit: OutputSettings | None = Field(default=None, description="On while the belt may run.")
    heartbeat: OutputSettings | None = Field(
        default=None, description="Toggled as long as Ripeline lives; a relay that misses it stops the line."
    )
    heartbeat_ms: FiniteFloat = Field(default=100.0, ge=10, le=10_000, description="From one toggle to the next.")

    @model_validator(mode="after")
    def _can_stop(self) -> Self:
        if self.on_blind is OnBlind.STOP_LINE and self.run_permit is None:
            raise ValueError('on_blind = "stop_line" needs run_permit, the output that lets the belt run')
        return self


class ProcessSettings(Section):
    """`[processes]`: when a process of the line is restarted."""

    hung_s: FiniteFloat = Field(default=3.0, ge=0.2, description="One that has shown no life for so long is killed.")
    start_s: FiniteFloat = Field(default=60.0, ge=1, description="The same while it starts.")
    memory_mb: FiniteFloat = Field(default=1500.0, ge=100, description="One that holds more leaks and is restarted.")
    restarts: int = Field(default=5, ge=0, description="So many at once within a minute; then one each slow_s.")
    slow_s: FiniteFloat = Field(default=30.0, ge=0, description="From a death to the restart once these are used up.")
    frame_mb: FiniteFloat = Field(default=12.0, gt=0, le=200, description="Room for one picture in shared memory.")
