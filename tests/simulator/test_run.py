"""A real bundle on a simulated line: what `run --trace` leaves, and what `score` makes of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
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
