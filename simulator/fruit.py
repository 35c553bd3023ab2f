"""What a simulated strawberry is: its ripeness, shape, seeds, calyx, colours and defects. Drawn by `sprite`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

LABELS = ("spoiled", "unripe", "turning", "ripe")
"""From the least to the most acceptable."""

TURNING_FROM = 0.4
RIPE_FROM = 0.68
SPOILED_FROM_SHARE = 0.025
"""Share of the surface that mould or rot must cover to spoil a fruit; see `Fruit.spoiled_share`."""

BRUISE_WEIGHT = 0.25
DIAMETER_MM = (25.0, 40.0)
LONGEST_MM = 46.0
"""No body is longer, without stem and sepals."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A lumpy solid of revolution, stem end blunt, tip round to pointed.

    `tip_exponent` is 0.5 for a round tip, about 0.9 for a pointed one. `oval` and `tri` are the shares by which the
    cross-section departs from a circle, with their phases.
    """

    diameter_mm: float
    length_mm: float
    shoulder_exponent: float
    tip_exponent: float
    oval: float
    oval_phase_rad: float
    tri: float
    tri_phase_rad: float


@dataclass(frozen=True, slots=True)
class Achenes:
    """The seeds on the skin. `paleness` runs from red-brown (0) to yellow (1) on ripe fruit."""

    count: int
    length_mm: float
    dimple_depth: float
    paleness: float


@dataclass(frozen=True, slots=True)
class Calyx:
    """The green leaves at the stem end; no sepals means a hulled fruit.

    `lift` is how far the sepals stand off the body (0 lying on it, 1 bent back), `dryness` runs from green to brown.
    """

    sepals: int
    length_share: float
    width_share: float
    lift: float
    dryness: float
    stem_mm: float


@dataclass(frozen=True, slots=True)
class Colouring:
    """How ripeness spreads over one fruit.

    `tip_lead` and `sun_lead` say how much riper than the average the tip and the sunny side are; `crimson` runs from
    orange-red to crimson cultivars and `yellow` from blue-green to yellow-green unripe skin; `lightness` multiplies the
    skin's brightness.
    """

    tip_lead: float
    sun_lead: float
    sun_phase_rad: float
    mottle: float
    crimson: float
    yellow: float
    lightness: float
    gloss: float


@dataclass(frozen=True, slots=True)
class Defect:
    """A blemish: a cap of the surface around `axial` (-1 stem end … 1 tip) and the angle `around_rad`."""

    kind: Literal["mould", "rot", "bruise"]
    axial: float
    around_rad: float
    radius_rad: float

    @property
    def share(self) -> float:
        """Share of a sphere's surface that such a cap covers."""
        return (1 - math.cos(self.radius_rad)) / 2


@dataclass(frozen=True, slots=True)
class Pose:
    """How a fruit lies under the camera.

    `yaw_rad` turns it in the picture (0: tip to the right, growing clockwise as seen), `tilt_rad` lifts the tip towards
    the camera, `roll_rad` turns it about its own axis.
    """

    yaw_rad: float = 0.0
    tilt_rad: float = 0.0
    roll_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class Fruit:
    """One strawberry. `texture_seed` fixes what is too small to name: mottling, mould hairs, the form of each sepal."""

    ripeness: float
    shape: Shape
    achenes: Achenes
    calyx: Calyx
    colouring: Colouring
    defects: tuple[Defect, ...]
    pose: Pose
    texture_seed: int

    @property
    def spoiled_share(self) -> float:
        """Share of the surface that is mouldy or rotten; a bruise counts for a quarter of its area."""
        return sum(d.share * (BRUISE_WEIGHT if d.kind == "bruise" else 1.0) for d in self.defects)

    @property
    def label(self) -> str:
        """The true label: spoiled if enough of the surface is, else by ripeness."""
        if self.spoiled_share >= SPOILED_FROM_SHARE:
            return "spoiled"
        if self.ripeness < TURNING_FROM:
            return "unripe"
        return "turning" if self.ripeness < RIPE_FROM else "ripe"

    def posed(self, pose: Pose) -> Fruit:
        """The same fruit, lying differently."""
        return replace(self, pose=pose)


