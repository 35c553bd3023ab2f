"""The main job as a user does it, on simulated and on real fruit, held against what was promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Ripeline

THINGS_ON_BELTS = {"belt_topdown_black_parts.mp4": 5, "belt_side_fruit_veg.gif": 4, "belt_topdown_green_boxes.mp4": 3}
"""Counted by eye: three white parts and two cones; apple, broccoli, cauliflower and orange; two boxes and a packet."""


def test_forty_simulated_fruit_are_found_once_each(ripeline: Ripeline, bundle_dir: Path, tmp_path: Path) -> None:
    clip, out = tmp_path / "clip", tmp_path / "out"
    assert ripeline("simulate", "clip", clip, "--seconds", 20, "--seed", 11).code == 0
    done = ripeline("run", bundle_dir, "--source", clip / "clip.mp4", "-o", out, "--json")
    assert done.code == 0, done.stderr
    scored = ripeline("score", out, clip, "--json")
    assert scored.code == 0, scored.stderr
    counting = json.loads(scored.stdout)["counting"]
    assert (counting["true"], counting["unseen"]) == (40, 0)
    assert counting["found"]["k"] >= 39
    assert [counting[kind]["k"] for kind in ("split", "doubled", "spurious")] == [0, 0, 0]


@pytest.mark.parametrize("name", THINGS_ON_BELTS)
def test_things_on_real_belts_are_decided_once_each(
    ripeline: Ripeline, bundle_dir: Path, real_data: Path, tmp_path: Path, name: str
) -> None:
    done = ripeline("run", bundle_dir, "--source", real_data / "data" / "belt" / name, "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.stderr
    assert abs(json.loads(done.stdout)["fruits"] - THINGS_ON_BELTS[name]) <= 1
    assert len(read_lines(tmp_path / "out" / "decisions.jsonl")) == json.loads(done.stdout)["fruits"]


def test_real_strawberries_from_photographs_to_a_checked_bundle(
    ripeline: Ripeline, real_data: Path, tmp_path: Path
) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    words = ["--labels", "unripe,turning,ripe", "--alpha", 0.35]
    words += ["--weights", real_data / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"]
    trained = ripeline("train", real_data / "data" / "strawberry_train", "-o", run, *words, "--json")
    assert trained.code == 0, trained.stderr
    test = json.loads(trained.stdout)["test"]
    # One seed of the three whose means are 0.956 and 0.932; a seed by itself varies by a point or two.
    assert test["accuracy"] >= 0.93
    assert test["balanced_accuracy"] >= 0.90
    exported = ripeline("export", run, "-o", bundle, "--accept", "ripe", "--json")
    assert exported.code == 0, exported.stdout
    int8 = [one for one in json.loads(exported.stdout)["artefacts"] if one["name"] == "tflite-int8"]
    assert int8
    assert all(one["agreement"] >= 0.98 for one in int8)
    checked = ripeline("check", bundle, "--json")
    assert (checked.code, json.loads(checked.stdout)["result"]) == (0, "PASS")


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Objects of a JSON lines file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
