"""A simulated line behind the runtime's own ports: camera, encoder and ejector, and the truth."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.records import BeltDirection
from edge_runtime.settings.decision_settings import EjectorSettings
from simulator.camera import PacedCamera, SimulatedCamera
from simulator.cutout import Cutouts
from simulator.ejector import SimulatedEjector
from simulator.encoder import SimulatedEncoder
from simulator.renderer import Renderer
from simulator.scenario import Scenario, changed, load_scenario
from simulator.truth_file import write_lines, write_truth
from simulator.world import World, build_world

_OPTIONS = ("seed", "clock", "fruit-images")
_PREPARE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """What `run --source sim:NAME` needs, and what its decisions are scored against."""

    camera: SimulatedCamera | PacedCamera
    encoder: SimulatedEncoder
    ejector: SimulatedEjector
    direction: BeltDirection
    mm_per_px: float
    world: World
    renderer: Renderer
    fruit_images: Path | None = None

    @property
    def readout_ms(self) -> float:
        """Of a rolling shutter, from the first row to the last; frames have the time of the middle one."""
        return self.world.scenario.camera.readout_ms

    @property
    def lanes(self) -> int:
        """Lanes of equal width across the picture."""
        return self.world.scenario.fruit.lanes

    def ejectors(self) -> list[EjectorSettings]:
        """What `line.toml` may say of the ejectors, one a lane."""
        valve = self.world.scenario.ejector
        return [
            EjectorSettings(at_mm=valve.at_mm, latency_ms=valve.latency_ms, width_mm=valve.width_mm, lane=lane)
            for lane in range(self.lanes)
        ]

    def truth(self, *, from_frame: int = 0, until_frame: int | None = None) -> list[dict[str, Any]]:
        """One object a fruit, as in `truth.jsonl`; see `truth_of`."""
        return truth_of(self.world, self.renderer, from_frame=from_frame, until_frame=until_frame)

    @property
    def is_over(self) -> bool:
        """Whether by the real clock its last picture has come."""
        return self.last_frame(time.monotonic_ns()) == self.world.shutter.frames - 1

    def last_frame(self, time_ns: int) -> int:
        """The last exposure whose picture can be read at a time of the clock; -1 before the first one's."""
        read_ns = self.world.shutter.read_ns
        return int(np.searchsorted(read_ns, time_ns - self.encoder.start_ns, side="right")) - 1

    def first_frame(self, stamped_ns: int) -> int:
        """The first exposure that is stamped so or later, by the clock; beyond the last one for 0, which is none."""
        if stamped_ns == 0:
            return self.world.shutter.frames
        return int(np.searchsorted(self.world.shutter.stamped_ns, stamped_ns - self.encoder.start_ns, side="left"))

    def scene(self, *, from_frame: int = 0) -> dict[str, Any]:
        """What `scene.json` holds: how to make the same line again, and where things stand."""
        return {
            "from_frame": from_frame,
            "seed": self.world.seed,
            "fruit_images": None if self.fruit_images is None else str(self.fruit_images.absolute()),
            "film": False,
            "scenario": self.world.scenario.model_dump(mode="json"),
        }

    def write_truth(self, folder: Path, *, from_frame: int = 0, until_frame: int | None = None) -> None:
        """Write `truth.jsonl` and `scene.json`, and `ejections.jsonl` if there were any, for `ripeline score`.

        Args:
            folder: Where to.
            from_frame: The first exposure that a run which came late has seen.
            until_frame: The last exposure that a run which ended early has seen; None for all.
        """
        if self.ejector.actions:
            write_lines(folder / "ejections.jsonl", [asdict(action) for action in self.ejector.actions])
        truth = self.truth(from_frame=from_frame, until_frame=until_frame)
        write_truth(folder, truth, self.scene(from_frame=from_frame))

    def prepare_truth(self, ended: Event) -> None:
        """Outline fruit as they pass by the real clock until `ended` is set: so the truth is soon written then."""
        done = 0
        while not ended.wait(_PREPARE_EVERY_S):
            belt_mm = self.world.motion.position_mm(max(0, time.monotonic_ns() - self.encoder.start_ns))
            entered = self.world.entered(belt_mm)
            for fruit in entered[done:]:
                self.renderer.extent(fruit)
            done = len(entered)


def open_source(text: str, *, duration_s: float | None = None) -> SimulatedLine:
    """Set up what stands after `sim:` in a source.

    Args:
        text: Name of a scenario that ships or a TOML file, and perhaps options as in an address:
            `calm?seed=3&clock=real&fruit-images=DATA`. The clock is `virtual` (every frame, as fast as it is read)
            unless it is `real`.
        duration_s: Instead of the scenario's own.

    Raises:
        InputError: No such scenario or option, or a duration in which no fruit crosses the picture.
    """
    name, options = read_source(text)
    images = options.get("fruit-images")
    return open_scenario(
        name,
        seed=int(options.get("seed", "0")),
        duration_s=duration_s,
        cutouts=Cutouts(Path(images)) if images else None,
        paced=options.get("clock") == "real",
    )


