"""A real bundle on a simulated line: what `run --trace` leaves, and what `score` makes of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Ripeline

SCENE = """
base = "crowded"
seconds = 6.0
[fruit]
lanes = 3
[camera]
width_px = 960
height_px = 540
frame_rate_hz = 20.0
"""


NEAR = """
[ejector]
at_mm = 10.0
"""
"""A valve at the picture's edge, which fruit reach within 0.7 s of the last view that their decision needs."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, bundle_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("line")
    (folder / "mine.toml").write_text(SCENE)
    words = ["--source", f"sim:{folder / 'mine.toml'}?seed=2", "-o", folder / "out", "--trace"]
    assert ripeline("run", bundle_dir, *words).code == 0
    return folder / "out"


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_every_decision_was_seen_and_every_fruit_to_be_thrown_out_has_its_firing(out: Path) -> None:
    decisions, firings = _lines(out / "decisions.jsonl"), _lines(out / "firings.jsonl")
    with (out / "tracks.csv").open(newline="") as stream:
        views = {(row["fruit_id"], row["frame"]) for row in csv.DictReader(stream)}
    assert {(str(one["fruit_id"]), str(one["last_frame"])) for one in decisions} <= views
    out_ids = {one["fruit_id"] for one in decisions if one["verdict"] != "ACCEPT"}
    assert {one["fruit_id"] for one in firings} == out_ids
    ejections = _lines(out / "ejections.jsonl")
    assert [one["fruit_id"] for one in ejections] == [one["fruit_id"] for one in firings if one["reason"] is None]
    for one in firings:
        if one["reason"] is None:
            assert one["fired_mm"] <= one["planned_mm"] + 2  # ahead of it by the valve's latency


def test_a_line_without_faults_is_counted_and_its_strokes_hit(out: Path, ripeline: Ripeline) -> None:
    figures = ripeline("score", out, out, "--json").document
    counting, acting = figures["counting"], figures["acting"]
    assert counting["true"] >= 30
    assert counting["found"]["share"] >= 0.95
    assert abs(counting["count_error"]["share"]) <= 0.05
    assert figures["identity"]["f1"] >= 0.95
    assert acting["hit_own"]["share"] >= 0.95
    assert acting["late"]["k"] == 0
    assert figures["timing"]["capture_to_fire_ms"]["p50"] > 0
    for wrong in figures["worst"]:
        assert (out / wrong["picture"]).is_file()


@pytest.mark.parametrize(
    ("delay_ms", "stamps", "late"), [(40.0, "exposure", 0.0), (40.0, "read", 0.0), (800.0, "exposure", 1.0)]
)
def test_what_the_camera_hands_over_late_is_decided_and_thrown_out_late(
    delay_ms: float, stamps: str, late: float, tmp_path: Path, ripeline: Ripeline, bundle_dir: Path
) -> None:
    scene = f"{SCENE}delay_ms = {delay_ms}\nstamps = {json.dumps(stamps)}\n{NEAR}"
    (tmp_path / "late.toml").write_text(scene)
    words = ["--source", f"sim:{tmp_path / 'late.toml'}?seed=2", "-o", tmp_path / "out", "--trace"]
    if stamps == "read":
        (tmp_path / "line.toml").write_text(f"[camera]\ndelay_ms = {delay_ms}\n")
        words += ["--config", tmp_path / "line.toml"]
    assert ripeline("run", bundle_dir, *words).code == 0
    figures = ripeline("score", tmp_path / "out", tmp_path / "out", "--json").document
    decided_ms = figures["timing"]["capture_to_decision_ms"]
    assert decided_ms["n"] >= 20
    assert decided_ms["p50"] == delay_ms  # decided on the frame of the last view, when it could be read
    assert figures["acting"]["late"]["share"] == late
    decisions = {one["fruit_id"]: one for one in _lines(tmp_path / "out" / "decisions.jsonl")}
    for one in _lines(tmp_path / "out" / "firings.jsonl"):
        if one["fired_ns"] is not None:
            assert one["fired_ns"] >= decisions[one["fruit_id"]]["decided_ns"]


def test_an_empty_belt_is_run_and_scored(tmp_path: Path, ripeline: Ripeline, bundle_dir: Path) -> None:
    scene = 'base = "calm"\nseconds = 1.0\n[fruit]\nper_second = 0\n[camera]\nwidth_px = 480\nheight_px = 240\n'
    (tmp_path / "empty.toml").write_text(scene)
    clip = ripeline("simulate", "clip", tmp_path / "clip", "--scenario", tmp_path / "empty.toml", "--json").document
    assert (clip["frames"], clip["fruits"], clip["labels"]) == (30, 0, {})
    words = ["--source", f"sim:{tmp_path / 'empty.toml'}", "-o", tmp_path / "out", "--trace"]
    assert ripeline("run", bundle_dir, *words).code == 0
    assert (tmp_path / "out" / "truth.jsonl").read_bytes() == b""
    counting = ripeline("score", tmp_path / "out", tmp_path / "out", "--json").document["counting"]
    assert (counting["true"], counting["spurious"]["k"]) == (0, 0)
    page = (tmp_path / "out" / "score.html").read_text("utf-8")
    assert "no fruit was on the belt" in page
    assert "there was no fruit" in page
    assert "--trace" not in page
    assert "found once" not in page


def test_lanes_are_not_shifted_against_each_other_by_a_rolling_shutter(
    tmp_path: Path, ripeline: Ripeline, bundle_dir: Path
) -> None:
    """400 mm/s for 30 ms are 12 mm from the first row to the last, 8 from the first lane to the last."""
    (tmp_path / "rolling.toml").write_text(f"{SCENE}readout_ms = 30.0\n")
    words = ["--source", f"sim:{tmp_path / 'rolling.toml'}?seed=2", "-o", tmp_path / "out"]
    assert ripeline("run", bundle_dir, *words).code == 0
    truth, errors = _lines(tmp_path / "out" / "truth.jsonl"), dict[int, list[float]]()
    for one in _lines(tmp_path / "out" / "decisions.jsonl"):
        near = min(
            truth, key=lambda fruit: abs(fruit["position_mm"] - one["position_mm"]) + 9 * (fruit["lane"] != one["lane"])
        )
        errors.setdefault(one["lane"], []).append(one["position_mm"] - near["position_mm"])
    assert sorted(errors) == [0, 1, 2]
    middles = [median(each) for each in errors.values()]
    assert max(middles) - min(middles) < 1.5
