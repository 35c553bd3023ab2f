"""Frames through shared memory: whole or not at all, the newest first, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.errors import CameraError
from edge_runtime.processes.ring import SLOTS, FrameRing
from edge_runtime.processes.ring_belt import RingBelt
from edge_runtime.records import Frame

SHAPE = (90, 160, 3)
BYTES = 90 * 160 * 3


@pytest.fixture
def ring() -> Iterator[FrameRing]:
    made = FrameRing.new("test", BYTES)
    yield made
    made.close(remove=True)


def frame(index: int, belt_mm: float | None = None) -> Frame:
    """All pixels alike, so that a torn one shows."""
    return Frame(np.full(SHAPE, index % 251, np.uint8), index, 1000 * index, belt_mm)


def test_a_frame_comes_out_as_it_went_in(ring: FrameRing) -> None:
    image = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    ring.write(Frame(image, 7, 123456789012345, 55.25))
    found = ring.newest(after=0)
    assert found is not None
    assert found.number == 1
    assert (found.frame.index, found.frame.captured_ns, found.frame.belt_mm) == (7, 123456789012345, 55.25)
    assert np.array_equal(found.frame.image, image)
    ring.write(frame(8, None))
    later = ring.newest(after=1)
    assert later is not None
    assert later.frame.belt_mm is None


def test_the_newest_wins_and_none_comes_twice(ring: FrameRing) -> None:
    assert ring.newest(after=0) is None
    for index in range(10):
        ring.write(frame(index))
    found = ring.newest(after=0)
    assert found is not None
    assert (found.number, found.frame.index) == (10, 9)
    assert ring.newest(after=10) is None


def test_a_frame_that_was_written_over_is_not_given_out(ring: FrameRing) -> None:
    for index in range(SLOTS + 2):
        ring.write(frame(index))
    assert ring.read(1) is None
    kept = ring.read(3)
    assert kept is not None
    assert kept.index == 2


def test_a_frame_that_is_too_large_says_which_key_to_raise(ring: FrameRing) -> None:
    with pytest.raises(CameraError, match="frame_mb"):
        ring.write(Frame(np.zeros((100, 200, 3), np.uint8), 0, 0))


def test_a_writer_that_must_not_lose_frames_waits_for_room(ring: FrameRing) -> None:
    for index in range(SLOTS - 1):
        assert ring.wait_for_room(0, 0.0)
        ring.write(frame(index))
    assert not ring.wait_for_room(0, 0.01)
    assert ring.wait_for_room(1, 0.0)


def write_for_ever(name: str) -> None:
    writer = FrameRing.open(name, BYTES)
    index = 0
    while True:
        writer.write(frame(index))
        index += 1


def test_no_torn_frame_while_a_writer_races_and_dies(ring: FrameRing) -> None:
    context = multiprocessing.get_context("spawn")
    taken = last = 0
    for _ in range(3):
        writer = context.Process(target=write_for_ever, args=(ring.name,), daemon=True)
        writer.start()
        try:
            goal, end = taken + 300, time.monotonic() + 60
            while taken < goal and time.monotonic() < end:
                found = ring.newest(after=last)
                if found is not None:
                    assert found.number > last
                    last = found.number
                    taken += 1
                    assert (found.frame.image == found.frame.index % 251).all(), "torn"
            assert taken >= goal
        finally:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)  # wherever it is
            writer.join()
    before = ring.newest_number
    ring.write(frame(5))  # its successor goes on where it stopped
    found = ring.newest(after=before)
    assert found is not None
    assert found.frame.index == 5


def test_where_only_frames_know_the_belt_it_goes_on_between_them_and_is_forgotten_without(ring: FrameRing) -> None:
    belt = RingBelt(ring)
    assert belt.position_mm(0) is None
    for index in range(3):
        ring.write(replace(frame(index, 100.0 + 10.0 * index), captured_ns=index * 50_000_000))
        place_mm = belt.position_mm(index * 50_000_000)
        assert place_mm == 100.0 + 10.0 * index
    ahead_mm = belt.position_mm(125_000_000)
    assert ahead_mm == pytest.approx(125.0)
    assert belt.position_mm(700_000_000) is None
    ring.write(replace(frame(4), captured_ns=800_000_000))
    assert belt.position_mm(800_000_000) is None
