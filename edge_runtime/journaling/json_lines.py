"""Files of JSON lines that several processes write one after another, each of which may be killed in the middle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_TAIL_BYTES = 2_000_000


def open_after_a_kill(file: Path, begins: bytes = b"{") -> tuple[BinaryIO, list[bytes]]:
    """Open to append, without the line that a killed writer left unfinished.

    Args:
        file: Created where it is missing.
        begins: How each line does.

    Returns:
        The stream, unbuffered, and the last lines, at most 2 MB of them: what a killed writer did not come to
        acknowledge is among them.

    Raises:
        ValueError: The file ends with something else; it is left as it is.
        OSError: It cannot be opened.
    """
    stream = file.open("a+b", buffering=0)
    try:
        start = max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES)
        stream.seek(start)
        tail = stream.read()
        complete = tail.rfind(b"\n") + 1
        if not begins.startswith(torn := tail[complete:]) and not torn.startswith(begins):
            raise ValueError(f"{file} is no file of such lines")
        stream.truncate(start + complete)
    except BaseException:
        stream.close()
        raise
    return stream, tail[:complete].splitlines()


def append(stream: BinaryIO, text: bytes) -> None:
    """Append lines, all of them or none.

    Raises:
        OSError: None of them, since a disk is full, for example.
    """
    size = stream.seek(0, os.SEEK_END)
    try:
        if (written := stream.write(text)) != len(text):
            raise OSError(f"only {written} of {len(text)} bytes could be written")
    except OSError:
        stream.truncate(size)
        raise
