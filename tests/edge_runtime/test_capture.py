"""Capture, on a real network camera that goes and comes back: the colours stay what they were."""

from __future__ import annotations

import http.server
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import open_camera
from edge_runtime.cameras.exposure import AtExposure
from edge_runtime.cameras.lock import HELD, WHITE_BALANCE
from edge_runtime.errors import CameraError
from edge_runtime.ports import Camera
from edge_runtime.processes import trouble
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.capture import Capture
from edge_runtime.processes.child import log
from edge_runtime.processes.ring import FrameRing
from edge_runtime.records import Frame, Image
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.vision_settings import CameraSettings

RED, BLUE = (200, 30, 40), (40, 30, 200)


class Ports:
    """A stream, and no encoder."""

    live = True

    def __init__(self, url: str) -> None:
        self.source = url

    def open_camera(self) -> Camera:
        stated = CameraSettings(white_balance_k=4600, delay_ms=5.0)
        return AtExposure(open_camera(self.source, stated), None, stated.delay_ms)

    def open_encoder(self) -> None:
        return None


def scene(colour: tuple[int, int, int], number: int) -> Image:
    picture = np.full((96, 128, 3), colour, np.uint8)
    picture[number % 90 : number % 90 + 6] = 90
    return picture


@contextmanager
def network_camera(port: int, colour: tuple[int, int, int]) -> Iterator[None]:
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while not over.wait(0.02):
                data = cv2.imencode(".jpg", cv2.cvtColor(scene(colour, number), cv2.COLOR_RGB2BGR))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + data + b"\r\n")
                except OSError:
                    return
                number += 1

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, also between a fixture and its test, where `caplog` hears nothing."""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Listening()
    log.addHandler(handler)
    yield lines
    log.removeHandler(handler)


@pytest.fixture
def capturing(tmp_path: Path) -> Iterator[tuple[int, Board, FrameRing]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    board, ring = Board.new("test"), FrameRing.new("test", 96 * 128 * 3)
    plan: Any = SimpleNamespace(
        ports=Ports(f"http://127.0.0.1:{port}/belt.mjpg"), config=LineConfig(), runtime=tmp_path
    )
    with network_camera(port, RED):
        thread = threading.Thread(target=Capture(plan, board, ring).run, daemon=True)
        thread.start()
        until(lambda: ring.newest_number > 5)
    yield port, board, ring
    board[Cell.SUPERVISOR_STOP] = Stop.SEEING
    thread.join(30)
    assert not thread.is_alive()
    ring.close(remove=True)
    board.close(remove=True)


def until(condition: Callable[[], object]) -> None:
    waiting = threading.Event()
    for _ in range(2000):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it never came to that")


def strongest(ring: FrameRing) -> str:
    found = ring.newest(after=0)
    assert found is not None
    return ("red", "green", "blue")[int(found.frame.image.reshape(-1, 3).mean(axis=0).argmax())]


def test_red_is_red_before_and_after_a_reconnect(capturing: tuple[int, Board, FrameRing]) -> None:
    port, board, ring = capturing
    assert strongest(ring) == "red"
    assert board[Cell.CAPTURE_UNHELD] == 1 << HELD.index(WHITE_BALANCE), "a network camera takes no settings from here"
    before, connections = ring.newest_number, board[Cell.CAPTURE_CONNECTIONS]
    with network_camera(port, RED):
        until(lambda: ring.newest_number > before + 5)
    assert board[Cell.CAPTURE_CONNECTIONS] > connections
    assert strongest(ring) == "red"


def test_a_camera_that_comes_back_with_red_and_blue_exchanged_is_not_used(
    capturing: tuple[int, Board, FrameRing], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    port, _, ring = capturing
    with network_camera(port, BLUE):
        until(lambda: "red and blue exchanged" in caplog.text)
        assert strongest(ring) == "red", "none of its pictures was used"
        assert "red and blue exchanged. To do: Unplug it" in trouble.told(tmp_path, "capture"), "people are told why"
    with network_camera(port, RED):
        before = ring.newest_number
        until(lambda: ring.newest_number > before + 3)
        assert trouble.told(tmp_path, "capture") == ""
    assert strongest(ring) == "red"


def test_pauses_between_tries_double_and_begin_anew_once_pictures_have_come(
    said: list[str], capturing: tuple[int, Board, FrameRing]
) -> None:
    def pauses() -> list[str]:
        return re.findall(r"\. Trying again in ([\d.]+) s\.", "\n".join(said))

    port, _, ring = capturing
    until(lambda: len(pauses()) >= 4)
    assert pauses()[:4] == ["0.25", "0.5", "1", "2"]
    before = ring.newest_number
    with network_camera(port, RED):
        until(lambda: ring.newest_number > before)
        count = len(pauses())
    until(lambda: len(pauses()) >= count + 2)
    assert pauses()[count : count + 2] == ["0.25", "0.5"]


class MeasuringCamera:
    """Knows the belt from its pictures, from 0 at each connection."""

    live, name, dropped, frame_rate_hz = True, "measuring", 0, 50.0

    def __init__(self, fails: bool, measures: bool = True) -> None:
        self._fails, self._measures = fails, measures

    def frames(self) -> Iterator[Frame]:
        for number in range(5):
            yield Frame(scene(RED, number), number, number * 1000, 10.0 * number if self._measures else None)
        if self._fails:
            raise CameraError("gone")

    def close(self) -> None: ...


def test_a_belt_that_is_measured_in_pictures_goes_on_after_a_reconnect(tmp_path: Path) -> None:
    cameras = iter([MeasuringCamera(True), MeasuringCamera(True, measures=False), MeasuringCamera(False)])
    ports = SimpleNamespace(source="measuring", live=True, open_camera=lambda: next(cameras), open_encoder=lambda: None)
    plan: Any = SimpleNamespace(ports=ports, config=LineConfig(), runtime=tmp_path)
    board, ring = Board.new("test"), FrameRing.new("test", 96 * 128 * 3)
    Capture(plan, board, ring).run()
    stamp = ring.stamp(ring.newest_number)
    assert stamp is not None
    assert stamp.belt_mm == 80.0
    ring.close(remove=True)
    board.close(remove=True)
