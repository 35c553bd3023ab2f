"""Belt positions recorded beside a clip: a CSV file with the columns `time_ns,position_mm`, or `time_ns,ticks`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_runtime.errors import EncoderError

TIME = "time_ns"
WAYS = ("position_mm", "ticks")
"""What the way may be called: millimetres, or counts that `[encoder] mm_per_tick` makes millimetres of."""

_FARTHEST_MM, _LATEST_NS = 1e12, 2**62
_REMEDY = "Correct the file, or leave it out and run without belt positions."


class CsvEncoder:
    """Belt distance from a recording, linear between its rows.

    Args:
        path: CSV file with a header and at least two rows; other columns (`frame`) are ignored.

    Raises:
        EncoderError: The file is missing or malformed; the message gives the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = list(_rows(path))
        if len(rows) < 2:
            raise EncoderError(f"{path}: {len(rows)} rows of belt positions", expected="two or more", remedy=_REMEDY)
        self._time_ns = np.array([time_ns for time_ns, _ in rows], np.int64)
        self._position_mm = np.array([position_mm for _, position_mm in rows], np.float64)
        # A frame may be stamped a rounding error, or half a period, outside the recorded span.
        period_ns = float(np.median(np.diff(self._time_ns)))
        self._slack_ns = round(period_ns / 2)
        self.rate_hz = 1e9 / period_ns
        """Rows a second."""

    def position_mm(self, captured_ns: int) -> float | None:
        """Distance that the belt has run at that time; None outside the recording (half a row's period of slack)."""
        first_ns, last_ns = int(self._time_ns[0]), int(self._time_ns[-1])
        if not first_ns - self._slack_ns <= captured_ns <= last_ns + self._slack_ns:
            return None
        row = int(np.clip(np.searchsorted(self._time_ns, captured_ns, side="right"), 1, len(self._time_ns) - 1))
        # Offsets from the row, not absolute times: monotonic nanoseconds do not fit a float64 exactly.
        start_ns, start_mm = int(self._time_ns[row - 1]), float(self._position_mm[row - 1])
        share = (captured_ns - start_ns) / (int(self._time_ns[row]) - start_ns)
        return start_mm + share * (float(self._position_mm[row]) - start_mm)


def find_encoder(source: str) -> Path | None:
    """`encoder.csv` inside a folder of pictures, or beside the folder or clip, if there is one."""
    path = Path(source)
    if not path.exists():
        return None
    folders = [path, path.resolve().parent] if path.is_dir() else [path.parent]
    return next((folder / "encoder.csv" for folder in folders if (folder / "encoder.csv").is_file()), None)


def _rows(path: Path) -> Iterator[tuple[int, float]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _parse(path, csv.DictReader(file))
    except FileNotFoundError:
        raise EncoderError(f"{path}: no such file", remedy="Check the path given as --encoder.") from None
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read ({error.strerror})", remedy=_REMEDY) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EncoderError(f"{path}: not a CSV file ({error})", expected="UTF-8 text", remedy=_REMEDY) from error


def _parse(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, float]]:
    named = reader.fieldnames or ()
    way = next((name for name in WAYS if name in named), None)
    if way is None or TIME not in named:
        missing = [*([] if TIME in named else [TIME]), *([] if way else [" or ".join(WAYS)])]
        raise EncoderError(
            f"{path}: no column {', '.join(missing)}", expected=f"a header with {TIME},{WAYS[0]}", remedy=_REMEDY
        )
    previous_ns: int | None = None
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        try:
            time_ns, position_mm = int(row[TIME] or ""), float(row[way] or "")
        except (TypeError, ValueError):
            found = f"{row[TIME]!r}, {row[way]!r}"
            raise EncoderError(
                f"{where}: {found}", expected="whole nanoseconds and millimetres", remedy=_REMEDY
            ) from None
        if not abs(position_mm) < _FARTHEST_MM:
            raise EncoderError(
                f"{where}: position {position_mm}", expected="a finite number below 10^12", remedy=_REMEDY
            )
        if not abs(time_ns) < _LATEST_NS:
            raise EncoderError(f"{where}: time {time_ns}", expected="nanoseconds below 2^62", remedy=_REMEDY)
        if previous_ns is not None and time_ns <= previous_ns:
            raise EncoderError(
                f"{where}: time {time_ns} does not rise", expected=f"more than {previous_ns}", remedy=_REMEDY
            )
        previous_ns = time_ns
        yield time_ns, position_mm
