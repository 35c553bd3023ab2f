"""Memory that the processes of a line share: really there when it is handed out, and gone with the line.

Its segments bear the line's mark: what a run that was killed as a whole has left behind, the next finds and removes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from edge_runtime.errors import InputError

FOLDER = Path("/dev/shm")
"""Where Linux shows it as files (shm_overview(7))."""

_FENCE = threading.Lock()


def new_segment(line: str, size: int, what: str) -> SharedMemory:
    """Shared memory of `size` bytes, all zero.

    Args:
        line: Name of the line.
        size: In bytes.
        what: What takes the room, in words for people.

    Raises:
        InputError: There is no room. Unasked, the kernel would find out at the first touch and end the process.
    """
    try:
        memory = SharedMemory(f"{mark(line)}{secrets.token_hex(4)}", create=True, size=size)
    except OSError as error:
        raise _no_room(size, what, error) from error
    try:
        with (FOLDER / memory.name).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        memory.close()
        memory.unlink()
        raise _no_room(size, what, error) from error
    return memory


def remove_leftovers(line: str) -> None:
    """Take away what earlier runs of a line left; to be called by who holds its lock, before anything is made."""
    for file in FOLDER.glob(f"{mark(line)}*"):
        with suppress(OSError):  # another user's
            file.unlink()


def bytes_of(memory: SharedMemory) -> memoryview:
    """The memory itself, which is there until it is closed."""
    assert memory.buf is not None
    return memory.buf


def fence() -> None:
    """Nothing is moved across this by the processor: a lock of our own, taken twice, orders memory on ARM as well.

    (What comes before a release stays before it, what follows an acquire stays behind it.)
    """
    with _FENCE:
        pass
    with _FENCE:
        pass


def mark(line: str) -> str:
    """How the names of a line's segments begin."""
    return f"ripeline-{hashlib.sha256(line.encode()).hexdigest()[:12]}-"


def _no_room(size: int, what: str, error: OSError) -> InputError:
    there = ""
    with suppress(OSError):
        usage = shutil.disk_usage(FOLDER)
        there = f": of its {usage.total / 1e6:.1f} MB, {usage.free / 1e6:.1f} MB are free"
    return InputError(
        f"There is no room in shared memory ({FOLDER}) for {what}{there} ({error.strerror}).",
        expected=f"{size / 1e6:.1f} MB",
        remedy=f"Make it larger (mount -o remount,size=256m {FOLDER}; in a container --shm-size=256m) or remove what "
        "others left there, or lower frame_mb under [processes] in line.toml to what a picture of the camera takes: "
        "width x height x 3 bytes.",
    )
