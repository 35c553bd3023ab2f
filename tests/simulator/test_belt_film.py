"""A belt put together from a film of it, held against the belt that was filmed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.errors import InputError
from edge_runtime.records import BeltDirection, Image
from simulator import footage
from simulator.belt import belt_texture
from simulator.belt_film import BeltStrip, levelled, ring
from simulator.footage import belt_from_picture
from simulator.renderer import Renderer
from simulator.scenario import parse_scenario
from simulator.world import empty_world

WIDTH, HEIGHT, BELT = 320, 160, 1200
LEFT, RIGHT = BeltDirection.LEFT, BeltDirection.RIGHT


@pytest.fixture(scope="module")
def belt() -> Image:
    return belt_texture("green", height_px=HEIGHT, period_px=BELT, mm_per_px=0.4, rng=np.random.default_rng(4))


def _ways(until_px: int) -> list[int]:
    """Of a belt that runs now faster, now slower."""
    steps = np.round(7 + 3 * np.sin(np.arange(2 * until_px) / 9)).astype(int)
    ways = np.concatenate([[0], np.cumsum(steps)])
    return [int(way) for way in ways[ways <= until_px]]


def _filmed(belt: Image, direction: BeltDirection, until_px: int) -> Iterator[tuple[Image, int]]:
    """Pictures of the belt running past, brighter at one side, and its way at each."""
    uneven = np.linspace(0.7, 1.1, WIDTH)[None, :, None]
    for way in _ways(until_px):
        columns = (np.arange(WIDTH) + (way if direction is LEFT else -way)) % belt.shape[1]
        yield np.clip(belt[:, columns] * uneven, 0, 255).astype(np.uint8), way


def _film(file: Path, belt: Image, direction: BeltDirection, until_px: int) -> Path:
    """The same on disk, between rails that stand still, in the light of a lamp that fades by a third."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (WIDTH, HEIGHT + 24))
    assert writer.isOpened()
    rail = np.full((12, WIDTH, 3), 150, np.uint8)
    for picture, way in _filmed(belt, direction, until_px):
        lit = np.concatenate([rail, picture, rail]) * (1 - way / until_px / 3)
        writer.write(lit.astype(np.uint8)[..., ::-1])
    writer.release()
    return file


