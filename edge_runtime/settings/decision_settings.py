"""Tables of `line.toml` about what becomes of a fruit: its decision, its verdict, its ejector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from edge_runtime.deciding.decide import Costs, Policy
from edge_runtime.records import Verdict
from edge_runtime.settings.output_settings import GpioSettings, ModbusSettings
from edge_runtime.settings.section import Section


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
