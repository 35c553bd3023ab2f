"""Scenarios: TOML files that describe a line, read strictly. Named ones ship in `simulator/scenarios/`."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from edge_runtime.errors import InputError
from edge_runtime.settings.config_file import explain
from edge_runtime.settings.contradictions import ContradictionError
from simulator.belt import BeltKind
from simulator.fruit import DIAMETER_MM, LONGEST_MM


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RampsSection(_Section):
    """`[belt.ramps]`: the speed swings up and down in straight lines, as of a drive that hunts or is being changed."""

    share: FiniteFloat = Field(default=0.2, gt=0, lt=1, description="Largest departure from speed_mm_s, as a share.")
    period_s: FiniteFloat = Field(default=8.0, gt=0.1)


class StopsSection(_Section):
    """`[belt.stops]`: the belt halts and starts again."""

    every_s: FiniteFloat = Field(default=10.0, gt=0, description="From one stop's beginning to the next one's.")
    for_s: FiniteFloat = Field(default=2.0, ge=0, description="How long it stands.")
    ramp_s: FiniteFloat = Field(default=0.4, gt=0.01, description="How long braking takes, and starting.")

    @model_validator(mode="after")
    def _runs_between(self) -> Self:
        if self.every_s <= self.for_s + 2 * self.ramp_s:
            raise ValueError("every_s must be longer than for_s and both ramps together")
        return self


class BeltSection(_Section):
    """`[belt]`: what moves, and how."""

    kind: BeltKind = "rubber"
    picture: Path | None = Field(default=None, description="Photograph of an empty belt, or film of it running.")
    speed_mm_s: FiniteFloat = Field(default=250.0, gt=0, le=5000)
    ramps: RampsSection | None = None
    stops: StopsSection | None = None
    jitter: FiniteFloat = Field(default=0.0, ge=0, le=0.2, description="Standard deviation of the speed, as a share.")
    seam_every_mm: FiniteFloat | None = Field(default=700.0, ge=10)
    dirt: FiniteFloat = Field(default=0.0, ge=0, le=1, description="From clean (0) to stained, with scraps on it (1).")
    wet: FiniteFloat = Field(default=0.0, ge=0, le=1, description="From dry (0) to covered with shining puddles (1).")


class EncoderSection(_Section):
    """`[encoder]`: the wheel that measures the belt."""

    ticks_per_mm: FiniteFloat = Field(default=20.0, gt=0, le=10_000, description="Counts of both edges of A and B.")
    noise_ticks: FiniteFloat = Field(default=0.0, ge=0, le=100, description="Standard deviation of a reading.")
    slip: FiniteFloat = Field(default=0.0, ge=0, le=0.2, description="Share of the belt's way that the wheel misses.")


class EjectorSection(_Section):
    """`[ejector]`: one valve a lane, all at the same place."""

    at_mm: FiniteFloat = Field(default=200.0, gt=0, le=100_000, description="From the picture's downstream edge.")
    width_mm: FiniteFloat = Field(default=40.0, gt=0, description="A fruit whose centre is in it is thrown out.")
    latency_ms: FiniteFloat = Field(
        default=15.0, ge=0, le=2000, description="From the order to the action, on average."
    )
    spread_ms: FiniteFloat = Field(default=0.5, ge=0, le=200, description="Standard deviation of that.")


Spacing = Literal["random", "regular"]
_Diameter = Annotated[FiniteFloat, Field(ge=15, le=DIAMETER_MM[1])]


class FruitSection(_Section):
    """`[fruit]`: what lies on it. `mix` holds the share of each label; see `mix_of`."""

    per_second: FiniteFloat = Field(
        default=2.0, ge=0, le=100, description="All lanes together, at speed_mm_s; 0 for an empty belt."
    )
    spacing: Spacing = Field(default="random", description="random: a Poisson process above the least spacing.")
    min_spacing_mm: FiniteFloat = Field(default=75.0, ge=70, description="Least distance of centres along the belt.")
    touching_share: FiniteFloat = Field(default=0.0, ge=0, le=1, description="Share that touches a neighbour.")
    rolling_share: FiniteFloat = Field(default=0.0, ge=0, le=1, description="Share that turns about its own axis.")
    turns_per_m: FiniteFloat = Field(default=2.0, gt=0, le=20, description="Of those that roll, a metre of belt.")
    diameter_mm: tuple[_Diameter, _Diameter] = Field(default=DIAMETER_MM, description="Smallest and largest.")
    lanes: int = Field(default=1, ge=1, le=16)
    mix: dict[str, Annotated[FiniteFloat, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _some_fruit(self) -> Self:
        if self.mix is not None and sum(self.mix.values()) <= 0:
            raise ContradictionError(("fruit", "mix"), "takes the share of each label, not all zero")
        if self.diameter_mm[0] > self.diameter_mm[1]:
            raise ContradictionError(("fruit", "diameter_mm"), "takes the smallest first, then the largest")
        return self


_Gain = Annotated[FiniteFloat, Field(ge=0.1, le=10)]


class CameraSection(_Section):
    """`[camera]`: what sees it. The belt runs to the right through the whole height of the picture."""

    width_px: int = Field(default=960, ge=160, le=4096)
    height_px: int = Field(default=540, ge=160, le=4096)
    mm_per_px: FiniteFloat = Field(default=0.4, gt=0.02, le=2)
    frame_rate_hz: FiniteFloat = Field(default=30.0, gt=0, le=1000)
    trigger_every_mm: FiniteFloat | None = Field(default=None, gt=0, description="By encoder instead of by time.")
    exposure_ms: FiniteFloat = Field(default=2.0, ge=0, le=100)
    readout_ms: FiniteFloat = Field(default=0.0, ge=0, le=100, description="Rolling shutter, first row to last.")
    delay_ms: FiniteFloat = Field(default=0.0, ge=0, le=1000, description="From exposure to the frame being read.")
    stamps: Literal["exposure", "read"] = Field(
        default="exposure", description="What the time of a frame is the time of."
    )
    stamp_jitter_ms: FiniteFloat = Field(default=0.0, ge=0, le=50, description="Standard deviation of time stamps.")
    focus_px: FiniteFloat = Field(default=0.4, ge=0, le=10, description="Standard deviation of the lens's blur.")
    gain_db: FiniteFloat = Field(default=0.0, ge=-24, le=24, description="Amplifies picture and noise.")
    white_balance: tuple[_Gain, _Gain, _Gain] = (1.0, 1.0, 1.0)
    noise_levels: FiniteFloat = Field(
        default=1.5, ge=0, le=40, description="Standard deviation in grey levels at 0 dB."
    )
    uneven_light: FiniteFloat = Field(default=0.2, ge=0, le=1)
    vignetting: FiniteFloat = Field(default=0.0, ge=0, le=1, description="Share of light lost in the corners.")
    dust: int = Field(default=0, ge=0, le=500, description="Specks on the lens from the start.")
    jpeg_quality: int | None = Field(default=None, ge=5, le=100, description="Compression on the way; none by default.")
    mpeg4: bool = Field(
        default=False, description="Compression from frame to frame, in groups of twelve, instead of jpeg_quality."
    )

    @model_validator(mode="after")
    def _film_is_even(self) -> Self:
        if self.mpeg4 and (self.width_px % 2 or self.height_px % 2):
            raise ValueError("mpeg4 takes an even width_px and height_px")
        return self


class DriftSection(_Section):
    """`[drift]`: what slowly changes from `from_s` on, by the minute. Light fades or grows exponentially."""

    from_s: FiniteFloat = Field(default=0.0, ge=0)
    light_per_minute: FiniteFloat = Field(default=0.0, gt=-1, le=1, description="Lamp ageing, dusk: change as a share.")
    colour_per_minute: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = Field(
        default=(0.0, 0.0, 0.0), description="Change of red, green and blue, each as a share."
    )
    dust_per_minute: FiniteFloat = Field(default=0.0, ge=0, le=500, description="Specks that settle on the lens.")
    turns_every_s: FiniteFloat | None = Field(
        default=None,
        gt=0,
        description="After so long it goes back the way it came, and on again: clouds, a wiped lens.",
    )

    @model_validator(mode="after")
    def _leaves_light(self) -> Self:
        if not all(-1 < share <= 1 for share in self.colour_per_minute):
            raise ValueError("colour_per_minute takes shares above -1, up to 1")
        return self

    def minutes(self, seconds: float) -> float:
        """How many minutes' worth of change there is `seconds` after the start."""
        since_s = max(0.0, seconds - self.from_s)
        if self.turns_every_s is not None:
            since_s = self.turns_every_s - abs(self.turns_every_s - since_s % (2 * self.turns_every_s))
        return since_s / 60


