"""`line.toml`: what a person states about one line. Every key has a default; `config_file` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from edge_runtime.contradictions import refuse_contradictions
from edge_runtime.decide import Costs, Policy
from edge_runtime.output_settings import GpioSettings, ModbusSettings
from edge_runtime.record_settings import HealthSettings, JournalSettings, ReportSettings
from edge_runtime.records import BeltDirection, Verdict
from edge_runtime.safety_settings import ProcessSettings, SafetySettings
from edge_runtime.schedule import EjectorSpec
from edge_runtime.section import Section

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


class DecideSettings(Section):
    """`[decide]`: how views become one decision."""

    rho: FiniteFloat | None = Field(
        default=None, gt=0, le=1, description="Correlation between views of one fruit; left out: the bundle's own."
    )
    view_cost: FiniteFloat = Field(
        default=0.0002,
        ge=0,
        le=1,
        description="What another look at a fruit costs, as a share of the dearest mistake; 0: look until decide_at.",
    )
    decide_from: FiniteFloat = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the picture's length before which no fruit is classified or decided.",
    )
    decide_at: FiniteFloat = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Share of the picture's length along the belt at which a fruit is decided at the latest.",
    )

    white_balance: bool = Field(
        default=True, description="Take changes of the light out of crops, by what they do to the empty belt."
    )
    unfamiliar_mb: FiniteFloat = Field(
        default=100.0, ge=0, description="Disk for pictures of fruit that look like nothing the model learned from."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.decide_from > self.decide_at:
            raise ValueError("decide_from must not lie behind decide_at")
        return self


class PolicySettings(Section):
    """`[policy]`: which label leads to which verdict; without it the bundle's own policy holds.

    Either `accept` names the labels to accept, or `costs` gives the whole table.
    """

    accept: tuple[str, ...] | None = Field(default=None, min_length=1, description="Labels to accept.")
    costs: dict[str, Costs] | None = Field(default=None, min_length=1, description="Cost table by label.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.accept is None) == (self.costs is None):
            raise ValueError("give either accept or costs, one of the two")
        return self

    def policy(self, labels: Sequence[str], origin: str) -> Policy:
        """The policy for a model of these labels; raises InputError when it names others."""
        if self.accept is not None:
            return Policy.accepting(labels, self.accept, origin)
        policy = Policy(costs=self.costs or {}, origin=origin)
        policy.table(labels)
        return policy


class EjectorSettings(Section):
    """One `[[ejector]]`: where it stands, what it throws out and how it is switched.

    The first in the file that takes a fruit's verdict, label and lane gets it.
    """

    at_mm: FiniteFloat = Field(gt=0, le=100_000, description="Distance along the belt from the picture's end.")
    latency_ms: FiniteFloat = Field(default=0.0, ge=0, le=2000, description="From the order to the stroke.")
    width_mm: FiniteFloat = Field(default=40.0, gt=0, description="A fruit with its centre in this is thrown out.")
    tolerance_mm: FiniteFloat | None = Field(
        default=None, gt=0, description="How far behind the centre is too late; left out: a quarter of width_mm."
    )
    lane: int | None = Field(default=None, ge=0, le=63, description="Left out: all lanes.")
    verdicts: tuple[Verdict, ...] = Field(
        default=(Verdict.DIVERT, Verdict.UNDECIDED), min_length=1, description="Verdicts that it throws out."
    )
    labels: tuple[str, ...] | None = Field(default=None, min_length=1, description="Only these; left out: all labels.")
    pulse_ms: FiniteFloat = Field(default=50.0, gt=0, le=2000, description="How long the output stays on.")
    gpio: GpioSettings | None = None
    modbus: ModbusSettings | None = None

    @model_validator(mode="after")
    def _one_output(self) -> Self:
        if self.gpio is not None and self.modbus is not None:
            raise ValueError("give either gpio or modbus, one of the two")
        return self

    def spec(self) -> EjectorSpec:
        """What the schedule needs of it."""
        return EjectorSpec(self.at_mm, self.latency_ms, self.tolerance_mm or self.width_mm / 4, self.width_mm)


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
        refuse_contradictions(self)
        return self
