"""Speeds, encoder, exposures and layout against closed forms."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from simulator.belt import motion_kernel
from simulator.ejector import SimulatedEjector
from simulator.layout import touching_mm
from simulator.line import open_source
from simulator.motion import BeltMotion, Wheel
from simulator.renderer import Renderer
from simulator.scenario import Scenario, load_scenario, parse_scenario
from simulator.sprite import Outline
from simulator.stamp import travel_kernel
from simulator.world import LARGEST_MM, World, build_world, empty_world

S = 1_000_000_000


def _world(**sections: Any) -> World:
    document = Scenario().model_dump()
    for name, section in sections.items():
        document[name] = document[name] | section if isinstance(section, dict) else section
    return empty_world(Scenario.model_validate(document), seed=3)


def test_a_ramp_is_half_its_slope_times_time_squared() -> None:
    motion = BeltMotion(np.array([0.0, 2.0, 5.0]), np.array([100.0, 300.0, 300.0]))
    assert motion.position_mm(S) == pytest.approx(100 + 50)
    assert motion.position_mm(4 * S) == pytest.approx(400 + 600)
    assert motion.position_mm(9 * S) == pytest.approx(400 + 2100)
    assert motion.speed_mm_s(S) == pytest.approx(200)


def test_ramps_swing_by_their_share_and_come_out_even() -> None:
    motion = _world(belt={"speed_mm_s": 300.0, "ramps": {"share": 0.2, "period_s": 8.0}}).motion
    assert [motion.speed_mm_s(second * S) for second in (2, 6, 8)] == pytest.approx([360, 240, 300])
    assert motion.position_mm(8 * S) == pytest.approx(2400)
    assert motion.position_mm(4 * S) == pytest.approx(1200 + 4 * 60 / 2)


def test_a_stop_costs_its_time_and_one_ramp() -> None:
    stops = {"every_s": 5.0, "for_s": 2.0, "ramp_s": 0.5}
    motion = _world(belt={"speed_mm_s": 200.0, "stops": stops}).motion
    assert motion.speed_mm_s(6 * S) == 0
    assert motion.position_mm(7 * S) == pytest.approx(motion.position_mm(round(5.5 * S)))
    assert motion.position_mm(10 * S) == pytest.approx(200 * (10 - 2 - 0.5))
    assert np.diff(motion.positions_mm(np.arange(0, 20 * S, S // 100))).min() >= 0


def test_jitter_shakes_the_speed_by_its_share() -> None:
    motion = _world(belt={"speed_mm_s": 200.0, "jitter": 0.05}).motion
    speeds = [motion.speed_mm_s(at) for at in range(0, 20 * S, S // 20)]
    assert np.std(speeds) / 200 == pytest.approx(0.05, rel=0.15)


def test_when_the_belt_has_come_so_far_is_the_inverse_of_how_far_it_has_come() -> None:
    stops = {"every_s": 5.0, "for_s": 2.0, "ramp_s": 0.5}
    motion = _world(belt={"ramps": {}, "stops": stops, "jitter": 0.02}).motion
    ways = np.linspace(5, motion.position_mm(19 * S), 300)
    assert motion.positions_mm(motion.times_ns(ways)) == pytest.approx(ways, abs=1e-3)


@pytest.mark.parametrize("ticks_per_mm", [2.0, 20.0])
def test_the_count_is_distance_times_resolution(ticks_per_mm: float) -> None:
    encoder = _world(belt={"speed_mm_s": 300.0}, encoder={"ticks_per_mm": ticks_per_mm}).encoder()
    for milliseconds in (1, 10, 777, 12_345):
        exact = 0.3 * milliseconds * ticks_per_mm
        assert encoder.count(milliseconds * 1_000_000) == int(exact + 1e-6)
        assert abs((encoder.position_mm(milliseconds * 1_000_000) or 0) - 0.3 * milliseconds) <= 1 / ticks_per_mm


def test_one_channel_changes_at_a_time_and_a_leads() -> None:
    encoder = _world(belt={"speed_mm_s": 1.0}, encoder={"ticks_per_mm": 1.0}).encoder()
    levels = [encoder.channels(second * S) for second in range(5)]
    assert levels == [(False, False), (True, False), (True, True), (False, True), (False, False)]


def test_noise_is_as_large_as_stated_and_depends_on_the_time_alone() -> None:
    quiet, noisy = (_world(encoder={"ticks_per_mm": 100.0, "noise_ticks": n}).encoder() for n in (0.0, 6.0))
    times = range(S, 3 * S, 2_000_003)
    off = [noisy.count(at) - quiet.count(at) for at in times]
    assert np.std(off) == pytest.approx(6, rel=0.15)
    assert off == [noisy.count(at) - quiet.count(at) for at in times]


def test_a_valve_acts_its_latency_after_the_order_give_or_take_its_spread() -> None:
    world = _world(ejector={"latency_ms": 15.0, "spread_ms": 5.0})
    valve = SimulatedEjector(world, start_ns=7 * S)
    for number in range(2000):
        valve.fire(0, number, 8 * S)
    took_ms = np.array([one.acted_ns - one.ordered_ns for one in valve.actions]) / 1e6
    assert took_ms.mean() == pytest.approx(15, abs=0.4)
    assert took_ms.std() == pytest.approx(5, rel=0.08)
    assert took_ms.min() >= 0
    for one in valve.actions[:50]:
        assert one.acted_mm == pytest.approx(250 * (one.acted_ns - 7 * S) / 1e9)
    exact = SimulatedEjector(_world(ejector={"latency_ms": 15.0, "spread_ms": 0.0}))
    exact.fire(0, 1, S)
    assert exact.actions[0].acted_ns == S + 15_000_000


def test_slip_comes_and_goes() -> None:
    """None where a stretch of five metres begins, twice the average in its middle."""
    wheel = Wheel(0.01)
    for belt_mm, lost_share in ((0.0, 0.0), (1250.0, 0.01), (2500.0, 0.02), (5000.0, 0.0), (7500.0, 0.02)):
        near_mm = wheel.at_mm(belt_mm + 0.5) - wheel.at_mm(belt_mm - 0.5)
        assert near_mm == pytest.approx(1 - lost_share, abs=1e-5)
        assert wheel.way_mm(np.array([belt_mm]))[0] == wheel.at_mm(belt_mm)


def test_the_wheel_misses_the_share_that_slips_and_never_turns_back() -> None:
    wheel = Wheel(0.01)
    ways = np.linspace(0, 50_000, 5001)
    assert wheel.at_mm(50_000) == pytest.approx(49_500)
    assert np.diff(wheel.way_mm(ways)).min() > 0


def test_blur_is_the_true_way_of_the_belt_even_on_a_ramp() -> None:
    world = _world(belt={"speed_mm_s": 300.0, "ramps": {"share": 0.2, "period_s": 8.0}}, camera={"exposure_ms": 4.0})
    assert world.blur_px(60) == pytest.approx(360 * 0.004 / 0.4, rel=1e-3)  # 2 s: the crest
    assert world.blur_px(180) == pytest.approx(240 * 0.004 / 0.4, rel=1e-3)


def test_a_camera_on_the_encoder_exposes_at_equal_ways() -> None:
    world = _world(belt={"ramps": {}}, camera={"trigger_every_mm": 12.0}, encoder={"slip": 0.01})
    assert np.diff(world.wheel.way_mm(world.shutter.belt_mm)) == pytest.approx(12.0, abs=0.05)
    assert np.std(np.diff(world.shutter.exposed_ns)) > 1e6


def test_stamps_jitter_and_say_when_a_frame_was_read() -> None:
    shutter = _world(camera={"stamp_jitter_ms": 2.0, "delay_ms": 30.0, "stamps": "read"}).shutter
    late_ms = (shutter.stamped_ns - shutter.exposed_ns) / 1e6
    assert late_ms.mean() == pytest.approx(30, abs=0.5)
    assert late_ms.std() == pytest.approx(2, rel=0.15)
    assert np.diff(shutter.stamped_ns).min() > 0


def test_faults_strike_when_the_script_says() -> None:
    script = (
        {"kind": "black", "at_s": 2.0, "for_s": 1.0, "every_s": 6.0},
        {"kind": "dropped", "at_s": 0, "for_s": 99, "share": 0.1},
    )
    shutter = _world(fault=script).shutter
    struck = [shutter.fault(index) for index in range(shutter.frames)]
    assert {index for index, kind in enumerate(struck) if kind == "black"} <= {
        *range(60, 90),
        *range(240, 270),
        *range(420, 450),
    }
    assert struck.count("dropped") == pytest.approx(60, abs=20)
    assert [kind is None for kind in struck] == list(shutter.good)


@pytest.mark.parametrize(("fraction_px", "blur_px"), [(0.0, 0.0), (0.3, 0.0), (0.75, 2.5), (0.5, 7.0)])
def test_the_travel_kernel_moves_by_the_fraction_and_blurs_by_the_way(fraction_px: float, blur_px: float) -> None:
    kernel = travel_kernel(fraction_px, blur_px)[0][::-1]
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    assert kernel @ places == pytest.approx(fraction_px, abs=1e-5)
    blur = motion_kernel(blur_px)[0]
    spread = blur @ (np.arange(len(blur)) - len(blur) // 2) ** 2 + fraction_px * (1 - fraction_px)
    assert kernel @ (places - fraction_px) ** 2 == pytest.approx(spread, abs=1e-4)


@pytest.mark.parametrize("px_per_mm", [1.0, 3.0])
def test_discs_touch_at_the_sum_of_their_radii(px_per_mm: float) -> None:
    """Pressed together by some tenths of a millimetre, and to a pixel."""

    def disc(radius_mm: float, held_mm: float) -> Outline:
        side = 2 * round(radius_mm * px_per_mm)
        at = (np.arange(side) + 0.5 - side / 2) / px_per_mm
        return Outline(at[:, None] ** 2 + at**2 <= radius_mm**2, (held_mm * px_per_mm, side / 2))

    large, small = disc(20.0, 20.0), disc(12.0, 12.0)
    near_mm = 0.3 + 0.7 / px_per_mm
    for across_mm in (0.0, -16.0, 16.0):
        true_mm = (32**2 - across_mm**2) ** 0.5
        assert touching_mm(large, small, across_mm, px_per_mm=px_per_mm) == pytest.approx(true_mm, abs=near_mm)
    # Held elsewhere, the same discs touch at another distance.
    apart_mm = touching_mm(large, small, 0.0, px_per_mm=px_per_mm)
    assert touching_mm(large, disc(12.0, 9.0), 0.0, px_per_mm=px_per_mm) == pytest.approx(apart_mm + 3)


def test_fruit_are_of_the_stated_sizes() -> None:
    scenario = parse_scenario('base = "crowded"\nseconds = 12.0\n[fruit]\ndiameter_mm = [16.0, 20.0]\n', "small")
    small = build_world(scenario, seed=5).fruits
    diameters_mm = np.array([fruit.diameter_mm for fruit in small])
    assert 16 <= diameters_mm.min() < 16.5
    assert 19.5 < diameters_mm.max() <= 20
    assert diameters_mm.mean() == pytest.approx(18, abs=0.4)
    assert {fruit.label for fruit in small} == {"spoiled", "unripe", "turning", "ripe"}
    usual = build_world(load_scenario("crowded").model_copy(update={"seconds": 12.0}), seed=5).fruits
    assert sorted(fruit.label for fruit in small) == sorted(fruit.label for fruit in usual)
    assert 38 < max(fruit.diameter_mm for fruit in usual) <= 40


def test_the_stated_share_of_fruit_touches_and_no_other() -> None:
    scenario = load_scenario("crowded").model_copy(update={"seconds": 12.0})
    fruits = build_world(scenario, seed=5).fruits
    touching: set[int] = set()
    for lane in range(4):
        own = [fruit for fruit in fruits if fruit.lane == lane]
        for a, b in pairwise(own):
            if b.position_mm - a.position_mm < LARGEST_MM:
                touching |= {a.fruit_id, b.fruit_id}
            else:
                assert b.position_mm - a.position_mm >= 75 - 1e-6
    assert len(touching) / len(fruits) == pytest.approx(0.2, abs=0.06)
    assert [fruit.fruit_id for fruit in fruits] == list(range(len(fruits)))


def test_a_source_takes_options_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("seconds = 3.0\n")
    line = open_source(f"{tmp_path}/own.toml?seed=9&clock=real")
    assert (line.world.seed, line.camera.live, line.world.scenario.seconds) == (9, True, 3.0)
    with pytest.raises(InputError, match="sed is not understood"):
        open_source("calm?sed=9")
    with pytest.raises(InputError, match="seed stands there twice"):
        open_source("calm?seed=1&seed=2")
    with pytest.raises(InputError, match="3 is not understood"):
        open_source("calm?3")
    with pytest.raises(InputError, match="no"):
        open_source(f"{tmp_path}/none.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[belt.stops]\nevery_s = 2.0\nfor_s = 2.0", "every_s must be longer"),
        ("[fruit]\ndiameter_mm = [40.0, 25.0]", "smallest first"),
        ("[fruit]\ndiameter_mm = [25.0, 60.0]", "less than or equal to 40"),
        ("[camera]\ntrigger_every_mm = 1.0", "more than frame_rate_hz"),
        ('[[fault]]\nkind = "melted"\nat_s = 1.0\nfor_s = 1.0', "fault.1.kind"),
        ("[drift]\ncolour_per_minute = [0.0, -1.0, 0.0]", "colour_per_minute"),
    ],
)
def test_contradictions_in_a_scenario_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_scenario(text, "mine")


def test_a_scenario_with_a_base_says_only_what_differs() -> None:
    base, changed = load_scenario("ramps"), parse_scenario('base = "ramps"\n[belt]\njitter = 0.0\n', "mine")
    assert changed.belt.model_dump() == base.belt.model_dump() | {"jitter": 0.0}
    assert changed.model_copy(update={"belt": base.belt}) == base
    with pytest.raises(InputError, match="nowhere"):
        parse_scenario('base = "nowhere"', "mine")


def test_a_drift_that_turns_comes_back_and_goes_on_again() -> None:
    drift = parse_scenario("[drift]\nfrom_s = 10.0\nturns_every_s = 30.0\nlight_per_minute = -0.5", "clouds").drift
    minutes = [60 * drift.minutes(seconds) for seconds in (0, 10, 25, 40, 55, 70, 85, 100)]
    assert minutes == pytest.approx([0, 0, 15, 30, 15, 0, 15, 30])


def test_a_rolling_shutter_leans_by_the_way_of_the_belt_while_rows_are_read(tmp_path: Path) -> None:
    stripe = np.full((240, 320, 3), 20, np.uint8)
    stripe[:, 150:170] = 200
    cv2.imwrite(str(tmp_path / "belt.png"), stripe)
    belt = {"picture": str(tmp_path / "belt.png"), "speed_mm_s": 500.0}
    camera = {"width_px": 320, "height_px": 240, "exposure_ms": 0.0, "readout_ms": 20.0, "noise_levels": 0.0}
    world = _world(belt=belt, camera={**camera, "uneven_light": 0.0}, seconds=4.0)
    renderer = Renderer(world)
    for index in (7, 8, 9):
        bright = renderer.render(index)[..., 0].astype(float) - 20
        # The first picture and its mirror image show a stripe each: the one wholly in every row.
        rows = [np.flatnonzero(row > 90) for row in bright]
        if all(row.min() > 40 and row.max() < 280 and np.ptp(row) < 25 for row in rows if len(row)) and len(rows[0]):
            places = np.array([row.mean() for row in rows])
            # 500 mm/s for 20 ms are 10 mm, 25 px; lower rows come later and so further on.
            assert places[-1] - places[0] == pytest.approx(25 * 239 / 240, abs=0.7)
            assert np.abs(places - np.linspace(places[0], places[-1], 240)).max() < 1
            return
    pytest.fail("no frame shows the stripe in full")
