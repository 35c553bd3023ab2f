"""Where in a TOML document a key stands, which the standard library's reader does not tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]|\s*\.\s*)+?)\s*=")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")


def place_of(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Line and column, both from 1, of a key or of the innermost table around it that the document names.

    Args:
        text: The document, which must be valid.
        path: Names of tables and keys; numbers for elements of arrays of tables.
    """
    places = _places(text)
    for length in range(len(path), 0, -1):
        if tuple(path[:length]) in places:
            return places[tuple(path[:length])]
    return None


def _places(text: str) -> dict[Path, tuple[int, int]]:
    places: dict[Path, tuple[int, int]] = {}
    elements: Counter[Path] = Counter()
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _resolved(_parts(header[2]), elements)
            if header[1] == "[[":
                elements[table] += 1
                table = (*table, elements[table] - 1)
            places.setdefault(table, (number, header.start(2) + 1))
        elif key := _KEY.match(line):
            parts = _parts(key[1])
            for length in range(1, len(parts) + 1):
                places.setdefault((*table, *parts[:length]), (number, key.start(1) + 1))
    return places


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _resolved(parts: Path, elements: Counter[Path]) -> Path:
    """A table's path with the number of the array element that it belongs to: the last one so far."""
    path: Path = ()
    for depth, part in enumerate(parts):
        path = (*path, part)
        if depth < len(parts) - 1 and elements[path]:
            path = (*path, elements[path] - 1)
    return path
