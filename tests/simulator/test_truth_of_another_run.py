"""A run is scored against its own truth, and no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.line import open_scenario
from simulator.truth_file import line_id_beside

if TYPE_CHECKING:
    from tests.conftest import Ripeline

SECONDS = 4.0


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, ripeline: Ripeline, bundle_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "out"
    words = ["--source", "sim:calm?seed=5", "-o", folder, "--duration", SECONDS]
    assert ripeline("run", bundle_dir, *words).code == 0
    return folder


def _truth(folder: Path, name: str = "calm", *, seed: int, seconds: float = SECONDS) -> Path:
    folder.mkdir()
    open_scenario(name, seed=seed, duration_s=seconds).write_truth(folder)
    return folder


def test_a_run_and_the_truth_it_left_know_each_other(out: Path, tmp_path: Path, ripeline: Ripeline) -> None:
    again = _truth(tmp_path / "again", seed=5)  # the same line, made anew
    for truth in (out, out / "truth.jsonl", again):
        outcome = ripeline("score", out, truth)
        assert outcome.code == 0
        assert "line_id" not in outcome.stderr


@pytest.mark.parametrize(
    ("name", "seed", "seconds"), [("calm", 6, SECONDS), ("dusk", 5, SECONDS), ("calm", 5, SECONDS + 1)]
)
def test_the_truth_of_another_line_is_refused(
    name: str, seed: int, seconds: float, out: Path, tmp_path: Path, ripeline: Ripeline
) -> None:
    other = _truth(tmp_path / "other", name, seed=seed, seconds=seconds)
    before = {file.name for file in out.iterdir()}
    refused = ripeline("score", out, other)
    assert refused.code == 2
    assert f"{other / 'truth.jsonl'} is the truth of another line" in refused.stderr
    assert "sim:calm" in refused.stderr
    assert {file.name for file in out.iterdir()} == before
    alone = tmp_path / "truth.jsonl"  # each line of it says so, without scene.json beside it too
    shutil.copy(other / "truth.jsonl", alone)
    assert ripeline("score", out, alone).code == 2


def test_a_truth_beside_the_scene_of_another_is_refused(out: Path, tmp_path: Path, ripeline: Ripeline) -> None:
    other = _truth(tmp_path / "other", seed=6)
    shutil.copy(out / "truth.jsonl", other)
    refused = ripeline("score", out, other)
    assert refused.code == 2
    assert "2 different lines" in refused.stderr


def test_truth_that_says_nothing_of_itself_is_taken_with_a_notice(
    out: Path, tmp_path: Path, ripeline: Ripeline
) -> None:
    rows = [json.loads(line) for line in (out / "truth.jsonl").read_text("utf-8").splitlines()]
    by_hand = tmp_path / "truth.jsonl"
    by_hand.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "line_id"}) + "\n" for row in rows))
    outcome = ripeline("score", out, by_hand)
    assert outcome.code == 0
    assert f"nothing says that {by_hand} is the truth of {out}" in outcome.stderr


def test_a_clip_and_a_run_of_it_know_each_other(tmp_path: Path, ripeline: Ripeline, bundle_dir: Path) -> None:
    clips = [tmp_path / "first", tmp_path / "second"]
    for seed, clip in enumerate(clips):
        assert ripeline("simulate", "clip", clip, "--seconds", SECONDS, "--seed", seed).code == 0
    assert ripeline("run", bundle_dir, "--source", clips[0] / "clip.mp4", "-o", tmp_path / "out").code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert summary["line_id"] == line_id_beside(clips[0])
    assert ripeline("score", tmp_path / "out", clips[0]).code == 0
    assert ripeline("score", tmp_path / "out", clips[1]).code == 2
