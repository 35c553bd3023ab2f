"""The worst errors of a run, each with the frame that shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from edge_runtime.cameras import open_camera
from edge_runtime.errors import RipelineError
from edge_runtime.records import Box, Image
from simulator.camera import SimulatedCamera
from simulator.evidence import Evidence, Row
from simulator.line import SimulatedLine, scene_line
from simulator.matching import Matched, Outcome, Spare, Stroke

WORST = 8
"""How many are shown."""

FOLDER = "worst"
_TRUTH_COLOUR, _DECISION_COLOUR = (255, 255, 255), (255, 210, 0)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One error. `cost` orders errors of one run; `frame` shows it best; `place_mm` is where it is on the belt."""

    cost: float
    what: str
    truth: Row | None
    decision: Row | None
    frame: int
    place_mm: float | None

    def as_dict(self) -> Row:
        """The row of `score.json`."""
        return {
            "what": self.what,
            "fruit_id": self.truth["fruit_id"] if self.truth else None,
            "decision_id": self.decision["fruit_id"] if self.decision else None,
            "frame": self.frame,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame with an error outlined in it, and where in it to look."""

    frame: Image
    box: Box


def errors(
    matched: Matched, strokes: Sequence[Stroke], firings: Sequence[Row], *, accepted: Sequence[str]
) -> list[Wrong]:
    """Everything that went wrong, what costs most first: lost and invented fruit, strokes, escapes, labels."""
    wrong = [error for one in matched.outcomes if (error := _of_fruit(one, accepted)) is not None]
    wrong += [_of_spare(one) for one in matched.spare]
    decision_of = {one.decision["fruit_id"]: one.decision for one in matched.outcomes if one.decision is not None}
    for stroke in strokes:
        decision = decision_of.get(stroke.action["fruit_id"])
        if decision is None or (stroke.hit_own and not stroke.hit_neighbour):
            continue
        met = "a neighbour too" if stroke.hit_own else "a neighbour" if stroke.hit else "nothing"
        wrong.append(_wrong(3.0 if stroke.hit_own else 3.2, f"the stroke hit {met}", stroke.meant, decision))
    for firing in firings:
        decision, truth = decision_of.get(firing["fruit_id"]), matched.fruit_of.get(firing["fruit_id"])
        if firing["reason"] and decision is not None and truth is not None:
            wrong.append(_wrong(3.1, f"{truth['label']} not thrown out: {firing['reason']}", truth, decision))
    return sorted(wrong, key=lambda one: -one.cost)


def pictures(evidence: Evidence, wrong: Sequence[Wrong]) -> list[Shown | None]:
    """The frame of each error as the run was given it, the true fruit and the decision outlined; None without one."""
    line = None if evidence.scene is None or evidence.scene.get("film") else scene_line(evidence.scene)
    if line is not None and isinstance(line.camera, SimulatedCamera):
        raw: list[Image | None] = [line.camera.picture(one.frame) for one in wrong]
    else:
        film = _film(str(evidence.summary.get("source", "")), {one.frame for one in wrong})
        raw = [film.get(one.frame) for one in wrong]
    return [None if picture is None else _outlined(picture, one, line) for picture, one in zip(raw, wrong, strict=True)]


def write_pictures(folder: Path, shown: Sequence[Shown | None]) -> list[str | None]:
    """Write `folder/worst/N.jpg`; returns the names, relative to `folder`, of those that there are."""
    names: list[str | None] = []
    for old in (folder / FOLDER).glob("*.jpg"):
        old.unlink()
    for number, one in enumerate(shown, 1):
        if one is None:
            names.append(None)
            continue
        (folder / FOLDER).mkdir(exist_ok=True)
        names.append(f"{FOLDER}/{number}.jpg")
        cv2.imwrite(os.fspath(folder / FOLDER / f"{number}.jpg"), cv2.cvtColor(one.frame, cv2.COLOR_RGB2BGR))
    return names


def _of_fruit(one: Outcome, accepted: Sequence[str]) -> Wrong | None:
    label, decision = one.truth["label"], one.decision
    if decision is None:
        cost = {"missed": 5.0, "merged": 4.0}.get(one.fate)
        return None if cost is None else _wrong(cost, f"{label} {one.fate}", one.truth, None)
    escaped = label not in accepted and decision["verdict"] == "ACCEPT"
    rejected = label in accepted and decision["verdict"] == "DIVERT"
    if decision["label"] == label and not escaped and not rejected:
        return None
    sure = float(decision["probabilities"][decision["label"]])
    seen = f"{decision['views']} view{'s' * (decision['views'] != 1)}"
    what = f"{label} taken for {decision['label']} ({sure:.0%}, {seen}), {decision['verdict']}"
    return _wrong(sure + (2.0 if escaped else 0.0), what, one.truth, decision)


def _of_spare(one: Spare) -> Wrong:
    label = one.truth["label"] if one.truth else "nothing"
    return _wrong(3.5, f"{label} {one.kind}, {one.decision['verdict']}", one.truth, one.decision)


def _wrong(cost: float, what: str, truth: Row | None, decision: Row | None) -> Wrong:
    if decision is not None:
        frame = decision["last_frame"]
    else:
        assert truth is not None
        frame = (truth.get("first_frame", 0) + truth.get("last_frame", 0)) // 2
    place_mm = truth["position_mm"] if truth is not None else decision["position_mm"] if decision else None
    return Wrong(cost, what, truth, decision, frame, place_mm)


def _film(source: str, wanted: set[int]) -> dict[int, Image]:
    """Frames of a recording by number; empty if it is no longer there."""
    if not wanted or not Path(source).exists():
        return {}
    try:
        camera = open_camera(source)
    except RipelineError:
        return {}
    try:
        return {frame.index: frame.image for frame in islice(camera.frames(), max(wanted) + 1) if frame.index in wanted}
    finally:
        camera.close()


def _outlined(picture: Image, one: Wrong, line: SimulatedLine | None) -> Shown:
    frame, height, width = picture.copy(), picture.shape[0], picture.shape[1]
    look_at = Box(0, 0, width, height)
    decided = Box(*one.decision["box_px"]) if one.decision is not None and "box_px" in one.decision else None
    if one.truth is not None and line is not None:
        camera = line.world.scenario.camera
        belt_mm = line.world.wheel.at_mm(float(line.world.shutter.belt_mm[one.frame]))
        (width_px, height_px), (off_x_px, off_y_px) = one.truth["size_px"], one.truth.get("offset_px", (0.0, 0.0))
        x_px = camera.width_px - (one.truth["position_mm"] - belt_mm) / camera.mm_per_px + off_x_px
        y_px = one.truth["across_mm"] / camera.mm_per_px + off_y_px
        look_at = Box(round(x_px - width_px / 2), round(y_px - height_px / 2), width_px, height_px)
        _outline(frame, look_at, _TRUTH_COLOUR)
    if decided is not None:
        look_at = decided if one.truth is None or line is None else look_at
        _corners(frame, decided, _DECISION_COLOUR)
    return Shown(frame, look_at)


def _outline(frame: Image, box: Box, colour: tuple[int, int, int]) -> None:
    x, y, w, h = box.as_list()
    cv2.rectangle(frame, (x, y), (x + w, y + h), colour, 2)


def _corners(frame: Image, box: Box, colour: tuple[int, int, int]) -> None:
    """The four corners of a box, outside of it, so that another box of the same size is seen between them."""
    x, y, w, h = box.as_list()
    for at_x, along in ((x - 3, 1), (x + w + 3, -1)):
        for at_y, down in ((y - 3, 1), (y + h + 3, -1)):
            cv2.line(frame, (at_x, at_y), (at_x + along * max(6, w // 4), at_y), colour, 3)
            cv2.line(frame, (at_x, at_y), (at_x, at_y + down * max(6, h // 4)), colour, 3)
