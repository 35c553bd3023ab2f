"""A network camera for tests: JPEG pictures over HTTP, one after another, as `multipart/x-mixed-replace`."""

from __future__ import annotations

import http.server
import itertools
from collections.abc import Callable, Sequence
from typing import BinaryIO

import cv2

from edge_runtime.cameras import open_camera
from edge_runtime.records import Image


def as_jpeg(image: Image) -> bytes:
    """A picture as the camera sends it."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def jpegs_of(clip: str) -> list[bytes]:
    """All pictures of a clip."""
    return [as_jpeg(frame.image) for frame in open_camera(clip).frames()]


def served(
    pictures: Sequence[bytes], send: Callable[[BinaryIO, bytes, bytes], bool], *, port: int = 0
) -> http.server.ThreadingHTTPServer:
    """A server of the pictures in a loop, for as long as someone listens.

    Args:
        pictures: JPEG files.
        send: Writes one, its head and then its data, and takes its time; False ends the film.
        port: Of the loopback; 0 for a free one.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for data in itertools.cycle(pictures):
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    if not send(self.wfile, head.encode(), data):
                        return
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *args: object) -> None: ...

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
