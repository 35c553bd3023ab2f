"""Short messages between processes: datagrams over Unix sockets, whole or not at all, never waited for.

A box outlives whoever writes to it, and a new owner may take it over after the old one was killed.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError

_LARGEST = 1 << 18
_LONGEST_PATH = 107
"""What a socket's address has room for (unix(7))."""


def check_box(file: Path) -> None:
    """Raise InputError for a path that no inbox can have."""
    if (length := len(os.fsencode(file))) > _LONGEST_PATH:
        raise InputError(
            f"The path {file} is too long for a socket: {length} bytes.",
            expected=f"at most {_LONGEST_PATH}",
            remedy="Let RUNTIME_DIRECTORY or TMPDIR name a folder with a shorter path.",
        )


class Inbox:
    """Where a process finds what others send it.

    Args:
        file: The socket; one that is left from an owner who was killed is replaced.
    """

    def __init__(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(str(file))
        self._socket.setblocking(False)

    def read(self) -> Iterator[Any]:
        """Everything that has come since; ends when there is no more."""
        while True:
            try:
                # Only processes of this line can write here: the folder is the user's own.
                yield pickle.loads(self._socket.recv(_LARGEST))
            except BlockingIOError:
                return

    def close(self) -> None:
        """Take no more."""
        self._socket.close()


class Outbox:
    """Sends to one inbox."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._socket.setblocking(False)

    def send(self, message: Any) -> bool:
        """Whether it is in the other's box now; False where there is no owner or the box is full."""
        try:
            self._socket.sendto(pickle.dumps(message, pickle.HIGHEST_PROTOCOL), self._file)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go."""
        self._socket.close()
