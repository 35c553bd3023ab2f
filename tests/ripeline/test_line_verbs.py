"""Verbs about one line: `collect` and `line`."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ripeline.main import cli

if TYPE_CHECKING:
    from tests.conftest import Outcome

ROOT = Path(__file__).parents[2]
SOURCE = "sim:calm?seed=2"

LINE = """
[belt]
direction = "right"
mm_per_px = 0.4

[[ejector]]
at_mm = 200.0
labels = ["spoiled"]
[ejector.gpio]
line = 17
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "photos"
    done = CliRunner().invoke(cli, ["collect", "--source", SOURCE, "-o", str(folder), "--duration", "3.5"])
    assert done.exit_code == 0, done.output
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_collect_keeps_several_views_of_every_fruit_and_one_group_for_each(collected: Path) -> None:
    kept = rows(collected)
    files = {path.relative_to(collected).as_posix() for path in (collected / "unsorted").iterdir()}
    assert {row["file"] for row in kept} == files
    views = [sum(row["fruit"] == fruit for row in kept) for fruit in {row["fruit"] for row in kept}]
    assert len(views) >= 3
    assert max(views) <= 6
    assert all(row["group"] == row["fruit"] for row in kept)
    places: dict[str, list[float]] = {}
    for row in kept:
        places.setdefault(row["fruit"], []).append(float(row["position_mm"]))
    assert all(max(each) - min(each) < 3 for each in places.values())


def test_fruit_of_two_recordings_of_one_name_stay_two_and_those_of_one_recording_the_same(
    tmp_path: Path, clip_dir: Path, ripeline_here: Callable[..., Outcome]
) -> None:
    def collected(source: Path, output: str) -> set[str]:
        done = ripeline_here("collect", "--source", source, "-o", tmp_path / output, "--duration", 2.5)
        assert done.code == 0, done.stderr
        return {path.name for path in (tmp_path / output / "unsorted").iterdir()}

    other = ripeline_here("simulate", "clip", tmp_path / "other", "--seconds", 2.5, "--seed", 5)
    assert other.code == 0
    first, again = collected(clip_dir / "clip.mp4", "a"), collected(clip_dir / "clip.mp4", "b")
    second = collected(tmp_path / "other" / "clip.mp4", "c")
    assert first == again
    fruit = [{name.rpartition("-")[0] for name in names} for names in (first, second)]
    assert fruit[0].isdisjoint(fruit[1])
    assert all(name.startswith("clip-") for name in fruit[0] | fruit[1])


def test_once_sorted_into_labels_the_folder_is_training_data(collected: Path, tmp_path: Path) -> None:
    from evaluation.dataset import read_dataset

    folder = Path(shutil.copytree(collected, tmp_path / "photos"))
    for number, picture in enumerate(sorted((folder / "unsorted").iterdir())):
        label = folder / ("ripe" if number % 2 else "unripe")
        label.mkdir(exist_ok=True)
        picture.rename(label / picture.name)
    (folder / "unsorted").rmdir()
    dataset = read_dataset(folder)
    assert len(dataset.items) == len(rows(collected))
    assert {item.fruit for item in dataset.items} == {row["fruit"] for row in rows(collected)}
    assert all(item.group == item.fruit for item in dataset.items)


def test_a_collected_crop_is_what_the_line_shows_the_model() -> None:
    import numpy as np

    from edge_runtime.preprocess import InputSpec, cut_out, to_model_input
    from edge_runtime.records import Box

    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    for box in (Box(40, 30, 50, 44), Box(-6, 80, 40, 44), Box(130, 5, 40, 30), Box(50, 40, 11, 9)):
        spec = InputSpec(size_px=48)
        np.testing.assert_array_equal(
            to_model_input(cut_out(image, box, spec.margin), None, spec), to_model_input(image, box, spec)
        )


def test_a_budget_is_kept(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["collect", "--source", SOURCE, "-o", str(tmp_path / "d"), "--duration", "9", "--budget", "1", "--json"]
    )
    assert done.exit_code == 0
    assert "ended early: 1 MB are full" in done.stderr
    assert json.loads(done.stdout)["refused"] == 1
    assert sum(path.stat().st_size for path in (tmp_path / "d" / "unsorted").iterdir()) <= 1_000_000


