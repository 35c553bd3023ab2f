"""Scenarios: TOML files that describe a line, read strictly. Named ones ship in `simulator/scenarios/`."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from edge_runtime.errors import InputError
from simulator.belt import BeltKind
from simulator.fruit import LABELS


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BeltSection(_Section):
    """`[belt]`: what moves."""

    kind: BeltKind = "rubber"
    speed_mm_s: FiniteFloat = Field(default=250.0, gt=0, le=5000)
    seam_every_mm: FiniteFloat | None = Field(default=700.0, gt=0)


class FruitSection(_Section):
    """`[fruit]`: what lies on it. `mix` holds the share of each label."""

    per_second: FiniteFloat = Field(default=2.0, gt=0, le=100)
    min_spacing_mm: FiniteFloat = Field(default=75.0, ge=62, description="Least distance of centres along the belt.")
    lanes: int = Field(default=1, ge=1, le=16)
    mix: dict[str, FiniteFloat] = {"spoiled": 0.2, "unripe": 0.2, "turning": 0.2, "ripe": 0.4}

    @model_validator(mode="after")
    def _known_labels(self) -> Self:
        unknown = sorted(set(self.mix) - set(LABELS))
        if unknown or not self.mix or min(self.mix.values()) < 0 or sum(self.mix.values()) <= 0:
            raise ValueError(f"mix takes shares of {', '.join(LABELS)} that are not all zero")
        return self


class CameraSection(_Section):
    """`[camera]`: what sees it. The belt runs to the right through the whole height of the picture."""

    width_px: int = Field(default=960, ge=160, le=4096)
    height_px: int = Field(default=540, ge=160, le=4096)
    mm_per_px: FiniteFloat = Field(default=0.4, gt=0.02, le=2)
    frame_rate_hz: FiniteFloat = Field(default=30.0, gt=0, le=1000)
    exposure_ms: FiniteFloat = Field(default=2.0, ge=0, le=100)
    focus_px: FiniteFloat = Field(default=0.4, ge=0, le=10, description="Standard deviation of the lens's blur.")
    noise_levels: FiniteFloat = Field(default=1.5, ge=0, le=40, description="Standard deviation in grey levels.")
    uneven_light: FiniteFloat = Field(default=0.2, ge=0, le=1)


class Scenario(_Section):
    """A line to simulate."""

    description: str = ""
    seconds: FiniteFloat = Field(default=20.0, gt=0, le=86400)
    belt: BeltSection = BeltSection()
    fruit: FruitSection = FruitSection()
    camera: CameraSection = CameraSection()

    @property
    def frames(self) -> int:
        """Frames in the whole run."""
        return max(1, round(self.seconds * self.camera.frame_rate_hz))

    def captured_ns(self, index: int) -> int:
        """Time of exposure of a frame."""
        return round(index * 1e9 / self.camera.frame_rate_hz)

    def belt_mm(self, time_ns: int) -> float:
        """Distance that the belt has run at a time."""
        return self.belt.speed_mm_s * time_ns / 1e9

    @property
    def blur_px(self) -> float:
        """Distance that the belt moves in the picture during one exposure."""
        return self.belt.speed_mm_s * self.camera.exposure_ms / 1000 / self.camera.mm_per_px


def scenario_names() -> list[str]:
    """The scenarios that ship."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def load_scenario(name: str) -> Scenario:
    """Read a scenario that ships.

    Raises:
        InputError: No such scenario; the message lists those there are.
    """
    names = scenario_names()
    if name not in names:
        raise InputError(f"No scenario is called '{name}'.", expected=f"one of {', '.join(names)}")
    return parse_scenario((_folder() / f"{name}.toml").read_text(encoding="utf-8"), name)


def parse_scenario(text: str, name: str) -> Scenario:
    """Read a scenario from TOML.

    Args:
        text: The document.
        name: Where it came from, for messages.

    Raises:
        InputError: Broken TOML, an unknown key, or a value out of range.
    """
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"Scenario {name}: {error}", expected="valid TOML") from error
    except ValidationError as error:
        raise InputError("\n".join(_explain(name, error))) from error


def _explain(name: str, error: ValidationError) -> list[str]:
    return [f"Scenario {name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]


def _folder() -> resources.abc.Traversable:
    return resources.files("simulator") / "scenarios"
