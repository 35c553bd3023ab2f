from __future__ import annotations

import math
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cameras.exposure import AtExposure
from edge_runtime.cameras.watched_belt import WatchedBelt
from edge_runtime.commissioning.assessment import State, assess
from edge_runtime.commissioning.lag import Trace, fit_lag, sampled
from edge_runtime.commissioning.line_file import measured_values, updated, write_line_file
from edge_runtime.commissioning.markers import PieceMarker, SheetMarker
from edge_runtime.commissioning.measure import Figures, Order, measure
from edge_runtime.commissioning.passes import Sighting, travel
from edge_runtime.commissioning.picture_quality import picture_quality
from edge_runtime.commissioning.print_file import true_size_pdf, true_size_png
from edge_runtime.commissioning.session import Session, Trial
from edge_runtime.commissioning.sheet import Sheet
from edge_runtime.commissioning.strokes import StrokePlan
from edge_runtime.encoders.by_frames import EncoderByFrames
from edge_runtime.encoders.scaled import ScaledEncoder
from edge_runtime.errors import ConfigError
from edge_runtime.records import BeltDirection, Frame, Image
from edge_runtime.settings.config import LineConfig
from simulator.commissioning import open_commissioning

SIZE_PX = (800, 480)


FINE_S = np.arange(-2, 12, 0.001)
WAY_MM = np.cumsum(np.interp(FINE_S, [1, 1.3, 3, 3.3, 4.3, 4.6], [0, 300, 300, 0, 0, 200])) * 0.001


def way_mm(seconds: np.ndarray) -> np.ndarray:
    """A belt that stands for a second, speeds up to 300 mm/s for two, stands a second and goes on at 200."""
    return np.interp(seconds, FINE_S, WAY_MM)


class Counter:
    """An encoder that counts 1 for each `mm_per_tick` of that belt."""

    def __init__(self, mm_per_tick: float) -> None:
        self.mm_per_tick = mm_per_tick

    def position_mm(self, captured_ns: int) -> float | None:
        return float(np.floor(10 * way_mm(np.array(captured_ns / 1e9)) / self.mm_per_tick)) / 10


def sightings(
    delay_ms: float, mm_per_px: float, *, until_s: float = 5.0, seed: int = 0, turn: int = 1
) -> list[Sighting]:
    """Of a sheet that lies 100 px from the upstream edge at first, by a camera with that delay."""
    rng = np.random.default_rng(seed)
    seen = []
    for number in range(round(until_s * 30)):
        exposed_s = number / 30
        x_px = 100 + float(way_mm(np.array(exposed_s))) / mm_per_px + rng.normal(0, 0.1)
        if x_px < SIZE_PX[0] - 60:
            stamp_ns = round(1e9 * exposed_s + 1e6 * delay_ms)
            seen.append(Sighting(stamp_ns, (x_px, 240.0), (mm_per_px, mm_per_px), (float(turn), 0.0)))
    return seen


def laid(sheet: Sheet, matrix: np.ndarray, grey: int = 60, noise: float = 2.0) -> Image:
    """The sheet on a belt, its upper left corner (in mm) put where the 2x3 matrix says."""
    page = sheet.draw(8.0)
    shrink = np.vstack([matrix, [0, 0, 1]]) @ np.diag([1 / 8, 1 / 8, 1.0])
    picture = np.full((SIZE_PX[1], SIZE_PX[0], 3), grey, np.uint8)
    blurred = cv2.GaussianBlur(page, (0, 0), 1.4)
    cv2.warpAffine(blurred, shrink[:2], SIZE_PX, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    rng = np.random.default_rng(1)
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    delay_ms=st.floats(0, 120),
    mm_per_px=st.floats(0.3, 0.6),
    mm_per_tick=st.floats(0.05, 20),
    seed=st.integers(0, 1000),
)
def test_delay_and_encoder_are_found_from_one_stop(
    delay_ms: float, mm_per_px: float, mm_per_tick: float, seed: int
) -> None:
    trace = sampled(Counter(mm_per_tick), -1_000_000_000, 8_000_000_000)
    found = measure(sightings(delay_ms, mm_per_px, seed=seed), SIZE_PX, trace)
    assert found.travel is not None
    assert found.travel.direction is BeltDirection.RIGHT
    assert found.lag is not None
    # A count that is 2 mm long cannot tell time as finely as one of a tenth.
    fineness_ms = 2.0 if mm_per_tick < 1 else 2.0 + 2 * mm_per_tick
    assert abs(found.lag.lag_ms - delay_ms) < fineness_ms
    assert abs(found.lag.scale / mm_per_tick - 1) < 0.01


