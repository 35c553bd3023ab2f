"""Traces of colour: mould as grey as the belt is found by them, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import open_camera
from edge_runtime.localization import background, tint
from edge_runtime.localization.background import Background
from edge_runtime.localization.localize import Localizer
from edge_runtime.localization.shadow import Plane, Planes
from edge_runtime.localization.tint import BLOCK_PX, LEARNT_EVERY, LEARNT_TIMES, Tint
from edge_runtime.records import Image
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings
from tests.edge_runtime.test_localize import BELTS, FRUITS, Belt, box_error_px

SIZE = 96, 128
NOTHING: Plane = np.zeros(SIZE, np.uint8)


@pytest.mark.parametrize("mould", [(119, 107, 97), (107, 94, 84)], ids=["as light as the belt", "as dark as shade"])
def test_mould_with_a_trace_of_colour_is_found_whole_and_two_that_touch_are_two(mould: tuple[int, int, int]) -> None:
    belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
    errors, counts = [], []
    for frame in range(140):
        x = -190 + 8 * frame
        fruit = [(x, 60, mould)] + [(each, 170, mould) for each in (x - 450, x - 522)]
        detections = localizer.detect(belt.draw(8 * frame, fruit, radius=36))
        alone = [each for each in detections if each.box.centre_px[1] < 110]
        if 100 < x < 220:
            errors.append(box_error_px(alone[0], x, 60, radius=36) if len(alone) == 1 else 99.0)
        if 130 < x - 486 < 190:
            counts.append(len(detections))
    assert np.mean(np.array(errors) <= 12) > 0.8
    assert np.mean(np.array(counts) == 2) > 0.8


def test_mould_is_found_in_a_large_picture_of_which_a_quarter_is_looked_at() -> None:
    belt, localizer, errors = Belt(BELTS["grey"], 720, 1280), Localizer(LocalizeSettings(), BeltSettings()), []
    for frame in range(110):
        x = -300 + 12 * frame
        detections = localizer.detect(belt.draw(12 * frame, [(x, 300, (119, 107, 97))], radius=36))
        if 100 < x < 1180:
            errors.append(box_error_px(detections[0], x, 300, radius=36) if len(detections) == 1 else 99.0)
    assert np.mean(np.array(errors) <= 12) > 0.8


def test_a_stain_that_differs_by_a_trace_all_over_is_no_fruit(monkeypatch: pytest.MonkeyPatch) -> None:
    def things() -> int:
        belt, localizer = Belt(BELTS["grey"]), Localizer(LocalizeSettings(), BeltSettings())
        found = 0
        for frame in range(70):
            picture, stain = belt.draw(8 * frame, []).astype(int), np.zeros((240, 320), np.uint8)
            cv2.ellipse(stain, (8 * frame - 190, 120), (36, 31), 0, 0, 360, 1, cv2.FILLED)
            picture += stain[..., None] * np.array([6, -1, -6])
            found += len(localizer.detect(np.clip(picture, 0, 255).astype(np.uint8)))
        return found

    assert things() == 0
    monkeypatch.setattr(background, "CLEAR_SHARE", 0.0)
    assert things() > 10


def plain(luma: int = 110, red: int = 128, blue: int = 128) -> Planes:
    scene = np.empty((3, *SIZE), np.uint8)
    scene[:] = np.array([luma, red, blue])[:, None, None]
    return scene


def learnt(empty: Planes, shown: Callable[[int], Planes]) -> Tint:
    """Traces on a belt after enough pictures of it."""
    traces = Tint(empty, 1.0)
    for number in range(LEARNT_EVERY * LEARNT_TIMES):
        look(traces, empty, shown(number))
        traces.follow()
    return traces


def look(traces: Tint, empty: Planes, shown: Planes, clear: Plane = NOTHING) -> int:
    """How many pixels of a picture are found to be traces."""
    found = traces.find(shown, clear, cv2.add(*map(cv2.absdiff, shown[1:], empty[1:])))
    return 0 if found is None else cv2.countNonZero(found)


def patched(scene: Planes, side_px: int, levels: int = 10) -> Planes:
    """With a square that differs by so much of one colour."""
    picture = scene.copy()
    picture[1, 32 : 32 + side_px, 32 : 32 + side_px] += np.uint8(levels)
    return picture


def test_a_trace_ends_where_it_ends_and_is_looked_for_where_the_scene_is_now() -> None:
    empty = plain()
    traces = learnt(empty, lambda _: empty)
    empty[1:] += 9
    traces.learn()
    noisy = empty + np.random.default_rng(0).integers(-1, 2, empty.shape).astype(np.uint8)
    shown = noisy.copy()
    shown[1, 21:50, 30:61] += 10
    found = traces.find(shown, NOTHING, cv2.add(*map(cv2.absdiff, shown[1:], empty[1:])))
    assert found is not None
    assert cv2.boundingRect(found) == pytest.approx((30, 21, 31, 29), abs=3)
    assert not found[shown[1] == noisy[1]].any()
    assert look(traces, empty, noisy) == 0
    assert traces.inner is None


def test_what_light_does_to_the_colours_of_the_belt_is_no_trace() -> None:
    empty = plain(120, 160, 100)
    traces = learnt(empty, lambda _: empty)
    shown = empty.copy()
    shown[0, 32:64, 32:64], shown[1, 32:64, 32:64], shown[2, 32:64, 32:64] = 60, 144, 114
    assert look(traces, empty, shown) == 0
    shown[0] = 120
    assert look(traces, empty, shown) == 32 * 32


@pytest.mark.parametrize(("luma", "found"), [(200, True), (235, False)])
def test_where_the_belt_is_overexposed_a_change_of_colour_is_no_trace(luma: int, found: bool) -> None:
    empty = plain(luma)
    traces = learnt(empty, lambda _: empty)
    shown = empty.copy()
    shown[0] -= 25
    shown[1] += 10
    assert (look(traces, empty, shown) > 0) == found


def test_blocks_that_lie_alone_or_line_what_is_clear_to_see_are_no_patch() -> None:
    empty = plain()
    traces = learnt(empty, lambda _: empty)
    assert look(traces, empty, patched(empty, 8 * BLOCK_PX)) > 0
    alone = empty.copy()
    for top in range(0, SIZE[0], 2 * BLOCK_PX):
        for left in range(0, SIZE[1], 2 * BLOCK_PX):
            alone[1, top : top + BLOCK_PX, left : left + BLOCK_PX] += 30
    assert look(traces, empty, alone) == 0
    clear = NOTHING.copy()
    clear[36:60, 36:60] = 255
    assert look(traces, empty, patched(empty, 8 * BLOCK_PX), clear) == 0


def test_an_edge_of_the_scene_that_shakes_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = plain()
    empty[1, :, 60:] += 30
    shaken = plain()
    shaken[1, :, 50:] += 30
    assert look(learnt(empty, lambda _: empty), empty, shaken) == 0
    monkeypatch.setattr(tint, "SHAKEN", 0.0)
    assert look(learnt(empty, lambda _: empty), empty, shaken) > 0


def test_where_blocks_stray_a_trace_must_be_stronger_than_they_do() -> None:
    empty, rng = plain(), np.random.default_rng(0)
    quiet, straying = learnt(empty, lambda _: empty), learnt(empty, lambda _: strayed(empty, rng))
    assert look(quiet, empty, patched(empty, 32)) > 0
    assert look(straying, empty, patched(empty, 32)) == 0
    assert look(straying, empty, patched(empty, 32, levels=60)) > 0


def test_a_change_of_the_belts_colour_is_a_trace_for_a_while_and_what_is_clear_to_see_raises_no_limit() -> None:
    empty = plain()
    changed, clear = patched(empty, 32), cv2.compare(patched(empty, 32)[1], empty[1], cv2.CMP_NE)
    traces, seen = learnt(empty, lambda _: empty), learnt(empty, lambda _: empty)
    assert look(traces, empty, changed) > 0
    for _ in range(400):
        look(traces, empty, changed)
        traces.follow()
        look(seen, empty, changed, clear)
        seen.follow()
    assert look(traces, empty, changed) == 0
    assert look(seen, empty, changed) > 0


def test_what_was_taken_into_the_scene_is_no_trace_from_then_on() -> None:
    empty = plain()
    scene = Background(np.ascontiguousarray(empty.transpose(1, 2, 0)), True, 1.0, 100, 4000)

    def traces(picture: Planes) -> int:
        mask = scene.foreground(picture)
        scene.add_traces(mask, picture)
        return cv2.countNonZero(mask)

    for _ in range(LEARNT_EVERY * LEARNT_TIMES):
        traces(empty)
        scene.learn(empty, NOTHING)
    stain = patched(empty, 32, levels=8)
    assert traces(stain) > 0
    scene.absorb(stain, np.full(SIZE, 255, np.uint8))
    assert traces(stain + np.random.default_rng(0).integers(0, 4, stain.shape).astype(np.uint8)) == 0


def strayed(scene: Planes, rng: np.random.Generator) -> Planes:
    """As a codec gives each block a colour of its own."""
    height, width = SIZE
    off = rng.integers(-6, 7, (2, height // 16, width // 16)).repeat(16, axis=1).repeat(16, axis=2)
    return np.concatenate([scene[:1], scene[1:] + off]).astype(np.uint8)


def compressed() -> Iterator[Image]:
    """A red fruit on a belt between painted rails, by a camera that shakes, as a codec leaves it."""
    belt, rng = Belt(BELTS["grey"], seed=3), np.random.default_rng(3)
    for frame in range(120):
        picture = belt.draw(8 * frame, [(8 * (frame % 50) - 40, 120, FRUITS["red"])])
        picture[14:20], picture[214:220] = (150, 120, 70), (70, 110, 160)
        shaken = np.roll(picture, rng.integers(-3, 4), axis=0)
        taken = cv2.imencode(".jpg", cv2.cvtColor(shaken, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
        yield cv2.cvtColor(cv2.imdecode(taken, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore[misc]


def traces_px(monkeypatch: pytest.MonkeyPatch, pictures: Iterator[Image]) -> int:
    """How many pixels of these pictures a localiser takes for traces that are not clear to see."""
    found, find = [], Tint.find

    def counted(self: Tint, picture: Planes, clear: Plane, differs: Plane) -> Plane | None:
        traces = find(self, picture, clear, differs)
        found.append(0 if traces is None else cv2.countNonZero(cv2.subtract(traces, clear)))
        return traces

    with monkeypatch.context() as patch:
        patch.setattr(Tint, "find", counted)
        things(pictures)
    return sum(found)


def things(pictures: Iterator[Image]) -> list[int]:
    localizer = Localizer(LocalizeSettings(), BeltSettings())
    return [len(localizer.detect(picture)) for picture in pictures]


def test_compressed_footage_that_shakes_shows_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    assert traces_px(monkeypatch, compressed()) == 0
    block = np.ones((1, 1), np.uint8)
    monkeypatch.setattr(tint, "_WIDE", block)
    monkeypatch.setattr(tint, "_WIDE_ALONE", block)
    assert traces_px(monkeypatch, compressed()) > 1000


@pytest.mark.parametrize("film", ["belt_topdown_black_parts.mp4", "belt_topdown_green_boxes.mp4"])
def test_on_films_of_real_belts_traces_find_nothing_more(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, film: str
) -> None:
    def pictures() -> Iterator[Image]:
        with closing(open_camera(str(real_data / "data" / "belt" / film))) as camera:
            yield from (frame.image for frame in islice(camera.frames(), 300))

    with monkeypatch.context() as patch:
        patch.setattr(Tint, "find", lambda *_: None)
        before = sum(things(pictures()))
    assert sum(things(pictures())) == pytest.approx(before, rel=0.02)