def _alike(part: Image, belt: Image, *, shift_px: int) -> tuple[float, int]:
    """Correlation of a part with the belt where it fits best, and how far from `shift_px` that is."""
    twice = np.concatenate([belt, belt], axis=1)
    found = cv2.matchTemplate(cv2.cvtColor(twice, cv2.COLOR_RGB2GRAY), cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), 5)[0]
    best = int(np.argmax(found[: belt.shape[1]]))
    off = (best - shift_px + belt.shape[1] // 2) % belt.shape[1] - belt.shape[1] // 2
    return float(found[best]), off


@pytest.mark.parametrize("direction", [LEFT, RIGHT])
def test_a_strip_shows_the_belt_as_filmed_wherever_the_light_falls(belt: Image, direction: BeltDirection) -> None:
    strip = BeltStrip(direction, most_px=10_000)
    for picture, way in _filmed(belt, direction, 800):
        strip.add(picture, way)
    found = strip.picture()
    assert found.shape == (HEIGHT, strip.length_px, 3)
    assert 800 - 11 - 8 < strip.length_px <= 800
    begins = WIDTH // 2 if direction is LEFT else WIDTH - WIDTH // 2 - strip.length_px
    true = belt[:, (np.arange(strip.length_px) + begins) % BELT].astype(int)
    # A column stands within a slit of the middle, where the light is 0.9 of the belt's own.
    assert np.abs(found - 0.9 * true).max() <= 0.04 * true.max() + 1


@pytest.mark.parametrize("error", [-0.1, 0.1])
def test_a_way_that_is_a_tenth_wrong_does_not_stretch_the_belt(belt: Image, error: float) -> None:
    strip = BeltStrip(LEFT, most_px=10_000)
    for picture, way in _filmed(belt, LEFT, 800):
        strip.add(picture, way * (1 + error))
    assert _alike(strip.picture()[:, -90:], belt, shift_px=WIDTH // 2 + strip.length_px - 90)[1] == 0


def test_a_strip_ends_where_it_has_its_length(belt: Image) -> None:
    strip = BeltStrip(LEFT, most_px=300)
    for picture, way in _filmed(belt, LEFT, 800):
        strip.add(picture, way)
    assert strip.full
    assert strip.picture().shape[1] == 300


@pytest.mark.parametrize("laps", [1.6, 2.4])
def test_a_belt_that_comes_round_in_the_film_has_its_own_length(belt: Image, laps: float) -> None:
    long = np.tile(belt, (1, 3, 1))[:, : round(laps * BELT)]
    one = ring(long, least_px=long.shape[1] // 2, overlap_px=WIDTH // 8)
    assert one.shape[1] in (BELT, 2 * BELT)
    assert np.array_equal(one, long[:, : one.shape[1]])


def test_a_belt_that_does_not_come_round_goes_over_from_its_end_to_its_beginning(belt: Image) -> None:
    part = belt[:, :600]
    one = ring(part, least_px=300, overlap_px=40)
    assert 300 <= one.shape[1] <= 560
    assert np.array_equal(one[:, 40:], part[:, 40 : one.shape[1]])
    # Across the joint the columns differ as neighbours do anywhere else.
    steps = np.abs(np.diff(one.astype(int), axis=1)).mean(axis=(0, 2))
    joint = np.abs(one[:, 0].astype(int) - one[:, -1]).mean()
    assert joint < np.percentile(steps, 99)


def test_what_the_lamp_did_meanwhile_is_taken_away_and_a_stain_stays(belt: Image) -> None:
    stained = belt.copy()
    stained[:, 400:460] = stained[:, 400:460] // 2
    fading = (stained * np.linspace([1.0, 1.0, 1.0], [0.6, 0.7, 0.8], BELT)).astype(np.uint8)
    even = levelled(fading, within_px=WIDTH).astype(float)
    ends = even[:, :150].mean(axis=(0, 1)) / even[:, -150:].mean(axis=(0, 1))
    assert ends == pytest.approx(belt[:, :150].mean(axis=(0, 1)) / belt[:, -150:].mean(axis=(0, 1)), abs=0.08)
    assert even[:, 410:450].mean() / even[:, 300:390].mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("direction", [LEFT, RIGHT])
def test_a_film_gives_the_belt_that_runs_past_in_it(belt: Image, direction: BeltDirection, tmp_path: Path) -> None:
    film = _film(tmp_path / "belt.mp4", belt, direction, 1500)
    whole = belt_from_picture(film, height_px=HEIGHT + 24, min_period_px=2 * WIDTH)
    assert whole.shape == (HEIGHT + 24, pytest.approx(BELT, rel=0.01), 3)
    inner = whole[16:-16]
    shift_px = _alike(inner[:, :90], belt[4:-4], shift_px=0)[1]
    for left in range(0, 1001, 50):
        correlation, off = _alike(inner[:, left : left + 90], belt[4:-4], shift_px=shift_px + left)
        assert correlation > 0.7, left
        assert abs(off) <= 0.01 * BELT, left
    columns = whole[16:-16].mean(axis=(0, 2))
    assert columns.std() / columns.mean() < 0.05


def test_a_scenario_runs_on_a_filmed_belt_and_needs_no_frames_of_one_width(belt: Image, tmp_path: Path) -> None:
    """The picture after a run of half the belt is another one than the first and its mirror image could give."""
    film = _film(tmp_path / "belt.mp4", belt, LEFT, 1500)
    text = f'base = "calm"\nseconds = 4.0\n[belt]\npicture = "{film.as_posix()}"\nspeed_mm_s = 100.0\n'
    text += f"[camera]\nwidth_px = 240\nheight_px = {HEIGHT + 24}\nmm_per_px = 0.5\nnoise_levels = 0.0\n"
    renderer = Renderer(empty_world(parse_scenario(text, "filmed"), seed=1))
    first, later = (renderer.render(index)[16:-16] for index in (0, 60))
    # 200 mm on, 400 pixels: nothing of the first picture is left in it.
    assert _alike(later[:, :90], belt[4:-4], shift_px=0)[0] > 0.75
    came, gone = (_alike(one[:, 60:150], belt[4:-4], shift_px=0)[1] for one in (first, later))
    assert (came - gone) % BELT == pytest.approx(400, abs=4)


def test_a_film_whose_belt_stands_or_hardly_runs_is_refused(belt: Image, tmp_path: Path) -> None:
    standing = tmp_path / "standing.mp4"
    writer = cv2.VideoWriter(str(standing), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (WIDTH, HEIGHT))
    for _ in range(40):
        writer.write(np.ascontiguousarray(belt[:, :WIDTH]))
    writer.release()
    with pytest.raises(InputError, match=r"standing\.mp4.*\n.*\n.*photograph"):
        belt_from_picture(standing, height_px=100, min_period_px=400)
    short = _film(tmp_path / "short.mp4", belt, RIGHT, 180)
    with pytest.raises(InputError, match=r"5\d% of the picture's width"):
        belt_from_picture(short, height_px=100, min_period_px=400)
    with pytest.raises(InputError, match=r"nothing\.mp4"):
        belt_from_picture(tmp_path / "nothing.mp4", height_px=270, min_period_px=10)


def test_a_long_film_takes_no_more_memory(belt: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "_MOST_BYTES", 3 * 100 * 500)
    film = _film(tmp_path / "belt.mp4", belt, LEFT, 1500)
    assert belt_from_picture(film, height_px=100, min_period_px=10).shape[1] <= 500


def test_real_footage_of_a_belt_becomes_one_with_what_lies_on_it(real_data: Path) -> None:
    """Three white plugs pass on a black belt, one after the other; each is put together whole and once."""
    film = real_data / "data" / "belt" / "belt_topdown_black_parts.mp4"
    belt = belt_from_picture(film, height_px=180, min_period_px=10)
    assert belt.shape[1] > 2 * 320 - 40
    white: npt.NDArray[np.uint8] = (belt[30:140].min(axis=2) > 170).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.concatenate([white, white], axis=1))
    plugs = [one for one in stats[1:] if one[4] > 1500 and 0 < one[0] <= belt.shape[1]]
    assert len(plugs) == 3
    assert [one[2] / one[3] for one in plugs] == pytest.approx([1.7] * 3, abs=0.35)
