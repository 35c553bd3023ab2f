"""Where things are, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InputError
from simulator.belt import motion_kernel
from simulator.light import Light
from simulator.optics import lay, make_layer
from simulator.renderer import Renderer
from simulator.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from simulator.sprite import Sprite
from simulator.world import LARGEST_MM, build_world, empty_world


def _scenario(**sections: dict[str, float]) -> Scenario:
    document = Scenario().model_dump()
    for name, section in sections.items():
        document[name] |= section
    return Scenario.model_validate(document)


def test_a_fruit_rides_with_the_belt_and_its_position_stays() -> None:
    world = build_world(Scenario(), seed=1)
    fruit, camera = world.fruits[5], world.scenario.camera
    for time_ns in (10**9, 3 * 10**9, 5 * 10**9):
        belt_mm = world.motion.position_mm(time_ns)
        x_px, y_px = world.centre_px(fruit, belt_mm)
        assert belt_mm + (camera.width_px - x_px) * camera.mm_per_px == pytest.approx(fruit.position_mm)
        assert y_px * camera.mm_per_px == pytest.approx(fruit.across_mm)
    one_second_px = world.centre_px(fruit, 500.0)[0] - world.centre_px(fruit, 250.0)[0]
    assert one_second_px == pytest.approx(250 / 0.4)


def test_twenty_seconds_bring_forty_fruit_that_all_cross_the_whole_picture() -> None:
    world = build_world(Scenario(), seed=1)
    end_mm = float(world.shutter.belt_mm[-1])
    reach_px = LARGEST_MM / 2 / 0.4
    assert len(world.fruits) == 40
    for fruit in world.fruits:
        assert world.centre_px(fruit, 0.0)[0] <= -reach_px + 1e-6
        assert world.centre_px(fruit, end_mm)[0] >= 960 + reach_px - 1e-6
        assert reach_px < world.centre_px(fruit, 0.0)[1] < 540 - reach_px


@pytest.mark.parametrize("speed_mm_s", [60.0, 250.0, 1000.0])
def test_fruit_keep_their_distance_at_every_speed(speed_mm_s: float) -> None:
    world = build_world(_scenario(belt={"speed_mm_s": speed_mm_s}), seed=2)
    positions = [fruit.position_mm for fruit in world.fruits]
    assert min(np.diff(positions)) >= 75 - 1e-9
    assert len(positions) == (40 if speed_mm_s >= 250 else 1 + int((60 * 20 - 2 - 384 - LARGEST_MM) / 75))


def test_a_run_too_short_to_cross_the_picture_says_how_long_it_must_be() -> None:
    with pytest.raises(InputError, match=r"at least [\d.]+ s"):
        build_world(Scenario(seconds=1.5), seed=0)
    build_world(Scenario(seconds=2.0), seed=0)


def test_frames_in_full_are_those_in_which_the_box_is_inside() -> None:
    world = build_world(Scenario(), seed=3)
    for fruit in world.fruits:
        inside = [
            index
            for index in range(world.shutter.frames)
            if 45 - 1e-5 <= world.centre_px(fruit, float(world.shutter.belt_mm[index]))[0] <= 960 - 45 + 1e-5
        ]
        assert world.frames_in_full(fruit, 90) == (inside[0], inside[-1])


def test_lanes_divide_the_belt() -> None:
    world = build_world(_scenario(fruit={"lanes": 3}), seed=4)
    assert {fruit.lane for fruit in world.fruits} == {0, 1, 2}
    assert all(fruit.lane == int(fruit.across_mm // (216 / 3)) for fruit in world.fruits)


@pytest.mark.parametrize("length_px", [0.0, 0.4, 1.0, 2.5, 12.5])
def test_a_blur_kernel_is_as_long_as_the_way_of_the_belt(length_px: float) -> None:
    kernel = motion_kernel(length_px)[0]
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    assert kernel @ places == pytest.approx(0, abs=1e-6)
    # A box of length L sampled over pixels: its flat part is 1 / L.
    if length_px >= 1:
        assert kernel.max() == pytest.approx(1 / length_px)
        assert 1 / kernel.max() == pytest.approx(length_px)


def test_blur_in_the_picture_is_speed_times_exposure() -> None:
    scenario = _scenario(belt={"speed_mm_s": 500.0}, camera={"exposure_ms": 8.0})
    blur_px = empty_world(scenario, seed=0).blur_px(100)
    assert blur_px == pytest.approx(500 * 0.008 / 0.4)
    square = Sprite(np.full((21, 21, 4), 255, np.uint8), (10.5, 10.5))
    picture = np.zeros((80, 120, 3), np.uint8)
    overhead = Light(direction=(0, 0, 1))
    lay(picture, make_layer(square, px_per_mm=0.1, light=overhead, blur_px=blur_px), (60.5, 40.5))
    row = picture[40, :, 0] / 255
    assert row.sum() == pytest.approx(21, abs=0.2)  # blur moves light, it makes none
    assert np.count_nonzero(row > 0.999) == 21 - 10
    assert np.count_nonzero(row > 0.02) == pytest.approx(21 + 10, abs=1)


def test_a_layer_lands_where_it_is_laid_to_a_fraction_of_a_pixel() -> None:
    disc = np.zeros((31, 31, 4), np.uint8)
    y, x = np.mgrid[0:31, 0:31] - 15
    disc[x**2 + y**2 <= 225] = 255
    layer = make_layer(Sprite(disc, (15.5, 15.5)), px_per_mm=0.1, light=Light(direction=(0, 0, 1)))
    for centre in ((50.5, 40.5), (50.75, 40.2), (51.0, 39.9)):
        picture = np.zeros((80, 100, 3), np.uint8)
        lay(picture, layer, centre)
        weight = picture[..., 0].astype(float)
        rows, columns = np.mgrid[0:80, 0:100] + 0.5
        assert (weight * columns).sum() / weight.sum() == pytest.approx(centre[0], abs=0.02)
        assert (weight * rows).sum() / weight.sum() == pytest.approx(centre[1], abs=0.02)


def test_the_belt_pattern_moves_as_far_as_the_encoder_says() -> None:
    scenario = _scenario(camera={"noise_levels": 0.0, "uneven_light": 0.0, "frame_rate_hz": 50.0})
    world = empty_world(scenario, seed=0)
    renderer = Renderer(world)
    first, later = renderer.render(0).astype(int), renderer.render(40).astype(int)
    shift_px = round(float(world.shutter.belt_mm[40]) / 0.4)
    assert shift_px == 500
    assert np.abs(first[:, :-shift_px] - later[:, shift_px:]).max() <= 1
    assert np.abs(first - later).mean() > 1


def test_the_encoder_is_speed_times_time() -> None:
    encoder = empty_world(_scenario(belt={"speed_mm_s": 333.0}), seed=0).encoder()
    assert encoder.position_mm(0) == 0
    assert encoder.position_mm(1_500_000_000) == pytest.approx(499.5, abs=0.05)


def test_every_scenario_that_ships_is_valid_and_described() -> None:
    expected = "calm crowded demo dirty_lens dusk flaky_camera ramps stop_and_go worst_day"
    assert scenario_names() == expected.split()
    assert all(load_scenario(name).description for name in scenario_names())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds = ", "valid TOML"),
        ("secnds = 3", r"mine:1:1: unknown key secnds; did you mean seconds\?"),
        ("[belt]\nx = 3", "mine:2:1: unknown key belt.x; known here: kind, picture, speed_mm_s"),
        ("[belt.ramps]\nshare = 2", r"mine:2:1: belt.ramps.share: .* less than 1"),
        ("[[fault]]\nkind = 'black'", r"fault.1.at_s is missing"),
        ("[fruit]\nmix = {plum = 0.0}", "mine:2:1: fruit.mix: .*share of each label, not all zero"),
        ("[fruit]\nmix = {ripe = -1.0, unripe = 2.0}", "fruit.mix.ripe: .* greater than or equal to 0"),
        ("[belt]\nspeed_mm_s = -1", "mine:2:1: belt.speed_mm_s"),
        ("[belt]\nseam_every_mm = 0.001", "belt.seam_every_mm: .* greater than or equal to 10"),
        ("[camera]\nwhite_balance = [1, 0, 1]", r"camera.white_balance.2: .*greater than or equal to 0.1"),
        ("[camera]\nwhite_balance = [11, 1, 1]", r"camera.white_balance.1: .*less than or equal to 10"),
        (
            "base = 'calm'\n[fruit]\nlanes = 8",
            "mine:3:1: fruit.lanes: 216 mm of .* leave 27 mm for each of 8, .* fewer",
        ),
    ],
)
def test_a_broken_scenario_names_its_mistake(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_scenario(text, "mine")


def test_no_fruit_is_drawn_for_a_label_that_is_none() -> None:
    with pytest.raises(InputError, match=r"(?s)fruit.mix names plum.*spoiled, unripe, turning, ripe"):
        build_world(parse_scenario("[fruit]\nmix = {ripe = 1.0, plum = 1.0}", "mine"), seed=0)


def test_an_unknown_scenario_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="calm, crowded, demo"):
        load_scenario("clam")
