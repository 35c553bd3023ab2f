"""A simulated line behind the runtime's ports, and on disk."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.encoders.csv_file import CsvEncoder
from edge_runtime.errors import InputError
from edge_runtime.records import BeltDirection
from edge_runtime.settings.config_file import load_line_config
from ripeline.verbs.simulate import verb
from simulator import clip as clip_module
from simulator.clip import write_clip
from simulator.cutout import Cutouts, cut_out
from simulator.evidence import Evidence
from simulator.exposures import exposures_read
from simulator.footage import belt_from_picture
from simulator.line import line_of, open_scenario, open_source, scene_line
from simulator.renderer import Renderer
from simulator.scenario import parse_scenario, scenario_names
from simulator.world import build_world, empty_world

SHORT: dict[str, Any] = {"seconds": 3.0, "frame_rate_hz": 10.0, "belt_speed_mm_s": 400.0}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder, seed=7, **SHORT)
    return folder


def _truth(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


def test_the_clip_holds_every_frame(clip: Path) -> None:
    capture = cv2.VideoCapture(str(clip / "clip.mp4"))
    frames = list(itertools.takewhile(lambda read: read[0], iter(capture.read, None)))
    assert len(frames) == 30
    assert frames[0][1].shape == (540, 960, 3)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_the_encoder_file_gives_the_belt_at_each_exposure(clip: Path) -> None:
    with (clip / "encoder.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["frame"]) for row in rows] == list(range(30))
    assert [int(row["time_ns"]) for row in rows] == [round(index * 1e9 / 10) for index in range(30)]
    assert [float(row["position_mm"]) for row in rows] == pytest.approx([40.0 * index for index in range(30)])
    assert CsvEncoder(clip / "encoder.csv").position_mm(150_000_000) == pytest.approx(60)


def test_the_settings_file_is_one_that_the_line_reads(clip: Path) -> None:
    config = load_line_config(clip / "line.toml")
    assert (config.belt.direction, config.belt.mm_per_px) == (BeltDirection.RIGHT, 0.4)
    assert config.camera.readout_ms == 0


def test_the_settings_file_says_how_long_the_sensor_reads(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("base = 'calm'\n[camera]\nreadout_ms = 12.5\nwidth_px = 320\nheight_px = 160\n")
    write_clip(tmp_path / "clip", scenario=str(tmp_path / "mine.toml"), seconds=3.0, frame_rate_hz=5.0)
    assert load_line_config(tmp_path / "clip" / "line.toml").camera.readout_ms == 12.5


def test_truth_says_where_each_fruit_is_in_the_pictures(clip: Path) -> None:
    """Read the video as the line would: at the place that truth gives there is something that is not belt."""
    capture = cv2.VideoCapture(str(clip / "clip.mp4"))
    pictures = [capture.read()[1].astype(int) for _ in range(30)]
    truth = _truth(clip)
    assert len(truth) >= 5
    for fruit in truth:
        first, last = fruit["first_frame"], fruit["last_frame"]
        for index in (first, last):
            x = 960 - (fruit["position_mm"] - 40.0 * index) / 0.4
            y = fruit["across_mm"] / 0.4
            width, height = fruit["size_px"]
            assert width / 2 <= x <= 960 - width / 2
            assert height / 2 <= y <= 540 - height / 2
            middle = pictures[index][round(y) - 8 : round(y) + 8, round(x) - 8 : round(x) + 8]
            belt = np.median(pictures[index].reshape(-1, 3), axis=0)
            assert np.abs(middle.mean(axis=(0, 1)) - belt).sum() > 40


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(clip: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "again", seed=7, **SHORT)
    write_clip(tmp_path / "other", seed=8, **SHORT)
    for name in ("clip.mp4", "encoder.csv", "truth.jsonl", "line.toml"):
        assert (clip / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    for name in ("clip.mp4", "truth.jsonl"):
        assert (clip / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_without_mpeg4_the_clip_is_a_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_module, "_FOURCC", "nope")
    summary = write_clip(tmp_path, seed=1, seconds=2.0, frame_rate_hz=5.0, belt_speed_mm_s=400.0)
    assert summary.source == tmp_path / "frames"
    assert sorted(path.name for path in summary.source.iterdir()) == [f"{index:06d}.png" for index in range(10)]
    assert not (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"belt_speed_mm_s": -1.0}, {"frame_rate_hz": 0.0}])
def test_a_senseless_setting_is_refused_by_name(tmp_path: Path, wrong: dict[str, float]) -> None:
    name = next(iter(wrong)).replace("belt_", "")
    with pytest.raises(InputError, match=name):
        write_clip(tmp_path, seed=0, **{**SHORT, **wrong})


def test_the_camera_stamps_frames_as_the_contract_says() -> None:
    line = open_scenario("calm", seed=3, duration_s=2.5)
    frames = list(itertools.islice(line.camera.frames(), 4))
    assert (line.camera.name, line.camera.live, line.camera.dropped) == ("sim:calm", False, 0)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (540, 960, 3)
        assert frame.captured_ns == round(frame.index * 1e9 / 30)
        assert frame.belt_mm == line.encoder.position_mm(frame.captured_ns)


def test_a_closed_camera_stops_and_may_be_closed_again() -> None:
    camera = open_scenario("calm", duration_s=2.5).camera
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert list(frames) == []


def test_frames_are_rgb_and_the_same_in_any_order() -> None:
    line = open_scenario("demo", seed=5, duration_s=6.0)
    ripe = next(row for row in line.truth() if row["label"] == "ripe")
    index = (ripe["first_frame"] + ripe["last_frame"]) // 2
    picture = line.renderer.render(index)
    fruit = next(fruit for fruit in line.world.fruits if fruit.fruit_id == ripe["fruit_id"])
    x, y = (round(v) for v in line.world.centre_px(fruit, line.encoder.position_mm(round(index * 1e9 / 30)) or 0.0))
    red, green, blue = picture[y - 8 : y + 8, x - 8 : x + 8].reshape(-1, 3).mean(axis=0)
    assert red > 1.5 * max(green, blue)
    red, green, blue = np.median(picture.reshape(-1, 3), axis=0)
    assert blue > 1.5 * max(red, green)  # the belt of this scenario
    line.renderer.render(index - 3)
    assert np.array_equal(line.renderer.render(index), picture)
    assert np.array_equal(open_scenario("demo", seed=5, duration_s=6.0).renderer.render(index), picture)


def test_only_fruit_in_view_are_kept_drawn() -> None:
    renderer = open_scenario("calm", seed=1).renderer
    kept = []
    for index in (0, 200, 400, 590):
        renderer.render(index)
        kept.append(len(renderer._stamps))
    assert max(kept) <= 10


def test_boxes_alone_keep_no_skin_of_fruit_that_roll() -> None:
    scenario = parse_scenario('base = "calm"\nseconds = 4.0\n[fruit]\nrolling_share = 1.0', "rolling")
    line = line_of(build_world(scenario, seed=1), name="sim:rolling")
    first = line.world.fruits[0]
    boxes = [line.renderer.extent(fruit) for fruit in line.world.fruits]
    assert not line.renderer._rolling
    line.renderer.render(line.world.shutter.frames // 2)
    assert line.renderer._rolling
    assert [line.renderer.extent(fruit) for fruit in line.world.fruits] == boxes
    assert line.renderer._sprite(first, 0).outline.extent == boxes[0]


def _photographs(folder: Path) -> Path:
    """Two labels of plain discs, red and green, on grey."""
    for label, colour in (("green", (60, 190, 60)), ("red", (200, 30, 40))):
        (folder / label).mkdir(parents=True)
        for number in range(2):
            picture = np.full((120, 110, 3), 90, np.uint8)
            cv2.ellipse(picture, (55, 60), (40, 46), 10 * number, 0, 360, colour, -1)
            noise = np.random.default_rng(number).integers(-8, 8, picture.shape)
            picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), picture[..., ::-1])
    return folder


def test_a_photographed_fruit_is_cut_out_by_its_own_outline(tmp_path: Path) -> None:
    picture = cv2.imread(str(_photographs(tmp_path) / "red" / "0.png"))[..., ::-1]
    cut = cut_out(np.ascontiguousarray(picture))
    assert cut is not None
    solid = cut[..., 3] > 127
    assert solid.sum() == pytest.approx(np.pi * 40 * 46, rel=0.05)
    assert cut[solid][:, :3].mean(axis=0) == pytest.approx([200, 30, 40], abs=8)


def test_a_picture_without_a_fruit_gives_nothing() -> None:
    assert cut_out(np.full((100, 100, 3), 90, np.uint8)) is None


def test_photographed_fruit_ride_the_belt_with_their_labels(tmp_path: Path) -> None:
    data = _photographs(tmp_path / "data")
    summary = write_clip(tmp_path / "clip", seed=2, fruit_images=data, **SHORT)
    truth = _truth(tmp_path / "clip")
    assert {str(row["label"]) for row in truth} <= {"red", "green"}
    assert summary.fruits == len(truth) == sum(summary.labels.values())
    capture = cv2.VideoCapture(str(tmp_path / "clip" / "clip.mp4"))
    pictures = [capture.read()[1] for _ in range(30)]
    for row in truth:
        x = 960 - (row["position_mm"] - 40.0 * row["first_frame"]) / 0.4
        y = row["across_mm"] / 0.4
        _, green, red = pictures[row["first_frame"]][round(y), round(x)].astype(int)
        assert (red > 1.5 * green) if row["label"] == "red" else (green > 1.5 * red)


@pytest.mark.parametrize(
    ("mix", "share_red", "notices"),
    [
        ("", 0.5, []),
        ("mix = {red = 3.0, green = 1.0}", 0.75, []),
        ("mix = {red = 1.0}", 1.0, ["Pictures of green do not ride"]),
        ("mix = {red = 1.0, green = 1.0, blue = 2.0}", 0.5, ["names blue, of which"]),
    ],
)
def test_photographed_fruit_ride_as_often_as_the_mix_says(
    tmp_path: Path, mix: str, share_red: float, notices: list[str]
) -> None:
    scenario = parse_scenario(f'base = "calm"\nseconds = 60.0\n[fruit]\n{mix}\n', "mixed")
    world = build_world(scenario, seed=1, cutouts=Cutouts(_photographs(tmp_path)))
    labels = [fruit.label for fruit in world.fruits]
    assert len(labels) > 100
    assert labels.count("red") / len(labels) == pytest.approx(share_red, abs=0.15)
    assert len(world.notices) == len(notices)
    assert all(words in notice for words, notice in zip(notices, world.notices, strict=True))


def test_a_mix_of_labels_without_a_picture_is_refused(tmp_path: Path) -> None:
    scenario = parse_scenario('base = "calm"\n[fruit]\nmix = {ripe = 1.0}', "other")
    with pytest.raises(InputError, match=r"(?s)fruit.mix names ripe.*shares of .*red"):
        build_world(scenario, seed=1, cutouts=Cutouts(_photographs(tmp_path)))


def test_photographs_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    data = _photographs(tmp_path / "data")
    (data / "red" / "broken.png").write_bytes(b"no picture")
    summary = write_clip(tmp_path / "clip", seed=2, fruit_images=data, **SHORT)
    assert any("broken.png" in notice for notice in summary.notices)


def test_pictures_of_one_fruit_are_its_views_as_it_rolls(tmp_path: Path) -> None:
    """Green on one side, red on the other, and both sides are shown."""
    data = tmp_path / "data"
    (data / "mixed").mkdir(parents=True)
    for number, colour in enumerate(((60, 190, 60), (200, 30, 40))):
        picture = np.full((120, 110, 3), 90, np.uint8)
        cv2.ellipse(picture, (55, 60), (40, 46), 0, 0, 360, colour, -1)
        cv2.imwrite(str(data / "mixed" / f"{number}.png"), picture[..., ::-1])
    (data / "manifest.csv").write_text("file,label,fruit\nmixed/0.png,mixed,one\nmixed/1.png,mixed,one\n")
    scenario = parse_scenario('base = "calm"\nseconds = 4.0\n[fruit]\nrolling_share = 1.0', "rolling")
    line = line_of(build_world(scenario, seed=1, cutouts=Cutouts(data)), name="sim:rolling")
    sides = set()
    fruit = line.world.fruits[0]
    row = next(row for row in line.truth() if row["fruit_id"] == fruit.fruit_id)
    for index in range(row["first_frame"], row["last_frame"] + 1):
        x, y = (round(v) for v in line.world.centre_px(fruit, float(line.world.shutter.belt_mm[index])))
        red, green, _ = line.renderer.render(index)[y, x].astype(int)
        sides.add("red" if red > green else "green")
    assert fruit.rolls
    assert sides == {"red", "green"}


def test_without_a_second_view_a_photographed_fruit_does_not_roll(tmp_path: Path) -> None:
    scenario = parse_scenario('base = "calm"\nseconds = 4.0\n[fruit]\nrolling_share = 1.0', "rolling")
    world = build_world(scenario, seed=1, cutouts=Cutouts(_photographs(tmp_path)))
    assert not any(fruit.rolls for fruit in world.fruits)


def test_a_line_with_photographed_fruit_is_made_again_from_its_scene(tmp_path: Path) -> None:
    data = _photographs(tmp_path / "data")
    line = open_source(f"calm?seed=3&fruit-images={data}", duration_s=3.0)
    again = scene_line(line.scene())
    assert again is not None
    assert np.array_equal(again.renderer.render(60), line.renderer.render(60))
    shutil.rmtree(data)
    assert scene_line(line.scene()) is None


def test_a_clip_of_a_scenario_leaves_out_lost_frames_and_counts_the_rest(tmp_path: Path) -> None:
    summary = write_clip(tmp_path, scenario="flaky_camera", seconds=4.0, frame_rate_hz=15.0, seed=1)
    line = open_scenario("flaky_camera", seed=1, duration_s=4.0)
    capture = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    delivered = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    assert delivered == summary.frames < 60
    assert all(0 <= row["first_frame"] <= row["last_frame"] < delivered for row in _truth(tmp_path))
    scene = json.loads((tmp_path / "scene.json").read_text())
    assert scene["film"]
    assert scene["scenario"]["belt"]["kind"] == line.world.scenario.belt.kind == "blue"


def test_a_belt_picture_is_looked_for_beside_the_scenario_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "belts").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "mine" / "belts" / "red.png"), np.full((50, 80, 3), (0, 0, 200), np.uint8))
    (tmp_path / "mine" / "line.toml").write_text(
        'base = "calm"\nseconds = 2.0\n[belt]\npicture = "belts/red.png"\n[fruit]\nper_second = 0\n'
    )
    monkeypatch.chdir(tmp_path)
    line = open_scenario("mine/line.toml", seed=1)
    red, green, _ = line.renderer.render(5).mean(axis=(0, 1))
    assert red > 4 * green
    again = scene_line(line.scene())
    assert again is not None
    assert np.array_equal(again.renderer.render(5), line.renderer.render(5))
    (tmp_path / "mine" / "belts" / "red.png").unlink()
    assert scene_line(line.scene()) is None
    with pytest.raises(InputError, match=r"belt\.picture: .*mine/belts/red\.png: no such file"):
        open_scenario("mine/line.toml", seed=1)


def test_the_help_of_clip_names_every_scenario() -> None:
    text = CliRunner().invoke(verb, ["clip", "--help"]).output
    assert ", ".join(scenario_names()) in " ".join(text.split())


def test_a_clip_of_which_no_picture_arrives_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blind.toml").write_text('base = "calm"\n[[fault]]\nkind = "disconnect"\nat_s = 0\nfor_s = 9\n')
    with pytest.raises(InputError, match=r"None of the 90 pictures of .*blind\.toml arrives"):
        write_clip(tmp_path / "clip", scenario=str(tmp_path / "blind.toml"), seconds=3.0)
    assert not (tmp_path / "clip").exists()


def test_the_truth_of_a_run_that_ended_early_is_what_it_can_have_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_scenario("flaky_camera", seed=2, duration_s=30.0).truth()
    line = open_scenario("flaky_camera", seed=2, duration_s=30.0)
    outlined: list[int] = []
    outline = line.renderer.extent
    monkeypatch.setattr(line.renderer, "extent", lambda fruit: (outlined.append(fruit.fruit_id), outline(fruit))[1])
    good = line.world.shutter.good
    for until in (-1, 0, 150, 211, 10_000):
        outlined.clear()
        early = line.truth(until_frame=until)
        assert [row["fruit_id"] for row in early] == [row["fruit_id"] for row in whole if row["first_frame"] <= until]
        for row, later in zip(early, whole, strict=False):
            last = min(later["last_frame"], until)
            assert row == later | {"last_frame": last, "good_frames": int(good[row["first_frame"] : last + 1].sum())}
        # What lies farther up the belt costs no time.
        assert len(outlined) <= len(early) + 3
    assert 3 < len(line.truth(until_frame=150)) < len(whole) - 3


def test_the_last_picture_that_came_is_known_by_the_clock() -> None:
    line = open_scenario("calm", seed=2, duration_s=4.0)
    line.encoder.start_ns = 5_000_000_000
    read_ns = line.world.shutter.read_ns
    assert line.last_frame(5_000_000_000 + int(read_ns[0]) - 1) == -1
    assert line.last_frame(5_000_000_000 + int(read_ns[40])) == 40
    assert line.last_frame(5_000_000_000 + int(read_ns[41]) - 1) == 40
    assert line.last_frame(10**15) == line.world.shutter.frames - 1


def test_fruit_that_passed_before_the_first_picture_were_seen_by_nobody(tmp_path: Path) -> None:
    line = open_scenario("flaky_camera", seed=2, duration_s=10.0)
    whole, good = line.truth(), line.world.shutter.good
    late = line.truth(from_frame=100)
    assert [row | {"good_frames": 0} for row in late] == [row | {"good_frames": 0} for row in whole]
    for row in late:
        seen = range(max(row["first_frame"], 100), row["last_frame"] + 1)
        assert row["good_frames"] == sum(good[frame] for frame in seen)
    assert 0 < sum(row["good_frames"] == 0 for row in late) < len(late) - 3
    line.write_truth(tmp_path, from_frame=100)
    evidence = Evidence([], late, scene=json.loads((tmp_path / "scene.json").read_text("utf-8")))
    exposures = exposures_read(evidence)
    assert exposures is not None
    assert exposures.numbers.tolist() == [at for at in np.flatnonzero(line.world.shutter.arrives) if at >= 100]
    read = exposures_read(replace(evidence, summary={"frames": {"read": 7}}))
    assert read is not None
    assert read.numbers.tolist() == exposures.numbers[:7].tolist()


def test_the_first_picture_is_known_by_its_stamp() -> None:
    line = open_scenario("calm", seed=2, duration_s=4.0)
    line.encoder.start_ns = 5_000_000_000
    stamped_ns = 5_000_000_000 + line.world.shutter.stamped_ns
    assert line.first_frame(int(stamped_ns[40])) == 40
    assert line.first_frame(int(stamped_ns[40]) + 1) == 41
    assert line.first_frame(0) == line.world.shutter.frames
    assert {row["good_frames"] for row in line.truth(from_frame=line.first_frame(0))} == {0}


def test_a_real_belt_runs_as_its_picture_shows_it_and_comes_round(tmp_path: Path) -> None:
    """The photograph first, then its mirror image, so that the ends meet; scaled to the belt's width."""
    picture = np.zeros((100, 150, 3), np.uint8)
    picture[..., 0] = np.arange(150)
    picture[50:, :, 2] = 200
    cv2.imwrite(str(tmp_path / "belt.png"), picture[..., ::-1])
    belt = belt_from_picture(tmp_path / "belt.png", height_px=200, min_period_px=700)
    assert belt.shape == (200, 1200, 3)
    assert np.array_equal(belt[:, 300:600], belt[:, :300][:, ::-1])
    assert np.array_equal(belt[:, 600:], belt[:, :600])
    assert belt[150, 140].tolist() == pytest.approx([70, 0, 200], abs=2)
    scenario = parse_scenario(
        f'base = "calm"\nseconds = 3.0\n[belt]\npicture = "{(tmp_path / "belt.png").as_posix()}"', "real belt"
    )
    frame = Renderer(empty_world(scenario, seed=1)).render(10)
    upper, lower = frame[:250].mean(axis=(0, 1)), frame[290:].mean(axis=(0, 1))
    assert lower[2] > upper[2] + 100


def test_photographs_in_which_nothing_stands_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ripe").mkdir()
    cv2.imwrite(str(tmp_path / "ripe" / "0.png"), np.full((100, 100, 3), 90, np.uint8))
    with pytest.raises(InputError, match="ripe"):
        Cutouts(tmp_path).draw("ripe", np.random.default_rng(0), diameter_px=60)


@pytest.mark.parametrize("seconds", [float("nan"), 1e9, 0.0])
def test_a_duration_out_of_range_is_refused_before_anything_is_made(seconds: float) -> None:
    with pytest.raises(InputError, match="seconds"):
        open_scenario("calm", duration_s=seconds)


def test_a_seed_is_a_whole_number_in_plain_digits() -> None:
    with pytest.raises(InputError, match="whole number"):
        open_source("calm?seed=²")