def test_at_one_speed_the_delay_is_known_to_be_unknown() -> None:
    trace = sampled(Counter(1.0), -1_000_000_000, 8_000_000_000)
    steady = [each for each in sightings(40, 0.5) if 1.5e9 < each.time_ns < 2.9e9]
    found = measure(steady, SIZE_PX, trace)
    assert found.lag is not None
    assert found.lag.lag_error_ms > 20
    findings = {each.name: each for each in told(found)}
    assert findings["Camera delay"].state is State.POOR
    assert "Stop and start" in findings["Camera delay"].remedy
    assert ("camera", "delay_ms") not in measured_values(found, LineConfig(), 0, has_encoder=True)


def told(figures: Figures, **changes: bool) -> list:
    facts = {"has_encoder": True, "has_trial": False, "by_sheet": True} | changes
    return assess(figures, [], frame_rate_hz=30.0, **facts)


def test_the_lag_of_a_known_scale_is_fitted_alone() -> None:
    times = np.arange(0, 6_000_000_000, 2_000_000, dtype=np.int64)
    trace = Trace(times, way_mm(times / 1e9))
    at = np.array([1_200_000_000, 2_000_000_000, 3_900_000_000])
    seen = 50 + way_mm((at + 25_000_000) / 1e9)
    found = fit_lag(trace, at, seen, np.zeros(3, np.int64), between_ms=(-100, 0), scale=1.0)
    assert found.lag_ms == pytest.approx(-25, abs=0.1)
    assert found.offsets_mm[0] == pytest.approx(50, abs=0.05)
    assert found.scale_error == 0


@pytest.mark.parametrize("towards", [1, -1])
def test_strokes_tell_where_the_ejector_is_and_how_late(towards: int) -> None:
    at_mm, latency_ms, delay_ms, scale = 180.0, 30.0, 45.0, 0.5
    trace = sampled(Counter(2.0), -1_000_000_000, 9_000_000_000)
    passing = sightings(delay_ms, scale, turn=towards)
    place_mm = (SIZE_PX[0] - 100) * scale
    orders = []
    for ordered_s in (2.0, 3.7, 6.0):
        hit_mm = float(way_mm(np.array(ordered_s + latency_ms / 1e3))) - at_mm
        orders.append(Order(round(1e9 * ordered_s), place_mm + 3, ordered_s != 3.7, towards * (place_mm - hit_mm)))
    found = measure(passing, SIZE_PX, trace, [*orders, Order(0, place_mm, True, None)]).ejector
    assert found is not None
    assert found.at_mm == pytest.approx(at_mm, abs=1.0)
    assert found.latency_ms == pytest.approx(latency_ms, abs=3.0)
    standing = measure(passing, SIZE_PX, trace, orders[1:2]).ejector
    assert standing is not None
    assert standing.at_mm == pytest.approx(at_mm, abs=1.0)
    assert standing.latency_ms is None
    assert measure(passing, SIZE_PX, trace, orders[:1]).ejector is None


