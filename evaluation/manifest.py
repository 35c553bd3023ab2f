"""`manifest.csv`: what is known of each picture beside its label."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.records import UNSORTED, Box

FILE = "manifest.csv"
SHOWN_FILES = 5


def read_manifest(folder: Path) -> dict[str, dict[str, str]] | None:
    """Rows of a folder's `manifest.csv` by file, None without one.

    A picture that was moved since, as by sorting into folders of labels, keeps its row as long as its name is unique.
    One that was collected and thrown away while sorting has none.

    Raises:
        InputError: It is no table, or a row names a file that is not there or contradicts its folder.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restval="")
    try:
        columns = Counter(reader.fieldnames or ())
        if "file" not in columns:
            raise InputError(
                f"{path} has no column 'file'.",
                expected="a header like file,label,group",
                remedy="Add the header line.",
            )
        if twice := [name for name, times in columns.items() if name and times > 1]:
            raise InputError(
                f"{path} has the column '{twice[0]}' more than once.",
                expected="each column once",
                remedy="Remove or rename all but one.",
            )
        rows = {}
        for row in reader:
            if not row["file"]:
                raise InputError(
                    f"{path}, line {reader.line_num} names no file.", remedy="Name the picture or remove the line."
                )
            rows[row["file"]] = row
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}.", expected="comma-separated values", remedy="Correct that line."
        ) from error
    rows = _where_they_are(folder, rows)
    missing = [file for file in rows if not _is_there(folder / file)]
    if missing:
        raise InputError(
            f"{path} names {count(len(missing), 'file')} not there: {some(missing)}.",
            remedy="Add the files or remove their lines.",
        )
    for file, row in rows.items():
        label, parent = row.get("label"), file.split("/", 1)[0]
        if label and "/" in file and label != parent:
            raise InputError(
                f"{path} gives {file} the label '{label}', but it lies in the folder '{parent}'.",
                expected="a file in the folder of its label",
                remedy="Move the file or correct the line.",
            )
    return rows


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file system takes, too long for one
        return False


def _where_they_are(folder: Path, rows: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    if all(_is_there(folder / file) for file in rows):
        return rows
    places: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        place = path.relative_to(folder).as_posix()
        if path.is_file() and place not in rows:
            places.setdefault(path.name, []).append(place)
    found = {}
    for file, row in rows.items():
        there = _is_there(folder / file)
        moved = [] if there else places.get(file.rsplit("/", 1)[-1], [])
        if not there and not moved and file.startswith(f"{UNSORTED}/"):
            continue
        found[moved[0] if len(moved) == 1 else file] = row
    return found


def parse_box(text: str | None, file: str) -> Box | None:
    """`x y w h` or `[x, y, w, h]` in pixels; None for an empty cell.

    Args:
        text: The cell.
        file: Whose cell it is, for the error.

    Raises:
        InputError: Anything else.
    """
    if not text or not text.strip():
        return None
    parts = [part for part in re.split(r"[\s,;]+", text.strip().strip("[]()")) if part]
    try:
        x, y, width, height = (float(part) for part in parts)
    except ValueError:
        x = y = width = height = 0.0
    if width <= 0 or height <= 0 or not np.isfinite([x, y, width, height]).all():
        raise InputError(
            f"box_px of {file} in manifest.csv is '{text}'.",
            expected="x y w h in pixels, width and height above zero",
            remedy="Correct the line or leave the column empty.",
        )
    return Box(x, y, width, height)


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without the mark that spreadsheets put first.

    Raises:
        InputError: It is in another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 (byte {error.start}).",
            expected="a text file in UTF-8",
            remedy="Save it again as UTF-8; spreadsheets call it 'CSV UTF-8'.",
        ) from error


def count(number: int, thing: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def some(files: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(files)
    rest = len(names) - SHOWN_FILES
    return ", ".join(names[:SHOWN_FILES]) + (f" and {rest} more" if rest > 0 else "")
