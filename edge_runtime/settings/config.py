"""`line.toml`: what a person states about one line. Every key has a default; `config_file` reads it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from edge_runtime.settings.contradictions import refuse_contradictions
from edge_runtime.settings.decision_settings import DecideSettings, EjectorSettings, PolicySettings
from edge_runtime.settings.record_settings import HealthSettings, JournalSettings, ReportSettings
from edge_runtime.settings.safety_settings import ProcessSettings, SafetySettings
from edge_runtime.settings.section import Section
from edge_runtime.settings.vision_settings import (
    BeltSettings,
    CameraSettings,
    EncoderSettings,
    LocalizeSettings,
    TrackSettings,
)


class LineConfig(Section):
    """Everything in `line.toml`."""

    name: str = Field(
        default="line", pattern=r"^[A-Za-z0-9_.-]{1,50}$", description="Of this line, in records, topics and locks."
    )
    source: str | None = Field(
        default=None, min_length=1, description="Where pictures come from, unless --source says: a camera or a URL."
    )
    belt: BeltSettings = BeltSettings()
    camera: CameraSettings = CameraSettings()
    encoder: EncoderSettings = EncoderSettings()
    localize: LocalizeSettings = LocalizeSettings()
    track: TrackSettings = TrackSettings()
    decide: DecideSettings = DecideSettings()
    policy: PolicySettings | None = None
    ejector: tuple[EjectorSettings, ...] = ()
    safety: SafetySettings = SafetySettings()
    processes: ProcessSettings = ProcessSettings()
    journal: JournalSettings = JournalSettings()
    report: tuple[ReportSettings, ...] = ()
    health: HealthSettings = HealthSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse_contradictions(self.belt, self.ejector, self.safety, self.report)
        return self