def read_source(text: str) -> tuple[str, dict[str, str]]:
    """The scenario and the options of what stands after `sim:`, checked without laying any fruit.

    Raises:
        InputError: No such scenario or option, or an option twice.
    """
    name, _, query = text.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    unknown = [key for key in options if key not in _OPTIONS]
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    whole = options.get("seed", "0").isdecimal() and options.get("clock", "real") in ("real", "virtual")
    if unknown or twice or not whole or (query and not pairs):
        wrong = f"{unknown[0]} is" if unknown else f"{twice[0]} stands there twice and is" if twice else f"{query} is"
        raise InputError(
            f"sim:{text}: {wrong} not understood.",
            expected=f"options {', '.join(_OPTIONS)}, each once; a whole number as seed; real or virtual as clock",
            remedy="for example sim:calm?seed=3&clock=real",
        )
    load_scenario(name)
    return name, options


def open_scenario(
    name: str,
    *,
    seed: int = 0,
    duration_s: float | None = None,
    cutouts: Cutouts | None = None,
    paced: bool = False,
) -> SimulatedLine:
    """Set up a scenario.

    Args:
        name: As in `scenario_names()`, or the path of a TOML file.
        seed: The same name, seed and duration give the same frames.
        duration_s: Instead of the scenario's own.
        cutouts: Photographed fruit to use instead of drawn ones.
        paced: By the real clock.

    Raises:
        InputError: No such scenario, or a duration in which no fruit crosses the picture.
    """
    scenario = load_scenario(name)
    if duration_s is not None:
        scenario = changed(scenario, {"seconds": duration_s})
    world = build_world(scenario, seed=seed, cutouts=cutouts)
    images = cutouts.folder if cutouts else None
    return line_of(world, name=f"sim:{name}", paced=paced, fruit_images=images)


def line_of(
    world: World,
    *,
    name: str,
    paced: bool = False,
    fruit_images: Path | None = None,
    start_ns: int | None = None,
    renderer: Renderer | None = None,
) -> SimulatedLine:
    """Put a world behind the ports.

    Args:
        world: With its fruit.
        name: Of the camera.
        paced: By the real clock.
        fruit_images: Where its fruit were cut out from.
        start_ns: The real clock's time at which the belt starts; None for when the camera is read.
        renderer: Of this world, where there is one already.
    """
    renderer, encoder = renderer or Renderer(world), world.encoder(start_ns=start_ns or 0)
    frames = SimulatedCamera(world, encoder, name=name, renderer=renderer)
    return SimulatedLine(
        camera=PacedCamera(frames, encoder, start_ns=start_ns) if paced else frames,
        encoder=encoder,
        ejector=SimulatedEjector(world, start_ns=start_ns or 0),
        direction=BeltDirection.RIGHT,
        mm_per_px=world.scenario.camera.mm_per_px,
        world=world,
        renderer=renderer,
        fruit_images=fruit_images,
    )


def scene_line(scene: dict[str, Any]) -> SimulatedLine | None:
    """The line that a `scene.json` describes; None if photographs of its fruit or its belt are no longer there."""
    scenario = Scenario.model_validate(scene["scenario"])
    folder = Path(scene["fruit_images"]) if scene.get("fruit_images") else None
    picture = scenario.belt.picture
    if (folder is not None and not folder.is_dir()) or (picture is not None and not picture.is_file()):
        return None
    cutouts = None if folder is None else Cutouts(folder)
    world = build_world(scenario, seed=scene["seed"], cutouts=cutouts)
    return line_of(world, name="sim:scene", fruit_images=folder)


def truth_of(
    world: World, renderer: Renderer, *, from_frame: int = 0, until_frame: int | None = None
) -> list[dict[str, Any]]:
    """What is known of every fruit that is wholly visible in at least one exposure.

    Args:
        world: With its fruit.
        renderer: Of that world.
        from_frame: Exposures before it are no good frames: nobody saw them.
        until_frame: The last exposure that counts; None for all.
    """
    rows = []
    last = world.shutter.frames - 1 if until_frame is None else min(until_frame, world.shutter.frames - 1)
    if last < 0:
        return []
    good = np.concatenate([[0], np.cumsum(world.shutter.good)])
    for fruit in world.entered(float(world.shutter.belt_mm[last])):
        extent = renderer.extent(fruit)
        frames = world.frames_in_full(fruit, extent.size_px[0], extent.offset_px[0])
        if frames is None or frames[0] > last:
            continue
        frames = frames[0], min(frames[1], last)
        rows.append(
            {
                "fruit_id": fruit.fruit_id,
                "label": fruit.label,
                "ripeness": None if fruit.ripeness is None else round(fruit.ripeness, 4),
                "position_mm": round(world.wheel.at_mm(fruit.position_mm), 3),
                "across_mm": round(fruit.across_mm, 3),
                "lane": fruit.lane,
                "diameter_mm": round(fruit.diameter_mm, 2),
                "size_px": list(extent.size_px),
                "offset_px": list(extent.offset_px),
                "first_frame": frames[0],
                "last_frame": frames[1],
                "good_frames": int(good[max(frames[1] + 1, from_frame)] - good[max(frames[0], from_frame)]),
                "captured_ns": int(world.shutter.exposed_ns[frames[0]]),
            }
        )
    return rows
