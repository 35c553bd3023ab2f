"""`gate.toml`: how much worse than its reference or the last release a bundle may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.errors import ConfigError
from evaluation.gate_file import read_gate_file
from export.parity import Margins


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MarginSettings(_Strict):
    """The largest loss that still counts as none, as shares."""

    accuracy: float = Field(default=0.01, gt=0, lt=1)
    recall: float = Field(default=0.05, gt=0, lt=1)


class Ratios(_Strict):
    """The largest ratio new / old; None leaves it open."""

    latency: float | None = Field(default=None, gt=0)
    size: float | None = Field(default=None, gt=0)
    memory: float | None = Field(default=None, gt=0)

    def is_set(self) -> bool:
        """Whether one of them is limited."""
        return self != Ratios()


class GatePolicy(_Strict):
    """The whole of `gate.toml`; every key is optional. `critical` gives labels a recall margin of their own."""

    margins: MarginSettings = MarginSettings()
    critical: dict[str, float] = Field(default_factory=dict)
    largest_ratio: Ratios = Ratios()

    def allowed(self, labels: Sequence[str]) -> Margins:
        """For `export.parity.judge`; two trainings may disagree on many pictures and be equally good.

        Raises:
            ConfigError: A critical label that the bundle does not know, or a margin that is no share.
        """
        for label, margin in self.critical.items():
            if label not in labels:
                raise ConfigError(
                    f"The gate calls the label {label} critical, which the bundle does not know.",
                    expected=f"one of {', '.join(labels)}",
                )
            if not 0 < margin < 1:
                raise ConfigError(
                    f"The gate's margin for {label} is {margin:g}.", expected="a share between 0 and 1, such as 0.02"
                )
        return Margins(
            accuracy=self.margins.accuracy, recall=self.margins.recall, agreement=0.0, critical=self.critical
        )


def read_gate_policy(file: Path) -> GatePolicy:
    """Read `gate.toml`.

    Raises:
        ConfigError: Missing, broken or with an unknown key.
    """
    return read_gate_file(file, GatePolicy, refused=ConfigError, expected="[margins], [critical] and [largest_ratio]")
