"""The ladder: what is tried, rung by rung, when integers lose too much.

More samples, then the other quantiser, then the worst layers in float. A rung is judged on validation pictures alone,
by the same margins as the artefact will be on the held-out ones; these see the chosen file only, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, JsonValue

from edge_runtime.bundles.manifest import Result
from export.formats import Converter, Format, converted
from export.graph import Network
from export.inspect import ConversionError, Inspection, assert_sound
from export.layer_error import layer_errors
from export.layers import layers_of
from export.measure import Measured, Unavailable
from export.parity import Parity

MOST_FLOAT_LAYERS = 4
"""More of them, and what is left of int8 is hardly worth having."""
AS_BAD = 1 / 3
"""Share of what the worst layer adds to the losses from which another one is among the worst."""

Images = npt.NDArray[np.uint8]
Outcome = Sequence[tuple[Measured | Unavailable, Parity | None]]
"""For each engine what it said on the validation pictures, and how that is judged; None where it said nothing."""


class Step(BaseModel):
    """One rung that was tried, and what the validation pictures said of it.

    `agreement` and `difference` (of accuracy) are the lowest of all engines, None where none could run it; `reason`
    says why the file was no good at all.
    """

    model_config = ConfigDict(frozen=True)

    rung: str
    result: Result
    n: int
    agreement: float | None
    difference: float | None
    float_layers: tuple[str, ...] = ()
    chosen: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Quantized:
    """The file of the rung that was chosen, what it said on the validation pictures, and all rungs that were tried."""

    options: dict[str, JsonValue]
    inspection: Inspection
    validation: tuple[Measured | Unavailable, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class _Rung:
    name: str
    convert: Converter
    network: Network
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tried:
    step: Step
    file: Path
    options: dict[str, JsonValue]
    inspection: Inspection
    outcome: Outcome

    def merit(self) -> tuple[bool, float]:
        return self.step.result is not Result.FAIL, self.step.agreement or 0.0


def climb(
    one: Format,
    file: Path,
    network: Network,
    *,
    more: Callable[[], Images],
    judge_on_validation: Callable[[Path], Outcome],
    looked_at: Images,
    progress: Callable[[str], None],
) -> Quantized:
    """Write an integer artefact by the first rung that does not FAIL on the validation pictures, else by the best.

    Args:
        one: The format.
        file: To write; rungs that were not chosen leave nothing.
        network: With the usual samples.
        more: More training pictures, the usual samples among them; no more than these where there are none.
        judge_on_validation: Runs a file on every engine here.
        looked_at: Validation pictures `[n, size, size, 3]` to find the worst layers by.
        progress: Told what is being tried.

    Raises:
        ConversionError: The first rung's file is not what was asked for; a later one is only given up.
    """
    tried: list[_Tried] = []
    steps: list[Step] = []

    def worst_layers(sampled: Network) -> tuple[str, ...]:
        best = max(tried, key=_Tried.merit)
        # Layers that read no other take the picture, whose pixels are integers anyhow.
        inner = {layer.name for layer in layers_of(sampled.unscaled) if layer.reads}
        errors = [one for one in layer_errors(sampled.unscaled, best.file, looked_at) if one.layer in inner]
        worst = errors[:1] + [one for one in errors[1:MOST_FLOAT_LAYERS] if one.added >= AS_BAD * errors[0].added]
        return tuple(one.layer for one in worst)

    for rung in _rungs(one, network, more, worst_layers):
        if tried:
            progress(f"{one.name} lost too much on the validation pictures; trying {rung.name}")
        aside = file.with_name(f"rung-{len(tried)}-{file.name}")
        try:
            options = converted(rung.convert, rung.network, aside)
            inspection = assert_sound(aside, precision=one.precision, float_layers=bool(rung.float_layers))
        except ConversionError as error:
            if not tried:
                raise
            aside.unlink(missing_ok=True)
            steps.append(_step(rung, (), error.what))
            continue
        outcome = judge_on_validation(aside)
        step = _step(rung, [parity for _, parity in outcome if parity is not None])
        steps.append(step)
        tried.append(_Tried(step, aside, options, inspection, outcome))
        if step.result is not Result.FAIL or step.agreement is None:
            break
    best = max(tried, key=_Tried.merit)
    best.file.rename(file)
    for other in tried:
        other.file.unlink(missing_ok=True)
    told = tuple(step.model_copy(update={"chosen": step is best.step}) for step in steps)
    return Quantized(best.options, best.inspection, tuple(found for found, _ in best.outcome), told)


def _rungs(
    one: Format, network: Network, more: Callable[[], Images], worst_layers: Callable[[Network], tuple[str, ...]]
) -> Iterator[_Rung]:
    """From the plain one up; what is above a rung is not thought of before that has failed."""
    yield _Rung(f"{len(network.samples)} samples", one.convert, network)
    samples = more()
    if len(samples) > len(network.samples):
        network = Network(network.logits, samples)
        yield _Rung(f"{len(samples)} samples", one.convert, network)
    for name, convert in one.others:
        yield _Rung(f"{len(samples)} samples, {name}", convert, network)
    if one.partly is not None and (layers := worst_layers(network)):
        convert = partial(one.partly, float_layers=layers)
        yield _Rung(f"{len(samples)} samples, {', '.join(layers)} in float", convert, network, layers)


def _step(rung: _Rung, judged: Sequence[Parity], reason: str = "") -> Step:
    return Step(
        rung=rung.name,
        result=Result.worst([one.result for one in judged]),
        n=judged[0].n if judged else 0,
        agreement=min((one.agreement for one in judged), default=None),
        difference=min((one.accuracy.difference for one in judged), default=None),
        float_layers=rung.float_layers,
        reason=reason,
    )
