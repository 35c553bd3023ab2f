from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.localization.belt_colour import Colour, belt_colours, is_belt, known_belt
from edge_runtime.localization.localize import Localizer
from edge_runtime.records import BeltDirection, Frame, Image
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings
from simulator.line import SimulatedLine, open_scenario

if TYPE_CHECKING:
    from tests.conftest import Outcome

GREEN: Colour = (20, 80, 55)


def ycrcb(picture: Image) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), np.uint8)


def lit_belt(share: float) -> Image:
    """A green belt under uneven light, of which red fruit cover a share of every line."""
    light = np.linspace(0.75, 1.25, 200)[None, :, None]
    picture = np.broadcast_to(np.array(GREEN) * light, (120, 200, 3)).copy()
    for x in range(0, 200, 40):
        picture[10:110, x : x + round(40 * share)] = (180, 40, 30)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_belt_is_told_from_fruit_brighter_and_darker() -> None:
    picture = lit_belt(0.5)
    shows = is_belt(ycrcb(picture), [GREEN])
    red = picture[..., 0] > 120
    assert shows[~red].mean() > 0.98
    assert not shows[red].any()


def test_the_belt_under_fruit_is_that_beside_it() -> None:
    known = known_belt(ycrcb(lit_belt(0.7)), [GREEN])
    assert known is not None
    empty = ycrcb(lit_belt(0.0)).astype(int)
    assert np.abs(known.guess.expected.astype(int) - empty)[10:110].mean(axis=(0, 1)).max() < 8
    assert np.abs(known.scene.astype(int) - empty).max() < 40


def test_colours_of_another_belt_are_no_help() -> None:
    assert known_belt(ycrcb(lit_belt(0.5)), [(240, 60, 250)]) is None


def test_a_belt_has_few_colours_and_light_is_none() -> None:
    assert len(belt_colours(lit_belt(0.0))) <= 2
    assert belt_colours(np.full((4, 4, 3), (9, 80, 30), np.uint8)) == ((9, 80, 30),)
    two = np.concatenate([np.full((30, 9, 3), GREEN, np.uint8), np.full((10, 9, 3), (200, 200, 205), np.uint8)])
    assert belt_colours(two) == (GREEN, (200, 200, 205))


@pytest.fixture(scope="module")
def full_line(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedLine, list[Frame]]:
    """A green belt with four lanes full of fruit, that is looked at from when they have come."""
    file = tmp_path_factory.mktemp("full") / "full.toml"
    file.write_text(
        'base = "calm"\n[fruit]\nlanes = 4\nper_second = 40.0\nmin_spacing_mm = 70.0\nspacing = "regular"\n'
        '[belt]\nkind = "green"\n[camera]\nwidth_px = 640\nheight_px = 360\nmm_per_px = 0.6\n'
    )
    line = open_scenario(str(file), seed=1, duration_s=3.2)
    return line, [frame for frame in line.camera.frames() if frame.index >= 75]


def share_found(line: SimulatedLine, frames: list[Frame], colours: tuple[Colour, ...] | None) -> float:
    """Of the fruit that are wholly in each picture."""
    belt = BeltSettings(direction=BeltDirection.RIGHT, colours=colours)
    localizer, found, all_of_them = Localizer(LocalizeSettings(), belt), 0, 0
    for frame in frames:
        centres = [each.box.centre_px for each in localizer.detect(frame.image) if not each.touches_border]
        for fruit in line.world.fruits:
            x, y = line.world.centre_px(fruit, float(line.world.shutter.belt_mm[frame.index]))
            if 40 < x < 600:
                all_of_them += 1
                found += any(abs(x - at_x) < 15 and abs(y - at_y) < 15 for at_x, at_y in centres)
    return found / all_of_them


def test_on_a_belt_that_is_full_from_the_start_colours_beat_learning(
    full_line: tuple[SimulatedLine, list[Frame]],
) -> None:
    line, frames = full_line
    learned = share_found(line, frames, None)
    known = share_found(line, frames, ((19, 68, 47),))
    assert known > 0.98
    assert 1 - known < 0.3 * (1 - learned)


def test_the_verb_learns_from_clicks(
    full_line: tuple[SimulatedLine, list[Frame]], tmp_path: Path, ripeline_here
) -> None:
    _, frames = full_line
    source = tmp_path / "frames"
    source.mkdir()
    cv2.imwrite(str(source / "0.png"), frames[0].image[..., ::-1])
    file, still = tmp_path / "line.toml", tmp_path / "line-colour.png"
    looked = ripeline_here("line", "colour", "--source", source, "-o", file)
    assert looked.code == 0
    assert still.exists()
    assert not file.exists()
    shows = is_belt(ycrcb(frames[0].image), [(19, 68, 47)])
    inner = np.argwhere(cv2.erode(shows.astype(np.uint8), np.ones((15, 15), np.uint8)))
    at = [word for y, x in (inner[0], inner[len(inner) // 2]) for word in ("--at", f"{x},{y}")]
    done = ripeline_here("line", "colour", "--source", source, "-o", file, *at)
    assert done.code == 0
    from edge_runtime.settings.config_file import load_line_config

    colours = load_line_config(file).belt.colours
    assert colours is not None
    drawn = cv2.imread(str(still))
    assert is_belt(ycrcb(frames[0].image), colours).mean() == pytest.approx(shows.mean(), abs=0.08)
    assert drawn.shape == frames[0].image.shape
    assert (
        "no place"
        in ripeline_here("line", "colour", "--source", source, "-o", file, "--force", "--at", "9999,1").stderr
    )
    assert "exists already" in ripeline_here("line", "colour", "--source", source, "-o", file, "--at", "1,1").stderr
    whole = ripeline_here(
        "line", "colour", "--source", source, "-o", tmp_path / "b.toml", "--empty-belt", "--at", "1,1"
    )
    assert "give one of the two" in whole.stderr


@pytest.mark.parametrize(("fruit", "told"), [(0, False), (4, True)])
def test_fruit_on_a_belt_that_is_said_to_be_empty_are_told(
    fruit: int, told: bool, tmp_path: Path, ripeline_here: Callable[..., Outcome]
) -> None:
    file = tmp_path / "empty.toml"
    file.write_text(f'base = "calm"\nseconds = 4.0\n[belt]\nkind = "blue"\n[fruit]\nper_second = {fruit}\n')
    place = tmp_path / "new" / "line.toml"
    done = ripeline_here("line", "colour", "--source", f"sim:{file}", "-o", place, "--empty-belt")
    assert done.code == 0, done.stderr
    assert ("another colour than most" in done.stderr) is told
    assert place.exists()
    assert place.with_name("line-colour.png").exists()
