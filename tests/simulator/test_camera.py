"""What a faulty camera delivers, and the same frames at the pace of the clock."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.records import Box, Detection, Frame, TrackedDetection
from edge_runtime.reporters.tracks import TracksFile
from simulator.line import SimulatedLine, line_of, open_scenario
from simulator.scenario import Scenario
from simulator.world import build_world


def _line(*faults: dict[str, Any], paced: bool = False) -> SimulatedLine:
    document = Scenario().model_dump() | {"seconds": 2.5, "fault": faults}
    document["camera"] |= {"width_px": 320, "height_px": 200, "frame_rate_hz": 20.0}
    return line_of(build_world(Scenario.model_validate(document), seed=2), name="sim:test", paced=paced)


def _fault(kind: str, at_s: float, for_s: float = 0.1) -> dict[str, Any]:
    return {"kind": kind, "at_s": at_s, "for_s": for_s}


def test_a_camera_that_loses_its_last_pictures_goes_on_to_the_end() -> None:
    line = _line(_fault("disconnect", 0.5, 9.0), paced=True)
    frames = list(line.camera.frames())
    assert {frame.index for frame in frames} <= set(range(10))
    assert time.monotonic_ns() >= line.encoder.start_ns + int(line.world.shutter.exposed_ns[-1])
    assert line.is_over
    assert line.camera.dropped == 50 - len(frames)


def test_each_fault_shows_what_it_should() -> None:
    faults = [_fault("frozen", 0.5), _fault("black", 0.8), _fault("overexposed", 1.1), _fault("half", 1.4)]
    line = _line(*faults, _fault("disconnect", 1.7, 0.3))
    frames = {frame.index: frame for frame in line.camera.frames()}
    images = {index: frame.image for index, frame in frames.items()}
    assert np.array_equal(images[10], images[9])
    assert images[16].max() <= 3
    assert np.percentile(images[22], 5) == 255
    good = line.renderer.render(28)
    assert np.array_equal(images[28][:100], good[:100])
    assert np.array_equal(images[28][100:], images[27][100:])
    assert sorted(set(range(50)) - set(frames)) == [34, 35, 36, 37, 38, 39]
    assert line.camera.dropped == 6
    assert np.array_equal(images[30], line.renderer.render(30))


def test_what_the_camera_could_not_show_does_not_count_as_good() -> None:
    blind = _line(_fault("black", 0.0, 99.0)).truth()
    assert blind
    assert {row["good_frames"] for row in blind} == {0}
    assert all(row["good_frames"] == row["last_frame"] - row["first_frame"] + 1 for row in _line().truth())


def test_the_worst_day_is_the_same_every_time_and_in_any_order() -> None:
    first, again = (open_scenario("worst_day", seed=6, duration_s=4.0) for _ in range(2))
    late, early = first.renderer.render(90), first.renderer.render(20)
    assert np.array_equal(again.renderer.render(20), early)
    assert np.array_equal(again.renderer.render(90), late)
    assert np.array_equal(first.renderer.render(90), late)


def test_in_real_time_frames_come_no_earlier_than_they_were_exposed() -> None:
    line = _line(paced=True)
    start_ns, seen = time.monotonic_ns(), 0
    for frame in line.camera.frames():
        assert frame.captured_ns <= time.monotonic_ns()
        assert frame.captured_ns >= start_ns
        assert frame.belt_mm == line.encoder.position_mm(frame.captured_ns)
        seen += 1
    assert line.camera.live
    assert seen + line.camera.dropped == 50


def test_a_camera_that_draws_too_slowly_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    document = Scenario().model_dump() | {"seconds": 4.0}
    document["camera"] |= {"width_px": 1920, "height_px": 1080, "frame_rate_hz": 900.0, "exposure_ms": 1.0}
    line = line_of(build_world(Scenario.model_validate(document), seed=2), name="slow", paced=True)
    for _ in line.camera.frames():
        if caplog.records:
            break
    line.camera.close()
    (said,) = caplog.records
    assert "behind the clock" in said.getMessage()


def test_tracks_are_written_as_they_were_seen(tmp_path: Path) -> None:
    view = TrackedDetection(4, Detection(Box(1, 2, 30, 40), 900.0), 7, 233, 512.34567, None, 1)
    with TracksFile(tmp_path / "tracks.csv") as tracks:
        tracks.add(Frame(np.zeros((9, 9, 3), np.uint8), 7, 233, 400.0), [view])
    with (tmp_path / "tracks.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row == {
        "frame": "7", "fruit_id": "4", "position_mm": "512.346", "across_mm": "", "lane": "1", "box": "1 2 30 40",
        "captured_ns": "233", "belt_mm": "400.000",
    }  # fmt: skip
