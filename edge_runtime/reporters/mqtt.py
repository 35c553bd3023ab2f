"""Decisions to an MQTT 5 broker, in order, each acknowledged (QoS 1), over TLS, with a last will.

The last decision is kept by the broker as the retained message of its topic. After a reconnect that message tells how
far a connection came that broke before its acknowledgements did, so that the broker gets no decision twice; one that
forgets its retained messages may get the last 200 again, with the same keys.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from edge_runtime.decision_record import Record, RecordKey
from edge_runtime.errors import MissingExtraError, ReporterError
from edge_runtime.settings.record_settings import MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_CONNECT_S = 5.0
_ACKNOWLEDGE_S = 10.0
_RETAINED_S = 1.0
_KEEPALIVE_S = 15
_QOS = 1


class MqttReporter:
    """One connection to a broker.

    Publishes JSON objects to `TOPIC/LINE/decisions`; `online` and, as its last will, `offline` to `TOPIC/LINE/state`.

    Args:
        settings: `[report.mqtt]`.
        line: The line's name.

    Raises:
        ReporterError: The broker cannot be reached, or refuses.
        MissingExtraError: The library is not installed.
    """

    def __init__(self, settings: MqttSettings, line: str) -> None:
        self._broker = f"the MQTT broker {settings.host}"
        self._decisions, self._state = f"{settings.topic}/{line}/decisions", f"{settings.topic}/{line}/state"
        self._answered, self._retained_came = Event(), Event()
        self._refusal: str | None = None
        self._lost: str | None = None
        self._retained: RecordKey | None = None
        self._unpublished: dict[int, str] = {}
        self._client = self._new_client(settings, f"{settings.topic}/{line}")
        try:
            self._connect(settings)
        except BaseException:
            self._client.loop_stop()
            raise

    def deliver(self, records: Sequence[Record]) -> None:
        """Publish, and wait until the broker has acknowledged each."""
        keys = [one.key for one in records]
        if self._retained in keys:
            records = records[keys.index(self._retained) + 1 :]
        self._retained = None
        sent = [self._client.publish(self._decisions, one.document, _QOS, retain=True) for one in records]
        for one in sent:
            self.check()
            try:
                # From the last acknowledgement: a slow broker is none that hangs, however long the batch takes.
                one.wait_for_publish(_ACKNOWLEDGE_S)
            except (RuntimeError, ValueError) as error:
                raise ReporterError(f"{self._broker} does not take decisions ({error}).") from error
            if not one.is_published():
                self.check()
                raise ReporterError(f"{self._broker} does not acknowledge decisions within {_ACKNOWLEDGE_S:g} s.")
        if self._unpublished:
            raise ReporterError(f"{self._broker} refuses decisions: {next(iter(self._unpublished.values()))}.")

    def check(self) -> None:
        """Raise ReporterError where the broker is gone."""
        if self._lost is not None:
            raise ReporterError(f"The connection to {self._broker} is lost ({self._lost}).")

    def close(self) -> None:
        """Say that this line is offline, and disconnect."""
        if self._lost is None:
            self._client.publish(self._state, "offline", _QOS, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _new_client(self, settings: MqttSettings, client_id: str) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError as error:
            raise MissingExtraError(
                "MQTT needs a library that is not installed.", remedy="pip install 'ripeline[mqtt]'"
            ) from error
        # Reconnecting is the drain's: with a new client that knows what the broker has.
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = _CONNECT_S
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish = self._on_message, self._on_publish
        client.will_set(self._state, "offline", _QOS, retain=True)
        try:
            if settings.tls:
                client.tls_set(settings.ca_file, settings.certificate_file, settings.key_file)
            if settings.username is not None:
                client.username_pw_set(settings.username, _password(settings))
        except (OSError, ValueError) as error:
            raise ReporterError(
                f"The certificates or the password for {self._broker} cannot be read ({error}).",
                remedy="correct ca_file, certificate_file, key_file or password_file in line.toml",
            ) from error
        return client

    def _connect(self, settings: MqttSettings) -> None:
        port = settings.port or (8883 if settings.tls else 1883)
        try:
            self._client.connect(settings.host, port, _KEEPALIVE_S, clean_start=True)
        except ssl.SSLError as error:
            raise ReporterError(
                f"{self._broker} has a certificate that is not trusted ({error.reason}).",
                remedy="name the file of who signed it as ca_file in line.toml",
            ) from error
        except OSError as error:
            raise ReporterError(
                f"{self._broker} cannot be reached at port {port} ({error}).",
                remedy="check host, port and network; records wait until it is back",
            ) from error
        self._client.loop_start()
        if not self._answered.wait(_CONNECT_S):
            raise ReporterError(f"{self._broker} does not answer within {_CONNECT_S:g} s.")
        if self._refusal is not None:
            raise ReporterError(f"{self._broker} refuses this line: {self._refusal}.")
        self._client.subscribe(self._decisions, _QOS)
        self._retained_came.wait(_RETAINED_S)
        self._client.unsubscribe(self._decisions)
        self._client.publish(self._state, "online", _QOS, retain=True)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else None
        self._answered.set()

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = str(reason)
        self._answered.set()

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        if message.retain and not self._retained_came.is_set():
            try:
                self._retained = Record.from_document(message.payload.decode()).key
            except (ValueError, RecursionError):
                self._retained = None
            self._retained_came.set()

    def _on_publish(self, _client: Any, _userdata: Any, number: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._unpublished[number] = str(reason)


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return None
    return Path(settings.password_file).read_text("utf-8").strip()
