"""`manifest.json`: everything that a bundle states about itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from edge_runtime.deciding.decide import Policy
from edge_runtime.preprocess import InputSpec

SCHEMA_VERSION = 1


class Result(StrEnum):
    """Outcome of a parity test or gate."""

    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"

    @classmethod
    def worst(cls, results: Iterator[Result] | list[Result]) -> Result:
        """FAIL before INCONCLUSIVE before PASS; nothing measured is a FAIL."""
        return max(results, key=list(cls).index, default=cls.FAIL)

    def refuses(self, *, strict: bool) -> bool:
        """Whether a gate says no; a strict one also where too little was seen."""
        return self is Result.FAIL or (strict and self is Result.INCONCLUSIVE)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FloatTolerance(_Strict):
    """A float artefact gives the recorded logits on every machine, up to rounding."""

    kind: Literal["float"] = "float"
    max_logit_difference: float = Field(gt=0)


class QuantizedTolerance(_Strict):
    """An integer artefact may differ between engines and CPUs, but not in what it says where the answer is clear.

    The label must be the recorded one wherever the Keras model's margin between its two best probabilities is at least
    `clear_margin`, and the median absolute logit difference at most `median_logit_difference`.
    """

    kind: Literal["quantized"] = "quantized"
    clear_margin: float = Field(gt=0, lt=1)
    median_logit_difference: float = Field(gt=0)


class EngineRecord(_Strict):
    """What was measured of one artefact on one engine.

    Of the validation pictures, 99.5 % have an energy (`edge_runtime.deciding.decide.energy`) of at most `energy_limit`;
    None in bundles that do not know it.
    """

    temperature: float = Field(gt=0)
    energy_limit: float | None = None
    parity: Result
    golden: FloatTolerance | QuantizedTolerance = Field(discriminator="kind")


class Artefact(_Strict):
    """One converted model."""

    name: str
    file: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    format: str
    bytes: int = Field(gt=0)
    engines: dict[str, EngineRecord]

    def result(self) -> Result:
        """The worst of all engines; FAIL where none could run it."""
        return Result.worst([record.parity for record in self.engines.values()])


class Manifest(_Strict):
    """The whole of `manifest.json`; the schema is described in `docs/formats.md`."""

    schema_version: Literal[1] = 1
    bundle_id: str
    created: str = Field(description="RFC 3339, UTC: when the training run that it came from ended")
    result: Result
    labels: tuple[str, ...] = Field(min_length=2)
    input: InputSpec
    policy: Policy
    view_correlation: float = Field(ge=0, le=1, description="rho: correlation of errors between views of one fruit")
    default_artefact: str
    artefacts: tuple[Artefact, ...] = Field(min_length=1)
    provenance: dict[str, JsonValue]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        names = [artefact.name for artefact in self.artefacts]
        if len(set(names)) != len(names):
            raise ValueError("two artefacts share a name")
        if self.default_artefact not in names:
            raise ValueError(f"default_artefact {self.default_artefact} is none of {', '.join(names)}")
        if set(self.policy.costs) != set(self.labels):
            raise ValueError("the policy's labels are not the model's")
        found = Result.worst([artefact.result() for artefact in self.artefacts])
        if Result.worst([self.result, found]) is not self.result:
            raise ValueError(f"the result is {self.result}, though an artefact's is {found}")
        return self

    def pairs(self) -> Iterator[tuple[Artefact, str, EngineRecord]]:
        """Every (artefact, engine) that was measured."""
        for artefact in self.artefacts:
            for engine, record in artefact.engines.items():
                yield artefact, engine, record
