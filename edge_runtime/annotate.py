"""Draw what the line saw and decided onto a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.records import Box, Image, Verdict

Colour = tuple[int, int, int]

COLOURS: dict[Verdict | None, Colour] = {
    Verdict.ACCEPT: (46, 204, 113),
    Verdict.DIVERT: (255, 92, 77),
    Verdict.UNDECIDED: (255, 193, 61),
    None: (170, 190, 210),
}
"""By verdict; None for a fruit that is not decided yet. They differ in lightness too."""

_INK: Colour = (18, 22, 28)
_PAPER: Colour = (236, 240, 244)
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, slots=True)
class Mark:
    """What to draw around one fruit; `probability` is that of `label`."""

    box: Box
    fruit_id: int
    verdict: Verdict | None = None
    label: str | None = None
    probability: float | None = None


def draw_frame(
    image: Image, marks: Sequence[Mark], *, header: str = "", counts: Mapping[str, int] | None = None
) -> Image:
    """Draw boxes, labels and a strip of counts.

    Args:
        image: `[height, width, 3]` uint8 RGB, left as it is.
        marks: The fruit of this frame.
        header: Left end of the strip, such as the source and the frame number.
        counts: Right end of the strip, in the order given; a verdict's name gets its colour.

    Returns:
        A new picture of the same size.
    """
    drawn = image.copy()
    scale = _scale(image)
    for mark in sorted(marks, key=lambda each: each.fruit_id):
        _draw_mark(drawn, mark, scale)
    if header or counts:
        _draw_strip(drawn, header, counts or {}, scale)
    return drawn


def _scale(image: Image) -> float:
    """Size of the drawing, 1 for a picture 960 pixels wide."""
    return float(np.clip(max(image.shape[:2]) / 960, 0.45, 3.0))


def _draw_mark(drawn: Image, mark: Mark, scale: float) -> None:
    x, y, w, h = mark.box.as_list()
    colour = COLOURS[mark.verdict]
    thickness = max(1, round(2 * scale))
    cv2.rectangle(drawn, (x, y), (x + w - 1, y + h - 1), _INK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(drawn, (x, y), (x + w - 1, y + h - 1), colour, thickness, cv2.LINE_AA)
    text = f"#{mark.fruit_id}"
    if mark.label is not None:
        text += f" {mark.label}"
    if mark.probability is not None:
        text += f" {mark.probability:.0%}"
    size, pad = 0.5 * scale, max(2, round(4 * scale))
    (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, size, 1)
    tag_h = text_h + baseline + pad
    strip_h = _strip_height(scale)
    left = int(np.clip(x, 0, max(0, drawn.shape[1] - text_w - 2 * pad)))
    top = y - tag_h if y - tag_h >= strip_h else min(y + h, drawn.shape[0] - tag_h)
    _fill(drawn, (left, top, text_w + 2 * pad, tag_h), colour, 1.0)
    cv2.putText(drawn, text, (left + pad, top + tag_h - baseline), _FONT, size, _INK, 1, cv2.LINE_AA)


def _strip_height(scale: float) -> int:
    return round(30 * scale)


def _draw_strip(drawn: Image, header: str, counts: Mapping[str, int], scale: float) -> None:
    height = _strip_height(scale)
    _fill(drawn, (0, 0, drawn.shape[1], height), _INK, 0.82)
    size, pad = 0.5 * scale, round(10 * scale)
    baseline_y = round(height * 0.68)
    right = drawn.shape[1] - pad
    for name, count in reversed(list(counts.items())):
        text = f"{name} {count}"
        text_w = cv2.getTextSize(text, _FONT, size, 1)[0][0]
        right -= text_w
        cv2.putText(drawn, text, (right, baseline_y), _FONT, size, _PAPER, 1, cv2.LINE_AA)
        if name in Verdict.__members__:
            dot = round(5 * scale)
            right -= 2 * dot + pad // 2
            cv2.circle(drawn, (right + dot, height // 2), dot, COLOURS[Verdict(name)], cv2.FILLED, cv2.LINE_AA)
        right -= 2 * pad
    cv2.putText(drawn, _fit(header, right, size), (pad, baseline_y), _FONT, size, _PAPER, 1, cv2.LINE_AA)


def _fit(text: str, width_px: int, size: float) -> str:
    while text and cv2.getTextSize(text, _FONT, size, 1)[0][0] > width_px:
        text = text[:-1]
    return text


def _fill(drawn: Image, box: tuple[int, int, int, int], colour: Colour, opacity: float) -> None:
    left, top, width, height = box
    part = drawn[max(top, 0) : max(top + height, 0), left : left + width]
    part[...] = (part * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)