def test_unsure_is_what_the_table_of_the_line_calls_so(
    tmp_path: Path, bundle_dir: Path, ripeline_here: Callable[..., Outcome]
) -> None:
    costs = "".join(f"[policy.costs.{label}]\nACCEPT = 1\nDIVERT = 1\nUNDECIDED = 0\n" for label in ("ripe", "unripe"))
    (tmp_path / "line.toml").write_text(costs)
    words = ["collect", "--source", SOURCE, "--duration", "3.5", "--unsure", bundle_dir]
    assert ripeline_here(*words[:-2], "-o", tmp_path / "all").code == 0
    assert ripeline_here(*words, "-o", tmp_path / "unsure", "--config", tmp_path / "line.toml").code == 0
    fruit = {name: {row["fruit"] for row in rows(tmp_path / name)} for name in ("all", "unsure")}
    assert fruit["unsure"] == fruit["all"]


def test_line_check_says_what_follows_and_names_the_place_of_a_mistake(
    tmp_path: Path, ripeline_here: Callable[..., Outcome]
) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE)
    good = ripeline_here("line", "check", file)
    assert good.code == 0
    assert "Ejector 1: at 200 mm, any lane, DIVERT/UNDECIDED of spoiled (gpio)." in good.stderr
    file.write_text(LINE.replace("at_mm = 200.0", "at_mm = 200.0\nlatency_s = 0.01"))
    bad = ripeline_here("line", "check", file)
    assert bad.code == 2
    assert f"{file}:8:1: unknown key ejector.1.latency_s; did you mean latency_ms?" in bad.stderr


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('direction = "right"', 'direction = "right"\nspeed = 3', "4:1", "unknown key belt.speed"),
        ("mm_per_px = 0.4", 'mm_per_px = "0.4"', "4:1", "belt.mm_per_px"),
        ("line = 17", "line = -1", "10:1", "ejector.1.gpio.line"),
        ("mm_per_px = 0.4\n", "", "5:3", "an ejector needs belt.mm_per_px"),
        ("at_mm = 200.0", "lane = 3\nat_mm = 200.0", "7:1", "ejector 1 stands at lane 3, but the belt's last is 0"),
        (
            "line = 17",
            "line = 17\n[[ejector]]\nat_mm = 9.0\n[ejector.gpio]\nline = 17",
            "13:2",
            "ejector 2 has the output of ejector 1",
        ),
        ("line = 17", "line = 17\n[safety.heartbeat.gpio]\nline = 17", "11:2", "safety.heartbeat has the output"),
        ("line = 17", "line = 17\n[ejector.modbus]\nhost = 'x'\ncoil = 1", "6:3", "either gpio or modbus"),
        ("at_mm = 200.0", "at_mm = ", "7:9", "Invalid value"),
    ],
)
def test_a_mistake_is_named_with_line_and_column(tmp_path: Path, old: str, new: str, place: str, words: str) -> None:
    from edge_runtime.errors import ConfigError
    from edge_runtime.settings.config_file import load_line_config

    file = tmp_path / "line.toml"
    file.write_text(LINE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_line_config(file)
    assert words in str(caught.value)
    assert f"{file}:{place}:" in str(caught.value)


def test_an_ejector_that_never_gets_a_fruit_is_said_to(tmp_path: Path, ripeline_here: Callable[..., Outcome]) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE.replace('labels = ["spoiled"]\n', "") + "[[ejector]]\nat_mm = 300.0\nlatency_ms = 9.0\n")
    said = ripeline_here("line", "check", file).stderr
    assert "ejector 2 never gets a fruit: ejector 1 before it takes all" in said
    assert "ejector 1 has no latency_ms" in said
    assert "ejector 2 has no latency_ms" not in said
    file.write_text(LINE + "[[ejector]]\nat_mm = 300.0\n")
    assert "never gets" not in ripeline_here("line", "check", file).stderr


def test_the_schema_that_editors_use_is_the_one_in_force() -> None:
    printed = CliRunner().invoke(cli, ["line", "schema"]).output
    assert json.loads(printed) == json.loads((ROOT / "docs" / "line.schema.json").read_text("utf-8"))


def test_every_is_refused_without_a_scale(tmp_path: Path, clip_dir: Path, ripeline_here: Callable[..., Any]) -> None:
    source = tmp_path / "belt.mp4"
    shutil.copy(clip_dir / "clip.mp4", source)
    done = ripeline_here("collect", "--source", source, "-o", tmp_path / "d", "--every", "30")
    assert done.code == 2
    assert "belt.mm_per_px" in done.stderr
    assert not (tmp_path / "d").exists()
