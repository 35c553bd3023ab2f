"""Tells this machine how its line is: a local socket for `ripeline status`, HTTP on loopback for programs."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Event, Thread
from typing import Any

from edge_runtime.errors import InputError, MissingExtraError, RipelineError
from edge_runtime.journaling.journal_facts import FACTS, read_facts
from edge_runtime.monitoring.alarms import AlarmBoard
from edge_runtime.monitoring.health import HealthReport, LineFacts
from edge_runtime.monitoring.metrics import CONTENT_TYPE, exposition
from edge_runtime.monitoring.scene_watch import read_scene

STATUS, RESUME = "status", "resume"
_EVERY_S = 1.0
_STALE_S = 10.0
_PATIENCE_S = 5.0
_LOOK_S = 0.05
"""How soon the servers see that they are to end: the line has little time for that."""
_LOOPBACK = "127.0.0.1"


class HealthServer:
    """Asks for the facts once a second, keeps the alarms, and answers whoever asks; all in threads of its own.

    The local socket has a name in Linux's abstract namespace, so it needs no folder and leaves none behind. Anybody on
    this machine may read; `resume` is for the line's own user and root.

    Args:
        line: Its name.
        runtime: Folder in which the reporter process leaves its facts.
        http_port: For `/healthz` and `/metrics`, on loopback alone; None for no HTTP.
        facts: What its owner knows; called in a thread.
        on_resume: Called when an operator says that the line may sort again; None where there is nothing to resume.

    Raises:
        InputError: The port is taken, or another process answers for this line.
    """

    def __init__(
        self,
        line: str,
        runtime: Path,
        http_port: int | None,
        facts: Callable[[], LineFacts],
        on_resume: Callable[[], None] | None = None,
    ) -> None:
        self._runtime, self._facts, self._on_resume = runtime, facts, on_resume
        self._board = AlarmBoard()
        self._stop = Event()
        self._servers: list[ThreadingUnixStreamServer | ThreadingHTTPServer] = []
        try:
            self._servers.append(_LocalServer(_address(line), _LocalHandler, self))
            if http_port is not None:
                self._servers.append(_HttpServer((_LOOPBACK, http_port), _HttpHandler, self))
        except OSError as error:
            self._close_servers()
            raise InputError(
                f"Health of line {line} cannot be told at port {http_port} ({error.strerror}).",
                remedy="choose a free port in [health] of line.toml, and run each line once",
            ) from error
        self.report = self._look()
        workers: list[Callable[[], None]] = [self._keep_looking]
        workers += [partial(one.serve_forever, _LOOK_S) for one in self._servers]
        self._threads = [Thread(target=one, name="health", daemon=True) for one in workers]
        for thread in self._threads:
            thread.start()

    def answer(self, command: str, *, trusted: bool) -> dict[str, Any]:
        """What the local socket says to one command."""
        if command == STATUS:
            return self.report.as_dict()
        if command != RESUME:
            return {"error": f"unknown command {command!r}"}
        if not trusted:
            return {"error": "only root and the user that the line runs as may resume it, so put sudo before"}
        if self._on_resume is None:
            return {"error": "this line cannot be resumed"}
        self._on_resume()
        return {"resumed": True}

    def close(self) -> None:
        """Answer no more."""
        self._stop.set()
        for one in self._servers:
            one.shutdown()
        self._close_servers()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _close_servers(self) -> None:
        for one in self._servers:
            one.server_close()

    def _keep_looking(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self.report = self._look()
            except Exception as error:  # whatever it is: nobody may go on being told that all is well
                unknown = replace(self.report.facts, state=f"unknown: {type(error).__name__}: {error}")
                self.report = replace(self.report, facts=unknown)

    def _look(self) -> HealthReport:
        facts = self._facts()
        seen = [replace(one, scene=read_scene(self._runtime, one.name)) for one in facts.cameras]
        facts = replace(facts, cameras=tuple(seen))
        found = read_facts(self._runtime) if _is_fresh(self._runtime / FACTS) else None
        journal, reporters = found or (None, ())
        alarms = self._board.update(facts, journal, reporters, time.monotonic(), datetime.now(UTC))
        return HealthReport(facts, journal, reporters, alarms)


def ask(line: str, command: str = STATUS) -> dict[str, Any]:
    """Ask a line of this machine.

    Raises:
        InputError: No such line runs here.
        RipelineError: It does not answer, or refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(_address(line))
            connection.sendall(f"{command}\n".encode())
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())
    except ConnectionRefusedError as error:
        running = ", ".join(running_lines())
        raise InputError(
            f'No line named "{line}" runs on this machine.',
            expected=f"one of {running}" if running else "a line started with `ripeline run`",
        ) from error
    except (OSError, ValueError) as error:
        raise RipelineError(
            f'The line "{line}" does not answer ({error}).', remedy="see what it says: journalctl -u ripeline"
        ) from error
    if "error" in answer:
        raise RipelineError(f'The line "{line}" refuses: {answer["error"]}.')
    return answer


def running_lines() -> list[str]:
    """Names of the lines of this machine that answer."""
    listed = Path("/proc/net/unix").read_text("utf-8", errors="replace")
    begin, end = "@ripeline/", "/status"
    names = (row.split()[-1] for row in listed.splitlines() if row)
    return sorted({name[len(begin) : -len(end)] for name in names if name.startswith(begin) and name.endswith(end)})


def _address(line: str) -> str:
    return f"\0ripeline/{line}/status"


def _is_fresh(file: Path) -> bool:
    try:
        return time.time() - file.stat().st_mtime < _STALE_S
    except OSError:
        return False


class _LocalServer(ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, handler: type[StreamRequestHandler], health: HealthServer) -> None:
        self.health = health
        super().__init__(address, handler)


class _LocalHandler(StreamRequestHandler):
    server: _LocalServer
    timeout = _PATIENCE_S

    def handle(self) -> None:
        command = self.rfile.readline(100).decode(errors="replace").strip()
        credentials = self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, user, _ = struct.unpack("3i", credentials)
        answer = self.server.health.answer(command, trusted=user in (0, os.getuid()))
        self.wfile.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], health: HealthServer) -> None:
        self.health = health
        super().__init__(address, handler)


class _HttpHandler(BaseHTTPRequestHandler):
    server: _HttpServer
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        report = self.server.health.report
        match self.path:
            case "/healthz":
                alarms = [alarm.code for alarm in report.alarms]
                body = json.dumps({"line": report.facts.line, "state": report.facts.state, "alarms": alarms})
                self._send(200 if report.sorts else 503, "application/json", body.encode())
            case "/metrics":
                try:
                    self._send(200, CONTENT_TYPE, exposition(report))
                except MissingExtraError as error:
                    self._send(501, "text/plain; charset=utf-8", f"{error}\n".encode())
            case _:
                self._send(404, "text/plain; charset=utf-8", b"/healthz and /metrics\n")

    def log_message(self, *_: object) -> None:
        """Nothing: a scrape every few seconds is no news."""

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
