"""Files that are nearly right: valid ones with bytes, lines and values changed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hypothesis import strategies as st

CASES = int(os.environ.get("RIPELINE_FUZZ_CASES", "25"))
"""Files tried of each kind; on demand 100,000."""

PATIENCE_S = 10.0
"""Processor time; a reader that takes longer over one small file hangs."""

# What readers stumble over: numbers at the edges, deep nesting, wrong encodings, words that mean something.
_PIECES = (
    *(b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"true", b"null", b"9" * 5000, b"9223372036854775808", b"1e308"),
    *(
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\r",
        b"\n",
        b"\r\n",
        b",",
        b'"',
        b"'",
        b"=",
        b"[",
        b"]]",
        b"{",
    ),
    *(
        b"x = " + b"[" * 3000 + b"]" * 3000 + b"\n",
        b"x = " + b"{a=" * 3000 + b"1" + b"}" * 3000 + b"\n",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"a." * 2000,
        b"[[ejector]]\n",
        b"[report.mqtt]\n",
        b"x = 1979-05-27T07:32:00Z\n",
    ),
)

_edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace", "delete", "copy", "cut", "flip"]),
        st.floats(0, 1),
        st.integers(0, 200),
        st.one_of(st.sampled_from(_PIECES), st.binary(max_size=8)),
    ),
    min_size=1,
    max_size=5,
)


def damaged(*originals: bytes) -> st.SearchStrategy[bytes]:
    """One of the originals with a few places changed; now and then something else altogether."""
    changed = st.builds(_apply, st.sampled_from(originals), _edits)
    return st.one_of(changed, changed, changed, st.binary(max_size=300))


def damaged_json(document: Any) -> st.SearchStrategy[bytes]:
    """The document with some values replaced, removed or added, or with its text damaged."""
    value = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
        max_leaves=6,
    )
    changes = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["set", "remove"]), value), min_size=1, max_size=4)
    replaced = st.builds(_replace, st.just(document), changes)
    return st.one_of(replaced, replaced, damaged(json.dumps(document).encode()))


def _apply(original: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    data = bytearray(original)
    for what, place, length, piece in edits:
        at = int(place * len(data))
        match what:
            case "insert":
                data[at:at] = piece
            case "replace":
                data[at : at + len(piece)] = piece
            case "delete":
                del data[at : at + length]
            case "copy":
                data[at:at] = data[at : at + length]
            case "cut":
                del data[at:]
            case "flip" if data:
                data[min(at, len(data) - 1)] ^= 1 << (length % 8)
    return bytes(data)


def _replace(document: Any, changes: list[tuple[float, str, Any]]) -> bytes:
    copy = json.loads(json.dumps(document))
    for place, what, value in changes:
        spots = list(_spots(copy))
        if not spots:
            break
        holder, key = spots[min(int(place * len(spots)), len(spots) - 1)]
        if what == "set":
            holder[key] = value
        else:
            del holder[key]
    return json.dumps(copy).encode()


def _spots(node: Any) -> Iterator[tuple[Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _spots(value)


class HungError(Exception):
    """The reader did not come to an end; none that a reader could take for one of its own."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Raise `HungError` out of a block that takes too long."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HungError

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
