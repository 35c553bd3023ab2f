"""The printed sheet: a ChArUco board with a ruler, drawn to be printed and found in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.records import Image

SQUARES = (7, 5)
MARKER_SHARE = 0.75
LEAST_CORNERS = 8
RULER_MM = 100.0
"""Nominal length of the ruler at a square of 15 mm; it grows with the square."""

_MARGIN = 0.4
_RULER_HIGH = 1.2
_FULL = 15.0


@dataclass(frozen=True, slots=True)
class SheetView:
    """The sheet in one picture.

    `centre_px` is the middle of its chessboard and `along` the unit vector of its ruler, towards its arrow, both (x, y)
    in the picture; `px_per_mm` `[2, 2]` maps millimetres on the sheet (along the ruler, across it) to pixels.
    `outline_px` `[4, 2]` are the corners of its chessboard, `corners` how many inner corners were found, and
    `misfit_px` how far these lie from the plane that fits them best (root mean square).
    """

    centre_px: tuple[float, float]
    along: tuple[float, float]
    px_per_mm: npt.NDArray[np.float64]
    outline_px: npt.NDArray[np.float64]
    corners: int
    misfit_px: float

    def mm_per_px(self, direction: tuple[float, float]) -> float:
        """Scale along a direction in the picture, a unit vector."""
        return float(np.linalg.norm(np.linalg.solve(self.px_per_mm, np.array(direction))))


@dataclass(frozen=True)
class Sheet:
    """A chessboard of 7 by 5 squares with markers (Garrido-Jurado et al. 2014), and a ruler from its middle.

    Args:
        square_mm: Side of a square as it came out of the printer.
    """

    square_mm: float = _FULL

    @property
    def size_mm(self) -> tuple[float, float]:
        """Of the sheet, margin and ruler included: along the ruler, across it."""
        columns, rows = SQUARES
        return (columns + 2 * _MARGIN) * self.square_mm, (rows + _RULER_HIGH + 2 * _MARGIN) * self.square_mm

    @property
    def centre_mm(self) -> tuple[float, float]:
        """Where on the sheet, from its upper left corner, the middle of the chessboard is."""
        return self.size_mm[0] / 2, (SQUARES[1] / 2 + _MARGIN) * self.square_mm

    @property
    def half_ruler_mm(self) -> float:
        """How far the ruler reaches to both sides of its zero."""
        return RULER_MM / 2 * self.square_mm / _FULL

    def draw(self, px_per_mm: float) -> Image:
        """The sheet as it is to be printed, `[height, width, 3]` uint8 RGB, at so many pixels a millimetre."""
        side = round(self.square_mm * px_per_mm)
        scale = side / self.square_mm
        width, height = (round(each * scale) for each in self.size_mm)
        page = np.full((height, width), 255, np.uint8)
        board = self._board.generateImage((SQUARES[0] * side, SQUARES[1] * side), marginSize=0)
        top, left = round(_MARGIN * side), (width - board.shape[1]) // 2
        page[top : top + board.shape[0], left : left + board.shape[1]] = board
        self._draw_ruler(page, top + board.shape[0], scale)
        return np.repeat(page[..., None], 3, axis=2)

    def find(self, image: Image) -> SheetView | None:
        """Find the sheet in a picture, `[height, width, 3]` uint8 RGB; None where too little of it shows."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        corners, numbers, _, _ = self._detector.detectBoard(grey)
        if corners is None or len(corners) < LEAST_CORNERS:
            return None
        seen = np.asarray(corners, np.float64).reshape(-1, 2)
        columns, rows = SQUARES
        middle = np.array([columns, rows]) * self.square_mm / 2
        known = np.asarray(self._board.getChessboardCorners(), np.float64)[np.ravel(numbers), :2] - middle
        if np.linalg.matrix_rank(known - known.mean(axis=0)) < 2:
            return None
        design = np.column_stack([known, np.ones(len(known))])
        fit, *_ = np.linalg.lstsq(design, seen, rcond=None)
        misfit = float(np.sqrt(np.mean(np.sum((design @ fit - seen) ** 2, axis=1))))
        px_per_mm = fit[:2].T
        outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * middle
        along = px_per_mm[:, 0] / np.linalg.norm(px_per_mm[:, 0])
        return SheetView(
            (float(fit[2, 0]), float(fit[2, 1])),
            (float(along[0]), float(along[1])),
            px_per_mm,
            outline @ px_per_mm.T + fit[2],
            len(seen),
            misfit,
        )

    @cached_property
    def _board(self) -> Any:
        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
        return cv2.aruco.CharucoBoard(SQUARES, self.square_mm, MARKER_SHARE * self.square_mm, dictionary)

    @cached_property
    def _detector(self) -> Any:
        return cv2.aruco.CharucoDetector(self._board)

    def _draw_ruler(self, page: npt.NDArray[np.uint8], top_px: int, scale: float) -> None:
        """Ticks every millimetre, numbers every ten (of a sheet at 15 mm), and an arrow towards its positive end."""
        unit = self.square_mm / _FULL
        middle, top = page.shape[1] / 2, top_px + round(1.5 * unit * scale)
        half = round(self.half_ruler_mm / unit)
        for tick in range(-half, half + 1):
            long_mm = 5.0 if tick % 10 == 0 else 3.5 if tick % 5 == 0 else 2.2
            x, thick = round(middle + tick * unit * scale), max(1, round((0.3 if tick else 0.9) * unit * scale))
            bottom = top + round(long_mm * unit * scale)
            page[top:bottom, x - thick // 2 : x - thick // 2 + thick] = 0
            if tick % 10 == 0:
                text, size = f"{tick * unit:g}", 0.07 * unit * scale
                (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
                at = (x - wide // 2, bottom + high + round(0.8 * unit * scale))
                cv2.putText(
                    page, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0,), max(1, round(0.2 * scale)), cv2.LINE_AA
                )
        y, end = top_px + round(13.5 * unit * scale), round(middle + self.half_ruler_mm * scale)
        begin = round(middle + (self.half_ruler_mm - 20 * unit) * scale)
        cv2.arrowedLine(
            page, (begin, y), (end, y), (0,), max(1, round(0.5 * unit * scale)), cv2.LINE_AA, tipLength=0.25
        )
        words = f"prints true if 0 to {half * unit:g} is {half * unit:g} mm; arrow with the belt"
        size = 0.055 * unit * scale
        left = round(middle - self.half_ruler_mm * scale)
        _write(page, words, (left, y + round(unit * scale)), size, 1)


def _write(page: npt.NDArray[np.uint8], text: str, at: tuple[int, int], size: float, thick: int) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0,), thick, cv2.LINE_AA)
