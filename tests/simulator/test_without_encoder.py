"""Lines without an encoder: the belt's place by its texture alone, through ramps and stop-and-go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.cameras.watched_belt import WatchedBelt
from edge_runtime.localization.localize import Localizer
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings, TrackSettings
from edge_runtime.tracking.track import Tracker
from simulator.line import open_scenario

AT_MM = 200.0
"""Where the ejector stands behind the picture."""


@pytest.mark.parametrize("base", ["ramps", "stop_and_go"])
def test_fruit_are_before_the_ejector_when_the_texture_says_so(tmp_path: Path, base: str) -> None:
    scenario = tmp_path / "line.toml"
    scenario.write_text(
        f'base = "{base}"\n[camera]\nwidth_px = 480\nheight_px = 240\nmm_per_px = 0.8\n'
        '[encoder]\nslip = 0.0\n[belt]\nkind = "rubber"\n'
        + ("[belt.stops]\nevery_s = 4.0\nfor_s = 1.0\n" if base == "stop_and_go" else "")
    )
    line = open_scenario(str(scenario), seed=3, duration_s=9.0)
    world, watched = line.world, WatchedBelt(line.camera, line.direction, line.mm_per_px)
    belt = BeltSettings(direction=line.direction, mm_per_px=line.mm_per_px)
    localizer, tracker = Localizer(LocalizeSettings(), belt), Tracker(TrackSettings(), belt)
    places_mm: dict[int, float] = {}
    stamps, ahead_mm = [], []
    for seen in watched.frames():
        # What the actuator would have gone by just before this frame: the last two, and on at their speed.
        if seen.belt_mm is not None and len(stamps) > 1 and stamps[-2][1] is not None:
            (one_ns, one_mm), (two_ns, two_mm) = stamps[-2:]
            guessed_mm = two_mm + (two_mm - one_mm) * (seen.captured_ns - two_ns) / (two_ns - one_ns)
            ahead_mm.append(guessed_mm - seen.belt_mm)
        for view in tracker.update(seen, localizer.detect(seen.image)).tracked:
            if view.position_mm is not None:
                places_mm[view.fruit_id] = view.position_mm
        stamps.append((seen.captured_ns, seen.belt_mm))
    assert np.percentile(np.abs(ahead_mm), 99) < 3.0
    known_ns = np.array([at for at, way in stamps if way is not None])
    known_mm = np.array([way for _, way in stamps if way is not None])
    true_mm = world.motion.positions_mm(known_ns - line.encoder.start_ns)
    errors = []
    for fruit in world.fruits:
        reached_mm = fruit.position_mm + AT_MM
        if not true_mm[0] + 400 < reached_mm < true_mm[-1]:
            continue
        when_ns = np.interp(reached_mm, true_mm, known_ns)
        said_mm = np.interp(when_ns, known_ns, known_mm) - AT_MM
        errors.append(min(abs(said_mm - place) for place in places_mm.values()))
    assert len(errors) >= 6
    assert max(errors) < 5.0
