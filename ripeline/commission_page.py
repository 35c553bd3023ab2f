"""The page that `ripeline line commission` leaves: what was measured, what is not good enough, and a still."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.commissioning.assessment import Finding, State
from edge_runtime.commissioning.session import Still
from edge_runtime.records import Image
from evaluation.page import Page

_FOUND, _INK = (46, 204, 113), (18, 22, 28)


def draw_still(still: Still) -> Image:
    """The still with the marker's outline, its middle, and the picture's middle lines to level the camera by."""
    drawn = still.image.copy()
    height, width = drawn.shape[:2]
    thick = max(1, round(max(height, width) / 480))
    for x, y in ((width // 2, None), (None, height // 2)):
        ends = ((x, 0), (x, height)) if y is None else ((0, y), (width, y))
        cv2.line(drawn, *ends, (255, 193, 61), 1, cv2.LINE_AA)  # type: ignore[arg-type]
    if len(still.outline_px):
        points = [np.round(still.outline_px).astype(np.int32)]
        for colour, wide in ((_INK, thick + 2), (_FOUND, thick)):
            cv2.polylines(drawn, points, True, colour, wide, cv2.LINE_AA)
        middle = tuple(round(each) for each in still.outline_px.mean(axis=0).tolist())
        cv2.drawMarker(drawn, middle, _FOUND, cv2.MARKER_CROSS, 12 * thick, thick, cv2.LINE_AA)
    return drawn


def write_page(file: Path, source: str, findings: Sequence[Finding], still: Still | None) -> None:
    """Write one self-contained HTML file; a still without an outline is one in which no marker was found."""
    page = Page("Commissioning", source)
    poor = [each for each in findings if each.state is State.POOR]
    out = [each for each in findings if each.state is State.LEFT_OUT]
    result = page.section("Result")
    if not poor and not out:
        result.verdict("Everything was measured and is good enough.", "good")
    elif poor:
        result.verdict(f"Not good enough yet: {', '.join(each.name.lower() for each in poor)}.", "warn")
    else:
        result.verdict(f"Good as far as it goes. Left out: {', '.join(each.name.lower() for each in out)}.", "good")
    rows = [[each.name, each.value, str(each.state), each.remedy] for each in findings]
    result.table(["", "Measured", "State", "What to do"], rows)
    if still is not None:
        shown = (
            "The picture in which the marker shows best"
            if len(still.outline_px)
            else "The first picture; no marker was found"
        )
        caption = f"{shown}; the yellow lines are the picture's middle."
        page.section("What the camera sees").picture(draw_still(still), caption)
    page.write(file)
