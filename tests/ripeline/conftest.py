"""A network camera for the tests of live lines."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.mjpeg import jpegs_of, served


@pytest.fixture
def the_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The only live line of the usual name on this machine: it refuses a second one, so test processes take turns."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if folder.name.startswith("popen-") else folder
    with (folder / "the-line.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@pytest.fixture
def camera_url(clip_dir: Path) -> Iterator[str]:
    """A network camera (MJPEG over HTTP) that shows the clip over and over."""
    over = threading.Event()

    def send(stream: BinaryIO, head: bytes, data: bytes) -> bool:
        stream.write(head + data + b"\r\n")
        return not over.wait(1 / 30)

    server = served(jpegs_of(str(clip_dir / "clip.mp4")), send)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/belt.mjpg"
    over.set()
    server.shutdown()
    server.server_close()
