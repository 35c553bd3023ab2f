"""A recording of a simulated line: pictures, belt positions, truth and the settings that go with them."""

from __future__ import annotations

import csv
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import cv2

from edge_runtime.errors import InputError
from edge_runtime.records import Image
from simulator.cutout import Cutouts
from simulator.line import line_of
from simulator.scenario import Scenario, changed, load_scenario
from simulator.truth_file import write_truth
from simulator.world import build_world

_FOURCC = "mp4v"


@dataclass(frozen=True, slots=True)
class ClipSummary:
    """What was written. `source` is what `run --source` takes: the video, or the folder of pictures.

    `notices` are sentences for people.
    """

    folder: Path
    source: Path
    frames: int
    fruits: int
    labels: dict[str, int]
    notices: tuple[str, ...]


def write_clip(
    folder: Path,
    *,
    scenario: str = "calm",
    seconds: float | None = None,
    frame_rate_hz: float | None = None,
    belt_speed_mm_s: float | None = None,
    seed: int = 0,
    fruit_images: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClipSummary:
    """Write `clip.mp4` (or `frames/*.png` where OpenCV has no MPEG-4), `encoder.csv`, truth and `line.toml`.

    Args:
        folder: Created if missing.
        scenario: By name, or a TOML file.
        seconds: Length, instead of the scenario's own.
        frame_rate_hz: Frames a second, instead of the scenario's own.
        belt_speed_mm_s: Of the belt, instead of the scenario's own.
        seed: The same arguments and seed give the same clip.
        fruit_images: Labelled photographs whose fruit ride instead of drawn ones.
        progress: Called with (frames done, frames in all).

    Raises:
        InputError: A setting out of range, a run too short for a fruit to cross or without a picture, or photographs
            that cannot be used.
    """
    changes: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    if frame_rate_hz is not None:
        changes["camera"] = {"frame_rate_hz": frame_rate_hz}
    if belt_speed_mm_s is not None:
        changes["belt"] = {"speed_mm_s": belt_speed_mm_s}
    settings = changed(load_scenario(scenario), changes)
    cutouts = Cutouts(fruit_images) if fruit_images is not None else None
    line = line_of(build_world(settings, seed=seed, cutouts=cutouts), name="sim:clip", fruit_images=fruit_images)
    if not line.world.shutter.arrives.any():
        raise InputError(
            f"None of the {line.world.shutter.frames} pictures of {scenario} arrives: its camera's faults take all.",
            expected="a scenario in which at least one picture arrives",
            remedy="make the run longer than the faults, or give them another at_s, for_s or share",
        )
    folder.mkdir(parents=True, exist_ok=True)
    in_file: list[int] = []
    with (
        _open_sink(folder, settings) as sink,
        (folder / "encoder.csv").open("w", newline="", encoding="utf-8") as stream,
    ):
        encoder = csv.writer(stream, lineterminator="\n")
        encoder.writerow(["frame", "time_ns", "position_mm"])
        for frame in line.camera.frames():
            sink.write(frame.image)
            # A film knows no gaps: its frames lie one period apart, whenever they were exposed.
            time_ns = round(len(in_file) * 1e9 / settings.camera.frame_rate_hz)
            encoder.writerow([len(in_file), time_ns, f"{frame.belt_mm:.6f}"])
            in_file.append(frame.index)
            if progress:
                progress(frame.index + 1, line.world.shutter.frames)
    truth = [_as_filmed(row, in_file) for row in line.truth()]
    write_truth(folder, truth, line.scene() | {"film": True})
    (folder / "line.toml").write_text(
        f'[belt]\ndirection = "{line.direction}"\nmm_per_px = {line.mm_per_px}\nlanes = {line.lanes}\n\n'
        f"[camera]\nreadout_ms = {line.readout_ms}\n",
        encoding="utf-8",
    )
    labels = Counter(str(row["label"]) for row in truth)
    by_label = dict(sorted(labels.items()))
    return ClipSummary(folder, sink.path, len(in_file), len(truth), by_label, line.world.notices)


def _as_filmed(row: dict[str, Any], in_file: list[int]) -> dict[str, Any]:
    """Truth about a fruit with the numbers that its frames have in the film, from which lost ones are missing."""
    first, end = bisect_left(in_file, row["first_frame"]), bisect_right(in_file, row["last_frame"])
    return row | {"first_frame": first, "last_frame": max(first, end - 1)}


class _Sink(Protocol):
    path: Path

    def write(self, image: Image) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


class _VideoSink:
    def __init__(self, path: Path, writer: cv2.VideoWriter) -> None:
        self.path = path
        self._writer = writer

    def write(self, image: Image) -> None:
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.release()


class _PictureSink:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0
        path.mkdir(exist_ok=True)

    def write(self, image: Image) -> None:
        cv2.imwrite(str(self.path / f"{self._count:06d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _open_sink(folder: Path, scenario: Scenario) -> _Sink:
    camera = scenario.camera
    path = folder / "clip.mp4"
    fourcc = cv2.VideoWriter.fourcc(*_FOURCC)
    writer = cv2.VideoWriter(str(path), fourcc, camera.frame_rate_hz, (camera.width_px, camera.height_px))
    if writer.isOpened():
        return _VideoSink(path, writer)
    path.unlink(missing_ok=True)
    return _PictureSink(folder / "frames")
