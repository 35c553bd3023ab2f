"""Light, focus and colour of a camera, watched on the belt that it sees anyway, against what it saw when it was new."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from threading import Thread

import cv2
import numpy as np

from edge_runtime.journaling.journal_facts import write_facts
from edge_runtime.monitoring.health import SceneFacts
from edge_runtime.records import Image

_LEARNED_FROM = 60
_SMOOTHED_OVER = 30
_EVERY_NS = 1_000_000_000
_TILES = 8
_LOOKED_AT_PX = 160
_CUT_PX = 480


@dataclass(frozen=True, slots=True)
class SceneMeasure:
    """One picture: luma of the median colour; fine detail as a share of luma; red and blue as shares of green."""

    light: float
    focus: float
    red: float
    blue: float


def measure_scene(image: Image) -> SceneMeasure:
    """Measure one picture.

    Detail is the spread of the Laplacian of luma (Pech-Pacheco et al. 2000) in each of 8 x 8 tiles over the tile's mean
    luma, and of those the upper quartile: a belt may be bare in most places, and light cancels out.

    Args:
        image: `[height, width, 3]` uint8 RGB, at least 8 x 8.
    """
    every = max(1, max(image.shape[:2]) // _LOOKED_AT_PX)
    few = image[::every, ::every].reshape(-1, 3)
    red, green, blue = (float(np.median(few[:, channel])) + 1 for channel in range(3))
    # Detail needs the finest pixels, so a piece of the middle is cut out, not resized.
    height, width = (min(size, _CUT_PX) // _TILES * _TILES for size in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    cut = np.ascontiguousarray(image[top : top + height, left : left + width])
    luma = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY).astype(np.float32)
    tiles = (_TILES, height // _TILES, _TILES, width // _TILES)
    spread = cv2.Laplacian(luma, cv2.CV_32F).reshape(tiles).std(axis=(1, 3)) / (
        luma.reshape(tiles).mean(axis=(1, 3)) + 1
    )
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return SceneMeasure(light, float(np.quantile(spread, 0.75)), red / green, blue / green)


class SceneWatch:
    """Compares the last half minute with what the first minute showed.

    Medians over time, so that fruit that pass do not count. Takes one picture a second.

    Args:
        reference: Of an earlier run; without one the first 60 pictures become it.
    """

    def __init__(self, reference: SceneMeasure | None = None) -> None:
        self.reference = reference
        self._recent: deque[SceneMeasure] = deque(maxlen=_SMOOTHED_OVER)
        self._first: list[SceneMeasure] = []

    def update(self, image: Image) -> SceneFacts:
        """Take in a picture."""
        measure = measure_scene(image)
        self._recent.append(measure)
        if self.reference is None:
            self._first.append(measure)
            if len(self._first) >= _LEARNED_FROM:
                self.reference = _median(self._first)
                self._first = []
        if self.reference is None or len(self._recent) < _SMOOTHED_OVER:
            return SceneFacts()
        pairs = zip(astuple(_median(self._recent)), astuple(self.reference), strict=True)
        return SceneFacts(*(round(now / max(was, 1e-6), 3) for now, was in pairs))


class SceneReporter:
    """Looks once a second, keeps the reference beside the journal and leaves what it found for who tells people.

    Args:
        runtime: Folder in memory; `scene-CAMERA.json` goes there.
        camera: Its name.
        kept: File of the reference, so that a lamp that was dim all along since a restart is still dim; a new camera or
            lamp is learned anew once the file is removed. None to learn at each start.
    """

    def __init__(self, runtime: Path, camera: str = "camera", kept: Path | None = None) -> None:
        self._file, self._kept = scene_file(runtime, camera), kept
        self._watch = SceneWatch(_read_reference(kept))
        self._due_ns = 0

    def look(self, image: Image, now_ns: int) -> None:
        """Take in a frame; most are passed over."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _EVERY_NS
        known = self._watch.reference
        facts = self._watch.update(image)
        if self._kept is not None and known is None and self._watch.reference is not None:
            # In a thread, as the disk may hang.
            Thread(target=write_facts, args=(self._kept, asdict(self._watch.reference)), daemon=True).start()
        write_facts(self._file, asdict(facts))


def scene_file(runtime: Path, camera: str) -> Path:
    """Where a camera's scene is told."""
    return runtime / f"scene-{camera}.json"


def read_scene(runtime: Path, camera: str) -> SceneFacts:
    """What `SceneReporter` last found; all None where it has not."""
    try:
        return SceneFacts(**json.loads(scene_file(runtime, camera).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return SceneFacts()


def _read_reference(kept: Path | None) -> SceneMeasure | None:
    try:
        return None if kept is None else SceneMeasure(**json.loads(kept.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _median(measures: deque[SceneMeasure] | list[SceneMeasure]) -> SceneMeasure:
    return SceneMeasure(*np.median([astuple(one) for one in measures], axis=0).tolist())