def test_a_plan_fires_once_a_sheet_and_not_while_the_belt_brakes() -> None:
    plan = StrokePlan(100.0, 40.0)
    fired = []
    for step in range(1200):
        now_s = step / 100
        due = plan.due(round(1e9 * now_s), float(way_mm(np.array(now_s))), [0.0, 497.0])
        if due is not None:
            fired.append((now_s, *due))
    assert [(place, moving) for _, place, moving in fired] == [(0.0, True), (497.0, False)]
    assert fired[1][0] == pytest.approx(3.8, abs=0.05)  # half a second after it stood still


@pytest.mark.parametrize(
    ("degrees", "direction"),
    [(0, BeltDirection.RIGHT), (180, BeltDirection.LEFT), (90, BeltDirection.DOWN), (-90, BeltDirection.UP)],
)
def test_travel_knows_the_direction_and_the_turn(degrees: int, direction: BeltDirection) -> None:
    turned = math.radians(degrees + 2)
    middle = np.array(SIZE_PX) / 2
    steps = [middle + 8 * number * np.array([math.cos(turned), math.sin(turned)]) for number in range(-12, 13)]
    seen = [Sighting(n * 33_000_000, (float(x), float(y)), (0.5, 0.5)) for n, (x, y) in enumerate(steps)]
    found = travel(seen, SIZE_PX)
    assert found is not None
    assert found.direction is direction
    assert found.turned_deg == pytest.approx(2, abs=0.01)
    assert np.diff(found.seen_mm) == pytest.approx(np.full(24, 4 * math.cos(math.radians(2))), abs=1e-6)


def test_a_sheet_that_was_laid_back_is_another_pass_and_one_that_lies_still_tells_nothing() -> None:
    once = [Sighting(n * 33_000_000, (100.0 + 20 * n, 240.0), (0.5, 0.5)) for n in range(25)]
    again = [Sighting(each.time_ns + 10**9, each.centre_px, each.mm_per_px) for each in once]
    found = travel([*once, *again], SIZE_PX)
    assert found is not None
    assert found.groups.tolist() == [0] * 25 + [1] * 25
    assert travel([once[0], once[0]], SIZE_PX) is None
    assert [each.state for each in told(Figures())] == [State.POOR]


@pytest.mark.parametrize("turned_deg", [0, 180, 33])
def test_the_sheet_is_found_where_it_lies(turned_deg: float) -> None:
    sheet, scale = Sheet(), 2.2
    matrix = cv2.getRotationMatrix2D((0, 0), turned_deg, scale)
    centre = np.array([401.0, 233.0])
    matrix[:, 2] = centre - matrix[:, :2] @ sheet.centre_mm
    found = sheet.find(laid(sheet, matrix))
    assert found is not None
    assert found.corners == 24
    # Printed pixels cover, and a warp counts from their middles: half a pixel more.
    assert found.centre_px == pytest.approx(tuple(centre + 0.5), abs=0.6)
    assert found.mm_per_px((1.0, 0.0)) == pytest.approx(1 / scale, rel=2e-3)
    assert found.along == pytest.approx((matrix[0, 0] / scale, matrix[1, 0] / scale), abs=5e-3)
    assert sheet.find(np.full((480, 800, 3), 90, np.uint8)) is None