FaultKind = Literal["dropped", "frozen", "black", "overexposed", "half", "disconnect"]


class FaultSection(_Section):
    """One `[[fault]]`: what goes wrong with the camera, and when.

    dropped: each frame is lost with probability `share`. disconnect: none arrives. frozen: the last good frame again
    and again. black, overexposed: nothing to see. half: the lower half is what the frame before showed.
    """

    kind: FaultKind
    at_s: FiniteFloat = Field(ge=0)
    for_s: FiniteFloat = Field(gt=0)
    every_s: FiniteFloat | None = Field(default=None, gt=0, description="Again and again at this distance.")
    share: FiniteFloat = Field(default=1.0, gt=0, le=1, description="Of the frames in that time.")

    @model_validator(mode="after")
    def _ends_before_the_next(self) -> Self:
        if self.every_s is not None and self.every_s <= self.for_s:
            raise ValueError("every_s must be longer than for_s")
        return self


class Scenario(_Section):
    """A line to simulate."""

    description: str = ""
    seconds: FiniteFloat = Field(default=20.0, gt=0, le=86400)
    belt: BeltSection = BeltSection()
    encoder: EncoderSection = EncoderSection()
    ejector: EjectorSection = EjectorSection()
    fruit: FruitSection = FruitSection()
    camera: CameraSection = CameraSection()
    drift: DriftSection = DriftSection()
    fault: tuple[FaultSection, ...] = ()

    @model_validator(mode="after")
    def _lanes_hold_fruit(self) -> Self:
        lanes, width_mm = self.fruit.lanes, self.camera.height_px * self.camera.mm_per_px
        if width_mm / lanes < LONGEST_MM:
            raise ContradictionError(
                ("fruit", "lanes"),
                f"{width_mm:g} mm of belt leave {width_mm / lanes:.3g} mm for each of {lanes}, and a fruit is up to "
                f"{LONGEST_MM:g} mm long; take fewer lanes, or a larger camera.height_px or camera.mm_per_px",
            )
        return self

    @model_validator(mode="after")
    def _trigger_in_time(self) -> Self:
        every_mm, belt = self.camera.trigger_every_mm, self.belt
        fastest_mm_s = belt.speed_mm_s * (1 + (belt.ramps.share if belt.ramps else 0.0) + 4 * belt.jitter)
        if every_mm is not None and every_mm * self.camera.frame_rate_hz < fastest_mm_s:
            raise ValueError(f"at {fastest_mm_s:g} mm/s trigger_every_mm asks for more than frame_rate_hz")
        return self