def sample_fruit(rng: np.random.Generator, label: str, *, diameter_mm: tuple[float, float] = DIAMETER_MM) -> Fruit:
    """Draw a fruit of a label; its `label` property gives that label back, borderline cases included.

    Args:
        rng: Draws everything.
        label: One of `LABELS`.
        diameter_mm: The smallest and the largest, all equally likely.

    Raises:
        ValueError: The label is none of `LABELS`.
    """
    if label not in LABELS:
        raise ValueError(f"label must be one of {LABELS}, not {label!r}")
    ripeness = _sample_ripeness(rng, label)
    across_mm = float(rng.uniform(*diameter_mm))
    pose = Pose(yaw_rad=_angle(rng), tilt_rad=float(np.clip(rng.normal(0.05, 0.2), -0.25, 0.5)), roll_rad=_angle(rng))
    shape = Shape(
        diameter_mm=across_mm,
        length_mm=min(across_mm * float(rng.uniform(0.92, 1.4)), LONGEST_MM),
        shoulder_exponent=float(rng.uniform(0.32, 0.5)),
        tip_exponent=float(rng.uniform(0.5, 0.88)),
        oval=float(rng.uniform(0, 0.08)),
        oval_phase_rad=_angle(rng),
        tri=float(rng.uniform(0, 0.04)),
        tri_phase_rad=_angle(rng),
    )
    achenes = Achenes(
        count=int(rng.integers(150, 260)),
        length_mm=float(rng.uniform(1.1, 1.9)),
        dimple_depth=float(rng.uniform(0.5, 1.2)),
        paleness=float(rng.uniform(0, 1)),
    )
    calyx = Calyx(
        sepals=0 if rng.random() < 0.12 else int(rng.integers(7, 13)),
        length_share=float(rng.uniform(0.45, 1.0)),
        width_share=float(rng.uniform(0.16, 0.26)),
        lift=float(rng.uniform(0, 0.8)),
        dryness=float(rng.beta(1.2, 3.5)) if label != "spoiled" else float(rng.beta(1.5, 1.5)),
        stem_mm=float(rng.uniform(4, 10)) if rng.random() < 0.35 else 0.0,
    )
    colouring = Colouring(
        tip_lead=float(rng.uniform(0.2, 0.5)),
        sun_lead=float(rng.uniform(0, 0.28)),
        sun_phase_rad=facing_rad(pose) + float(rng.uniform(-1.9, 1.9)),
        mottle=float(rng.uniform(0.02, 0.08)),
        crimson=float(rng.uniform(0, 1)),
        yellow=float(rng.uniform(0, 1)),
        lightness=float(rng.uniform(0.85, 1.18)),
        gloss=float(rng.uniform(0.35, 1.0)),
    )
    defects = _sample_defects(rng, label, pose)
    return Fruit(ripeness, shape, achenes, calyx, colouring, defects, pose, int(rng.integers(2**31)))


def turned(fruit: Fruit, rng: np.random.Generator) -> Fruit:
    """The fruit in another look: any turn in the picture, slight roll and tilt, so that what showed still shows."""
    pose = fruit.pose
    return fruit.posed(
        Pose(
            yaw_rad=_angle(rng),
            tilt_rad=pose.tilt_rad + float(rng.uniform(-0.15, 0.15)),
            roll_rad=pose.roll_rad + float(rng.uniform(-0.35, 0.35)),
        )
    )


def _sample_ripeness(rng: np.random.Generator, label: str) -> float:
    low, high = {
        "unripe": (0.02, TURNING_FROM),
        "turning": (TURNING_FROM, RIPE_FROM),
        "ripe": (RIPE_FROM, 1.0),
        "spoiled": (0.15, 1.0),
    }[label]
    shape = (2.2, 1.0) if label == "spoiled" else (1.7, 1.7)
    return low + (high - low) * float(rng.beta(*shape)) * 0.9999


def _sample_defects(rng: np.random.Generator, label: str, pose: Pose) -> tuple[Defect, ...]:
    """Spoiling defects face the camera: a label that no picture can show would be noise, not truth."""
    if label != "spoiled":
        if rng.random() > 0.1:
            return ()
        return (Defect("bruise", float(rng.uniform(-0.5, 0.7)), _angle(rng), float(rng.uniform(0.15, 0.4))),)
    main_kind: Literal["mould", "rot", "bruise"] = "mould" if rng.random() < 0.6 else "rot"
    main = Defect(
        main_kind,
        float(rng.uniform(-0.55, 0.75)),
        facing_rad(pose) + float(rng.uniform(-0.7, 0.7)),
        float(rng.uniform(0.42, 1.5 if main_kind == "mould" else 0.95)),
    )
    extra_kinds: tuple[Literal["mould", "rot", "bruise"], ...] = ("mould", "rot", "bruise")
    extras = [
        Defect(
            extra_kinds[int(rng.integers(3))],
            float(rng.uniform(-0.7, 0.9)),
            _angle(rng),
            float(rng.uniform(0.15, 0.5)),
        )
        for _ in range(int(rng.integers(0, 3)))
    ]
    return (main, *extras)


def facing_rad(pose: Pose) -> float:
    """The angle around the body's axis that faces the camera."""
    return math.pi / 2 - pose.roll_rad


def _angle(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * math.pi))