def test_focus_and_exposure_are_told_by_the_sheet() -> None:
    matrix = np.array([[3.4, 0, 200.0], [0, 3.4, 60.0]])
    sharp = laid(Sheet(), matrix)
    views = {}
    for sigma in (0.1, 1.2, 2.0):
        picture = np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma), np.uint8)
        view = Sheet().find(picture)
        assert view is not None
        views[sigma] = picture_quality(picture, view)
    assert views[2.0].blur_y_px == pytest.approx(1.9, abs=0.35)
    assert views[1.2].blur_x_px == pytest.approx(1.2, abs=0.35)
    assert views[0.1].blur_x_px < 0.9
    assert views[0.1].paper > 240
    assert views[0.1].ink < 20
    steady = travel([Sighting(n * 33_000_000, (50.0 + 30 * n, 240.0), (0.5, 0.5)) for n in range(20)], SIZE_PX)
    states = {
        sigma: {
            each.name: each
            for each in assess(
                Figures(steady), [quality], frame_rate_hz=30, has_encoder=False, has_trial=False, by_sheet=True
            )
        }
        for sigma, quality in views.items()
    }
    assert states[2.0]["Focus"].state is State.POOR
    assert states[0.1]["Focus"].state is State.GOOD
    assert states[0.1]["Exposure"].state is State.POOR
    assert "Too bright" in states[0.1]["Exposure"].remedy
    dark = Sheet().find(np.asarray(sharp // 3, np.uint8))
    assert dark is not None
    words = assess(
        Figures(steady),
        [picture_quality(np.asarray(sharp // 3, np.uint8), dark)],
        frame_rate_hz=30,
        has_encoder=False,
        has_trial=False,
        by_sheet=True,
    )
    assert any("Too dark" in each.remedy for each in words)


def test_the_belts_colours_are_those_beside_the_sheet() -> None:
    session = Session(SheetMarker(Sheet()), None)
    assert session.belt_colours() == ()
    picture = laid(Sheet(), np.array([[2.4, 0, 240.0], [0, 2.4, 100.0]]))
    picture[:, :60] = (20, 90, 40)  # another thing than the belt
    session.add(Frame(picture, 0, 0), 0)
    belt, other = session.belt_colours()
    assert belt == pytest.approx(picture[-1, -1], abs=3)
    assert other == pytest.approx((20, 90, 40), abs=3)
    steady = travel([Sighting(n * 33_000_000, (50.0 + 30 * n, 240.0), (0.5, 0.5)) for n in range(20)], SIZE_PX)
    facts = {"has_encoder": False, "has_trial": False, "by_sheet": True}
    told = assess(Figures(steady), [], frame_rate_hz=30, belt=[belt, (1, 2, 3)], **facts)
    assert {each.name: each.value for each in told}["Belt"] == f"rgb{belt} and rgb(1, 2, 3)"


def test_a_ball_of_known_size_gives_the_scale() -> None:
    marker, seen = PieceMarker(40.0), []
    belt = np.random.default_rng(3).normal(70, 2, (480, 800, 3)).clip(0, 255).astype(np.uint8)
    for number in range(40):
        picture = belt.copy()
        if number >= 5:
            cv2.circle(picture, (60 + 20 * (number - 5), 240), 50, (200, 60, 40), -1, cv2.LINE_AA)
        spotted = marker.find(Frame(picture, number, number * 33_000_000))
        if spotted is not None:
            seen.append(spotted.sighting)
    found = travel(seen, SIZE_PX)
    assert found is not None
    assert found.mm_per_px == pytest.approx(40 / 101, rel=0.02)  # OpenCV's disc of radius 50 is 101 pixels wide
    facts = {"has_encoder": False, "has_trial": False, "by_sheet": False}
    told = {each.name: each.value for each in assess(Figures(found), [], frame_rate_hz=30, **facts)}
    assert told["Scale"].endswith("± 2 %")  # and not what forty pictures that err alike agree to
    assert told["Focus, smear and exposure"] == "none"


def test_the_printed_sheet_says_its_true_size() -> None:
    sheet = Sheet(20.0)
    picture = sheet.draw(6.0)
    pdf = true_size_pdf(picture, sheet.size_mm)
    placed = re.search(rb"q ([\d.]+) 0 0 ([\d.]+) ", pdf)
    assert placed is not None
    assert [float(each) / 72 * 25.4 for each in placed.groups()] == pytest.approx(sheet.size_mm, abs=0.01)
    pixels = re.search(rb"/FlateDecode /Length (\d+) >>\nstream\n", pdf)
    assert pixels is not None
    stream = pdf[pixels.end() : pixels.end() + int(pixels[1])]
    assert zlib.decompress(stream) == picture.tobytes()
    for number, place in enumerate(re.findall(rb"\n(\d{10}) 00000 n ", pdf), start=1):
        assert pdf[int(place) :].startswith(b"%d 0 obj" % number)
    png = true_size_png(picture, sheet.size_mm)
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded, picture)
    place = png.index(b"pHYs")
    across, down, unit = struct.unpack(">IIB", png[place + 4 : place + 13])
    assert unit == 1
    assert picture.shape[1] / across * 1000 == pytest.approx(sheet.size_mm[0], abs=0.05)
    assert picture.shape[0] / down * 1000 == pytest.approx(sheet.size_mm[1], abs=0.05)


def test_what_was_not_measured_stays_in_the_file_comments_included(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(
        "# our line\n[belt]\nmm_per_px = 0.5  # by ruler\nlanes = 2\n[[ejector]]\nat_mm = 300\nlane = 0\n"
        "[[ejector]]\nat_mm = 310.0\nlatency_ms = 12.0\n[ejector.gpio]\nline = 4\n"
    )
    values = {("belt", "mm_per_px"): 0.4, ("camera", "delay_ms"): 31.5, ("ejector", 1, "at_mm"): 305.5}
    config = write_line_file(file, updated(file.read_text(), values))
    assert (config.belt.mm_per_px, config.belt.lanes, config.camera.delay_ms) == (0.4, 2, 31.5)
    assert [each.at_mm for each in config.ejector] == [300, 305.5]
    assert config.ejector[1].latency_ms == 12
    assert config.ejector[1].gpio is not None
    assert "# our line" in file.read_text()
    assert "# by ruler" in file.read_text()


def test_a_contradiction_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text("[belt]\nlanes = 1\n")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(file))}:\d+:\d+: "):
        write_line_file(file, updated(file.read_text(), {("ejector", 0, "at_mm"): 200.0}))
    assert file.read_text() == "[belt]\nlanes = 1\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_late_camera_is_put_right() -> None:
    class Late:
        name, live, dropped, frame_rate_hz = "late", False, 3, 30.0

        def frames(self):
            yield Frame(np.zeros((4, 4, 3), np.uint8), 7, 2_040_000_000, belt_mm=1.0)

        def close(self) -> None:
            pass

    camera = AtExposure(Late(), ScaledEncoder(Counter(1.0), 2.0), 40.0)
    (frame,) = camera.frames()
    assert (frame.captured_ns, frame.index, camera.dropped) == (2_000_000_000, 7, 3)
    assert frame.belt_mm == pytest.approx(2 * float(way_mm(np.array(2.0))), abs=0.3)
    assert next(AtExposure(Late(), None, 40.0).frames()).belt_mm is None


def test_without_an_encoder_the_ejector_is_found_by_the_belt_in_the_pictures() -> None:
    """The camera's delay is then part of the latency: all that is known of the belt comes as late as the pictures."""
    line = open_commissioning(seed=1)
    watched = WatchedBelt(line.camera, BeltDirection.RIGHT, line.hidden.mm_per_px)
    encoder = EncoderByFrames()
    plan = StrokePlan(line.tape_mm, 45.0)
    trial = Trial(plan, lambda now_ns: line.ejector.fire(0, 0, now_ns), line.read_mark)
    session = Session(SheetMarker(Sheet()), encoder, trial)
    for frame in watched.frames():
        encoder.take(frame)
        session.add(frame, frame.captured_ns)
    found = session.figures()
    assert found.ejector is not None
    assert found.ejector.at_mm == pytest.approx(line.hidden.at_mm, abs=1.0)
    assert found.ejector.latency_ms == pytest.approx(line.hidden.latency_ms + line.hidden.delay_ms, abs=6)
    values = measured_values(found, LineConfig(), 0, has_encoder=False)
    assert {place[0] for place in values} == {"belt", "ejector"}
    assert encoder.position_mm(0) is None
