"""A real MQTT broker for tests: mosquitto on a free port of the loopback address."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self

import pytest

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)


class Broker:
    """mosquitto, to be started, killed, stopped (SIGSTOP) and started again on one port."""

    def __init__(self, folder: Path, *settings: str) -> None:
        program = shutil.which("mosquitto") or next(
            (f"{place}/mosquitto" for place in _PLACES if Path(place, "mosquitto").exists()), None
        )
        if program is None:
            pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
        self.port = free_port()
        self._program, self._config = program, folder / "mosquitto.conf"
        self._config.write_text(
            "\n".join([f"listener {self.port} 127.0.0.1", "max_queued_messages 0", "allow_anonymous true", *settings])
            + f"\npersistence true\nautosave_interval 1\nautosave_on_changes true\npersistence_location {folder}/\n"
            + "user root\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.process = subprocess.Popen([self._program, "-c", self._config], stderr=subprocess.DEVNULL)
        wait_until(self._listens, "mosquitto to listen")
        return self

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running_broker(folder: Path, *settings: str) -> Iterator[Broker]:
    broker = Broker(folder, *settings)
    try:
        yield broker.start()
    finally:
        broker.end()


@contextmanager
def slow_link(port: int, bytes_per_s: int) -> Iterator[int]:
    """A port of the loopback address through which one gets to another, slowly; no byte is lost."""
    server = socket.create_server(("127.0.0.1", 0))
    over = Event()

    def carry(source: socket.socket, target: socket.socket, pause_s: float) -> None:
        with suppress(OSError):
            while not over.is_set() and (data := source.recv(bytes_per_s // 10)):
                target.sendall(data)
                time.sleep(pause_s)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for source, target, pause_s in ((near, far, 0.1), (far, near, 0.0)):
                    Thread(target=carry, args=(source, target, pause_s), daemon=True).start()

    Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        over.set()
        server.close()


class Subscriber:
    """Collects what a broker gives out, with a session that outlives the broker; a context manager."""

    def __init__(self, broker: Broker, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties
        from paho.mqtt.subscribeoptions import SubscribeOptions

        self._topic, self._lock, self._messages = topic, Lock(), list[Any]()
        self._subscribed = Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "subscriber", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        # What the broker retains of earlier is not asked for: it would come again at each reconnect.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, options=options)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)

    def payloads(self, topic: str | None = None) -> list[str]:
        with self._lock:
            return [one.payload.decode() for one in self._messages if topic in (None, one.topic)]

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        with self._lock:
            # A broker that ended before its subscriber's acknowledgement came delivers again, and says so.
            again = message.dup and any(one.payload == message.payload for one in self._messages)
            if not again:
                self._messages.append(message)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
