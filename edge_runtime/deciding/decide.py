"""From the views of one fruit to one verdict: fuse, weigh by cost, choose. Pure.

Fusing adds log-probabilities and divides by 1 + (k - 1) * rho: k views with error correlation rho carry as much as
k / (1 + (k - 1) * rho) independent ones (Kish's effective sample size).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from edge_runtime.errors import InputError
from edge_runtime.records import Verdict

FALSE_REJECT_COST = 1.0
ESCAPE_COST = 1.0
UNDECIDED_COST = 0.25
"""The plain table: UNDECIDED costs a quarter of a false reject, so it is chosen between 25 % and 75 % certainty."""

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Costs(BaseModel):
    """What each verdict costs for a fruit that truly has one label; any unit, as long as it is the same everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ACCEPT: FiniteFloat = Field(ge=0)
    DIVERT: FiniteFloat = Field(ge=0)
    UNDECIDED: FiniteFloat = Field(ge=0)


class Policy(BaseModel):
    """The cost of each verdict for each label, and where the table came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    costs: dict[str, Costs]
    origin: str = Field(description="'bundle', or the settings file that replaced it; recorded with each decision")

    @model_validator(mode="after")
    def _some_label(self) -> Policy:
        if not self.costs:
            raise ValueError("a policy needs the costs of at least one label")
        return self

    @classmethod
    def accepting(cls, labels: Sequence[str], accept: Sequence[str], origin: str = "bundle") -> Policy:
        """The plain table: accept these labels, divert the others.

        A false reject and an escape cost 1 each, UNDECIDED a quarter. Raises InputError for a label that the model does
        not know or when nothing would be accepted.
        """
        unknown = [label for label in accept if label not in labels]
        if unknown or not accept:
            raise InputError(
                f"The policy of {origin} accepts {', '.join(unknown)}, which the model does not know."
                if unknown
                else f"The policy of {origin} accepts no label.",
                expected=f"one or more of {', '.join(labels)}",
                remedy=f"name the labels of good fruit, for example --accept {labels[-1]}"
                if origin == "bundle"
                else f"correct accept under [policy] in {origin}",
            )
        good = Costs(ACCEPT=0, DIVERT=FALSE_REJECT_COST, UNDECIDED=UNDECIDED_COST)
        bad = Costs(ACCEPT=ESCAPE_COST, DIVERT=0, UNDECIDED=UNDECIDED_COST)
        return cls(costs={label: good if label in accept else bad for label in labels}, origin=origin)

    def accepted(self) -> tuple[str, ...]:
        """Labels whose certain fruit is accepted."""
        return tuple(label for label in self.costs if self.verdict({label: 1.0}) is Verdict.ACCEPT)

    def table(self, labels: Sequence[str]) -> npt.NDArray[np.float64]:
        """`[labels, 3]` costs in the order of `Verdict`; raises InputError when a label has no costs."""
        missing = [label for label in labels if label not in self.costs]
        extra = [label for label in self.costs if label not in labels]
        if missing or extra:
            raise InputError(
                f"The cost table of {self.origin} does not fit the model: "
                + "; ".join(
                    part
                    for part in (
                        f"no costs for {', '.join(missing)}" if missing else "",
                        f"unknown {', '.join(extra)}" if extra else "",
                    )
                    if part
                ),
                expected=f"costs for exactly {', '.join(labels)}",
                remedy=f"correct the costs in {self.origin}, or leave them out",
            )
        return np.array([[getattr(self.costs[label], verdict) for verdict in Verdict] for label in labels])

    def gain_by_throwing_out(self, probabilities: dict[str, float]) -> float:
        """What diverting a fruit instead of accepting it is expected to save; negative for a good one."""
        return sum(
            share * (self.costs[label].ACCEPT - self.costs[label].DIVERT) for label, share in probabilities.items()
        )

    def verdict(self, probabilities: dict[str, float]) -> Verdict:
        """The verdict of least expected cost; at equal cost the one that keeps the fruit out."""
        expected = {
            verdict: sum(share * getattr(self.costs[label], verdict) for label, share in probabilities.items())
            for verdict in (Verdict.DIVERT, Verdict.UNDECIDED, Verdict.ACCEPT)
        }
        return min(expected, key=lambda verdict: expected[verdict])


def log_softmax(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Log-probabilities over the last axis of `logits / temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def softmax(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis of `logits / temperature`: the only softmax outside a model graph."""
    return np.exp(log_softmax(logits, temperature))


def energy(logits: Floats) -> npt.NDArray[np.float64]:
    """How unlike anything trained on an input is: -log of the sum of exp(logits) over the last axis.

    High where no label is evoked; unlike a probability it does not hide behind the softmax (Liu et al. 2020,
    "Energy-based Out-of-distribution Detection"). At temperature 1, whatever the artefact's own.
    """
    values = np.asarray(logits, np.float64)
    top = values.max(axis=-1, keepdims=True)
    return np.asarray(-(top[..., 0] + np.log(np.exp(values - top).sum(axis=-1))))


def fuse(logits: Floats, *, temperature: float, rho: float) -> npt.NDArray[np.float64]:
    """One probability vector `[labels]` from the logits `[views, labels]` of one fruit.

    Args:
        logits: At least one row.
        temperature: Of the artefact on the engine that gave the logits.
        rho: Correlation of errors between two views of one fruit, 0 to 1. At 1, more views add nothing but an average.
    """
    views = len(logits)
    evidence = log_softmax(logits, temperature).sum(axis=0) / (1 + (views - 1) * rho)
    return softmax(evidence)
