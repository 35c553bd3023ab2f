"""What a camera's compression does to its pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.records import Image
from simulator.codec import GROUP, FilmCoder
from simulator.line import open_source
from simulator.renderer import Renderer
from simulator.scenario import parse_scenario
from simulator.sensor import Sensor
from simulator.world import build_world

MOVING = 'base = "calm"\nseconds = 3.0\n[camera]\nwidth_px = 640\nheight_px = 360\nmm_per_px = 0.6\n'


def _renderer(more: str) -> Renderer:
    return Renderer(build_world(parse_scenario(MOVING + more, "moving"), seed=1))


def _error(delivered: Image, true: Image) -> float:
    return float(np.abs(delivered.astype(int) - true).mean())


def test_what_came_before_leaves_its_traces_in_mpeg4_and_not_in_jpeg() -> None:
    raw, film, still = (_renderer(more) for more in ("", "mpeg4 = true\n", "jpeg_quality = 50\n"))

    def flashed(index: int) -> Image:
        picture = raw.render(index)
        return np.asarray(255 - picture if index == GROUP else picture, np.uint8)

    other = FilmCoder(flashed, frames=90, rate_hz=30.0, size_px=(640, 360))
    for index in range(GROUP + 1, GROUP + 4):
        delivered = film.render(index)
        assert _error(delivered, raw.render(index)) > 0.5
        assert _error(delivered, other.picture(index)) > 0.5
        assert _error(delivered, still.render(index)) > 0.5
    # A new group begins afresh.
    assert np.array_equal(film.render(2 * GROUP), other.picture(2 * GROUP))


def test_an_mpeg4_frame_is_the_same_in_any_order() -> None:
    film, again = _renderer("mpeg4 = true\n"), _renderer("mpeg4 = true\n")
    in_order = {index: film.render(index) for index in range(3 * GROUP)}
    for index in (30, 5, 31, 12, 35, 0):
        assert np.array_equal(again.render(index), in_order[index])
    frames = 90
    assert film.render(frames - 1).shape == (360, 640, 3)


def test_a_line_with_mpeg4_delivers_every_frame(tmp_path: Path) -> None:
    file = tmp_path / "film.toml"
    file.write_text(MOVING + "mpeg4 = true\n[[fault]]\nkind = 'dropped'\nat_s = 1.0\nfor_s = 0.7\n", "utf-8")
    line = open_source(f"{file}?seed=1")
    frames = list(line.camera.frames())
    assert [frame.index for frame in frames] == [*range(30), *range(51, 90)]
    alone = _renderer("mpeg4 = true\n")
    assert np.array_equal(frames[40].image, alone.render(61))


def test_mpeg4_takes_the_place_of_a_jpeg_that_a_base_brings() -> None:
    both, film = _renderer("mpeg4 = true\njpeg_quality = 5\n"), _renderer("mpeg4 = true\n")
    assert np.array_equal(both.render(3), film.render(3))


def test_film_of_an_odd_height_is_refused() -> None:
    with pytest.raises(InputError, match="mpeg4 takes an even width_px and height_px"):
        parse_scenario("[camera]\nheight_px = 361\nmpeg4 = true\n", "odd")


def test_jpeg_is_encoded_with_red_and_blue_in_their_places() -> None:
    scenario = parse_scenario(
        MOVING + "jpeg_quality = 90\nnoise_levels = 0.0\nuneven_light = 0.0\nvignetting = 0.0\n", "edges"
    )
    sensor = Sensor(scenario.camera, scenario.drift, rng=np.random.default_rng(0), seed=0)
    light = np.full((360, 640, 3), (220, 20, 20), np.uint8)
    light[:, 1::2] = (20, 20, 220)
    light = np.repeat(light[:, :214], 3, axis=1)[:, :640].copy()
    delivered = sensor.develop(light, 0, 0.0)
    good, bad = (_through_jpeg(light, *codes) for codes in (("RGB2BGR", "BGR2RGB"), ("BGR2BGR", "BGR2BGR")))
    assert _error(delivered, good) < 0.1 * _error(bad, good)


def _through_jpeg(picture: Image, into: str, back: str) -> Image:
    """Encoded and decoded by OpenCV, whose pictures are BGR, after and before a change of the order of channels."""
    if into == "RGB2BGR":
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)  # type: ignore[assignment]
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if back == "BGR2RGB" else decoded  # type: ignore[return-value]


@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_vignetting_takes_its_share_of_light_from_the_corners(strength: float) -> None:
    scenario = parse_scenario(MOVING + f"noise_levels = 0.0\nuneven_light = 0.0\nvignetting = {strength}\n", "dark")
    sensor = Sensor(scenario.camera, scenario.drift, rng=np.random.default_rng(0), seed=0)
    picture = sensor.develop(np.full((360, 640, 3), 200, np.uint8), 0, 0.0).astype(int)[..., 1]
    assert picture[180, 320] == pytest.approx(200, abs=2)
    for corner in (picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1]):
        assert corner == pytest.approx(200 * (1 - strength), abs=3)
    assert picture[180, 0] == pytest.approx(200 * (1 - strength / 2), abs=3)


def test_dust_settles_by_the_minute_and_goes_when_the_drift_turns_back() -> None:
    scenario = parse_scenario(
        MOVING + "noise_levels = 0.0\nuneven_light = 0.0\n[drift]\ndust_per_minute = 60\nturns_every_s = 20\n", "dust"
    )
    sensor = Sensor(scenario.camera, scenario.drift, rng=np.random.default_rng(0), seed=0)
    grey = np.full((360, 640, 3), 200, np.uint8)
    clean, some, more, some_again, clean_again = (
        sensor.develop(grey, 0, at_s) for at_s in (0.0, 10.0, 20.0, 30.0, 40.0)
    )
    assert np.array_equal(some, some_again)
    assert np.array_equal(clean, clean_again)
    assert clean.min() > 195
    assert some.min() < 0.95 * 200
    assert (more < 195).sum() > (some < 195).sum() > 0
    assert (more <= some).all()
