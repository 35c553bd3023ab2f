"""Which views of a moving fruit are kept for labelling."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from edge_runtime.collecting import Collector
from edge_runtime.pipeline import Step
from edge_runtime.records import Box, Decision, Detection, Frame, TrackedDetection, Verdict


def seen(fruit_id: int, index: int) -> TrackedDetection:
    """One view; a picture further on is 10 pixels further on."""
    return TrackedDetection(fruit_id, Detection(Box(10.0 * index, 0, 20, 20), 400.0), index, index, None, None, 0)


def decided(fruit_id: int, index: int, share: float) -> Decision:
    probabilities = {"ripe": share, "unripe": 1 - share}
    return Decision(
        fruit_id, Verdict.ACCEPT, "ripe", probabilities, 1, 0, index, 0, index, None, None, 0, [0, 0, 1, 1], "b", "p"
    )


def frame(index: int) -> Frame:
    return Frame(np.zeros((100, 100, 3), np.uint8), index, index)


@pytest.mark.parametrize(("share", "kept"), [(0.6, [0, 1, 2]), (0.95, [])])
def test_views_of_a_fruit_are_kept_if_its_decision_is_unsure(share: float, kept: list[int]) -> None:
    found: list[int] = []
    collector = Collector(lambda _frame, view: found.append(view.frame_index), every_px=10.0, until_decided=True)
    for index in range(6):
        decisions = [decided(1, index, share)] if index == 2 else []
        collector.on_frame(frame(index), Step([seen(1, index)], decisions, {}))
    assert found == kept


@pytest.mark.parametrize("how", ["decided", "lost undecided"])
def test_frames_are_let_go_once_nothing_more_can_come_of_them(how: str) -> None:
    collector = Collector(lambda _frame, _view: None, every_px=10.0, until_decided=True)
    pictures = []
    for index in range(6):
        one = np.zeros((100, 100, 3), np.uint8)
        pictures.append(weakref.ref(one))
        decisions = [decided(1, index, 0.6)] if index == 2 and how == "decided" else []
        ended = [1] if index == 5 and how != "decided" else []
        collector.on_frame(Frame(one, index, index), Step([seen(1, index)], decisions, {}, ended))
    del one
    assert [picture() is None for picture in pictures] == [True] * 6


def test_without_decisions_views_are_kept_every_so_far() -> None:
    found: list[int] = []
    collector = Collector(lambda _frame, view: found.append(view.frame_index), every_px=25.0, until_decided=False)
    for index in range(7):
        collector.on_frame(frame(index), Step([seen(1, index)], [], {}))
    assert found == [0, 3, 6]