def scenario_names() -> list[str]:
    """The scenarios that ship."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def load_scenario(name: str) -> Scenario:
    """Read a scenario that ships, or a TOML file; a `belt.picture` in it is looked for from the file's own folder.

    Raises:
        InputError: No such scenario; the message lists those there are.
    """
    if not name.endswith(".toml"):
        return parse_scenario(_shipped(name), name)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Scenario {name} cannot be read: {error}", expected="a TOML file in UTF-8") from error
    scenario = parse_scenario(text, name)
    picture = scenario.belt.picture
    return scenario if picture is None else changed(scenario, {"belt": {"picture": _beside(Path(name), picture)}})


def parse_scenario(text: str, name: str) -> Scenario:
    """Read a scenario from TOML. With `base = NAME` it says only what differs from one that ships.

    Args:
        text: The document.
        name: Where it came from, for messages.

    Raises:
        InputError: Broken TOML, an unknown base or key, or a value out of range.
    """
    try:
        document = tomllib.loads(text)
        base = document.pop("base", None)
        if base is not None:
            document = _merged(tomllib.loads(_shipped(str(base))), document)
        return Scenario.model_validate(document)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"Scenario {name}: {error}", expected="valid TOML") from error
    except ValidationError as error:
        problems = (explain(f"Scenario {name}", text, problem, Scenario) for problem in error.errors())
        raise InputError("\n".join(problems)) from error


def changed(scenario: Scenario, changes: dict[str, Any]) -> Scenario:
    """A scenario with some of its keys set, tables key by key.

    Raises:
        InputError: A value out of range.
    """
    try:
        return Scenario.model_validate(_merged(scenario.model_dump(), changes))
    except ValidationError as error:
        places = (f"{problem['loc'][-1]}: {problem['msg']}, found {problem['input']!r}" for problem in error.errors())
        raise InputError("\n".join(places)) from error


def _beside(file: Path, picture: Path) -> Path:
    found = file.absolute().parent / picture
    if not found.is_file():
        raise InputError(f"Scenario {file}: belt.picture: {found}: no such file", expected="a photograph or film")
    return found


def _shipped(name: str) -> str:
    names = scenario_names()
    if name not in names:
        raise InputError(f"No scenario is called '{name}'.", expected=f"one of {', '.join(names)}, or a TOML file")
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables key by key, anything else replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _folder() -> resources.abc.Traversable:
    return resources.files("simulator") / "scenarios"
