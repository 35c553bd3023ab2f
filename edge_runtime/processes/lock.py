"""One line, one supervisor: a lock that the kernel lets go of however its holder ends."""

from __future__ import annotations

import socket

from edge_runtime.errors import InputError


class LineLock:
    """Held until closed, or until the process is gone.

    It is a name in Linux's abstract socket namespace and no file: a service with a `/tmp` of its own and a person who
    tries the same line by hand meet here, whatever rights they have, and nothing is left behind.

    Args:
        line: Name of the line.

    Raises:
        InputError: Another process of this machine runs it.
    """

    def __init__(self, line: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0ripeline/{line}")
        except OSError as error:
            self._socket.close()
            raise InputError(
                f'The line "{line}" is already being run on this machine.',
                expected="one `ripeline run` a line",
                remedy="End the other one (systemctl stop ripeline), or give a second line a name of its own in "
                "line.toml.",
            ) from error

    def close(self) -> None:
        """Let go."""
        self._socket.close()
