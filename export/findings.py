"""What was found of each artefact on each engine, in the forms that terminal, page and tools take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from edge_runtime.bundles.manifest import Result
from evaluation.page import Tone
from export.decisions import Decisions
from export.ladder import Step
from export.layer_error import LayerError
from export.parity import Parity

TONES: dict[Result, Tone] = {Result.PASS: "good", Result.INCONCLUSIVE: "warn", Result.FAIL: "bad"}
_NAMED_LAYERS = 3


class Missing(BaseModel):
    """A pair that could not be measured, and so is not in the manifest and never runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    engine: str
    reason: str


class ArtefactParity(BaseModel):
    """Everything measured of one artefact on one engine; `flipped` are places in the held-out split.

    `float_islands` are operators of an integer file that compute in float, `layers` those of a failed one that lose the
    most.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    format: str
    engine: str
    bytes: int
    p50_ms: float
    temperature: float
    operators: dict[str, int]
    parity: Parity
    decisions: Decisions | None
    float_islands: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] = ()
    flipped: tuple[int, ...]
    keras_labels: tuple[int, ...]
    found_labels: tuple[int, ...]

    def causes(self) -> tuple[str, ...]:
        """Why it did not simply pass, the usual mistake that would explain it, and where it goes wrong."""
        if not self.layers:
            return (*self.parity.reasons, *self.diagnosis)
        worst = ", ".join(f"{one.layer} (adds {one.added:.0%})" for one in self.layers[:_NAMED_LAYERS])
        return (*self.parity.reasons, *self.diagnosis, f"layers that lose most of their signal: {worst}")

    def row(self) -> dict[str, Any]:
        """As `ripeline export --json` lists it."""
        return {
            "name": self.name,
            "format": self.format,
            "engine": self.engine,
            "bytes": self.bytes,
            "accuracy": self.parity.accuracy.candidate,
            "agreement": self.parity.agreement,
            "max_abs_diff": self.parity.max_abs_diff,
            "max_logit_diff": self.parity.max_logit_diff,
            "difference": self.parity.accuracy.difference,
            "lower_bound": self.parity.accuracy.lower_bound,
            "images_needed": self.parity.images_needed,
            "verdict_flips": None if self.decisions is None else self.decisions.flips,
            "diagnosis": list(self.diagnosis),
            "layers": [one.model_dump() for one in self.layers],
            "p50_ms": self.p50_ms,
            "result": self.parity.result,
        }

    def table_row(self) -> dict[str, str]:
        """For people: the terminal's and the page's table."""
        parity = self.parity
        return {
            "artefact": self.name,
            "engine": self.engine,
            "size": f"{self.bytes / 1e6:.2f} MB",
            "accuracy": f"{parity.accuracy.candidate:.1%}",
            "vs Keras": f"{parity.accuracy.difference:+.1%}",
            "at least": f"{parity.accuracy.lower_bound:+.2%}",
            "agreement": f"{parity.agreement:.1%}",
            "verdicts": "–" if self.decisions is None else f"{1 - self.decisions.flips:.1%}",
            "max |Δp|": f"{parity.max_abs_diff:.1e}",
            "one image": f"{self.p50_ms:.2f} ms",
            "result": parity.result.value,
        }


def remarks(
    parities: Sequence[ArtefactParity],
    missing: Sequence[Missing] = (),
    ladders: Mapping[str, Sequence[Step]] | None = None,
) -> list[tuple[str, Tone]]:
    """Each failure by itself; what has too few pictures in one sentence, since the reason is the same."""
    remarks = [
        (f"{one.name} on {one.engine}: {reason}.", TONES[Result.FAIL])
        for one in parities
        if one.parity.result is Result.FAIL
        for reason in one.causes()
    ]
    remarks += [(f"{one.name} cannot run on {one.engine}: {one.reason}", TONES[Result.FAIL]) for one in missing]
    remarks += [(_climbed(name, steps), TONES[Result.INCONCLUSIVE]) for name, steps in (ladders or {}).items()
                if len(steps) > 1]  # fmt: skip
    undecided = [one for one in parities if one.parity.result is Result.INCONCLUSIVE]
    remarks += [
        (f"{one.name} on {one.engine}: {reason}.", TONES[Result.INCONCLUSIVE])
        for one in undecided
        if one.parity.images_needed is None
        for reason in one.parity.reasons
    ]
    needs = sorted({one.parity.images_needed for one in undecided if one.parity.images_needed is not None})
    if needs:
        one = undecided[0].parity
        span = f"about {needs[0]:,}" + (f" (for one of them {needs[-1]:,})" if len(needs) > 1 else "")
        grouped = one.units < one.n
        groups = f" of {one.units} groups" if grouped else ""
        alike = f" from some {-(-needs[0] * one.units // one.n):,} groups" if grouped else ""
        remarks.append(
            (
                f"{len(undecided)} of {len(parities)} are INCONCLUSIVE: nothing is wrong so far, but "
                f"{one.n} pictures{groups} cannot exclude a loss beyond the margin. It would take {span}{alike}. The "
                "bundle can be used; to settle it, photograph fruit that training did not see, and run: "
                "ripeline check BUNDLE PHOTOS --run RUN.",
                TONES[Result.INCONCLUSIVE],
            )
        )
    return remarks


def _climbed(name: str, steps: Sequence[Step]) -> str:
    first, chosen = steps[0], next(step for step in steps if step.chosen)
    shares = [f"{0 if one.agreement is None else one.agreement:.1%}" for one in (first, chosen)]
    if chosen is first:
        return f"{name} lost too much on the {first.n} validation pictures; nothing did better than {shares[0]}."
    return (
        f"{name} was made with {chosen.rung}: with {first.rung} it agreed on {shares[0]} of the {first.n} validation "
        f"pictures, so on {shares[1]}."
    )
