"""Decisions to clients of an OPC UA server on this machine: the last one and counts as variables, each as an event.

The server is the receiver: what it holds counts as delivered, whoever is connected. A client that must not miss a
decision reads `decisions.jsonl` or MQTT.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from edge_runtime.decision_record import Record
from edge_runtime.errors import MissingExtraError, ReporterError
from edge_runtime.records import Verdict
from edge_runtime.settings.record_settings import OpcUaSettings

if TYPE_CHECKING:
    from asyncua.common.node import Node
    from asyncua.server.server import Server

NAMESPACE = "urn:ripeline"
_START_S, _DELIVER_S, _STOP_S = 15.0, 10.0, 5.0

_Result = TypeVar("_Result")


class OpcUaReporter:
    """A server with an object named as the line, at `opc.tcp://HOST:PORT/ripeline`.

    Variables: `RunId`, `FruitId`, `Verdict`, `Label`, `Probability`, `Lane`, `DecidedAt`, `Document` (the whole record
    as JSON), and `Counts` with one for each verdict since the server began. Clients can read, not write.

    Args:
        settings: `[report.opcua]`.
        line: The line's name.

    Raises:
        ReporterError: The server cannot start, as when another one has the port.
        MissingExtraError: The library is not installed.
    """

    def __init__(self, settings: OpcUaSettings, line: str) -> None:
        try:
            import asyncua  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "OPC UA needs a library that is not installed.", remedy="pip install 'ripeline[opcua]'"
            ) from error
        for name in ("asyncua", "asyncua.server"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="opcua", daemon=True)
        self._thread.start()
        self._server: Server | None = None
        self._counts: Counter[str] = Counter()
        try:
            self._wait_for(self._start(settings, line), _START_S)
        except Exception as error:
            self.close()
            raise ReporterError(
                f"The OPC UA server cannot start at {settings.host}:{settings.port} ({error}).",
                remedy="choose a free port of this machine in [report.opcua]",
            ) from error

    def deliver(self, records: Sequence[Record]) -> None:
        """Put the records into the variables, one after the other, with an event each."""
        try:
            self._wait_for(self._show(records), _DELIVER_S)
        except TimeoutError as error:
            raise ReporterError("The OPC UA server does not come along.") from error

    def check(self) -> None:
        """Nothing to lose: the server is here."""

    def close(self) -> None:
        """Stop the server and its thread."""
        try:
            if self._server is not None:
                self._wait_for(self._server.stop(), _STOP_S)
                self._server = None
        except TimeoutError:
            pass
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)

    def _wait_for(self, work: Coroutine[Any, Any, _Result], timeout_s: float) -> _Result:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout_s), self._loop).result()

    async def _start(self, settings: OpcUaSettings, line: str) -> None:
        from asyncua import ua
        from asyncua.server.server import Server

        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{settings.host}:{settings.port}/ripeline")
        server.set_server_name(f"Ripeline {line}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = await server.register_namespace(NAMESPACE)
        root = await server.nodes.objects.add_object(space, line)
        kinds = {
            "RunId": ua.VariantType.String,
            "FruitId": ua.VariantType.Int64,
            "Verdict": ua.VariantType.String,
            "Label": ua.VariantType.String,
            "Probability": ua.VariantType.Double,
            "Lane": ua.VariantType.Int64,
            "DecidedAt": ua.VariantType.DateTime,
            "Document": ua.VariantType.String,
        }
        self._variables: dict[str, tuple[Node, Any]] = {}
        for name, kind in kinds.items():
            empty = {ua.VariantType.String: "", ua.VariantType.DateTime: datetime(1970, 1, 1)}.get(kind, 0)
            self._variables[name] = (await root.add_variable(space, name, empty, kind), kind)
        counts = await root.add_object(space, "Counts")
        for verdict in Verdict:
            node = await counts.add_variable(space, verdict.value, 0, ua.VariantType.Int64)
            self._variables[verdict.value] = (node, ua.VariantType.Int64)
        event = await server.create_custom_event_type(
            space, "DecisionEvent", properties=[("Document", ua.VariantType.String)]
        )
        self._events = await server.get_event_generator(event, root.nodeid)
        await server.start()
        self._server = server

    async def _show(self, records: Sequence[Record]) -> None:
        for record in records:
            fields = json.loads(record.document)
            verdict, label = record.outcome
            self._counts[verdict] += 1
            values = {
                "RunId": record.key.run_id,
                "FruitId": record.key.fruit_id,
                "Verdict": verdict,
                "Label": label,
                "Probability": float(fields["probabilities"][label]),
                "Lane": fields["lane"],
                "DecidedAt": datetime.fromisoformat(record.decided_at).replace(tzinfo=None),
                verdict: self._counts[verdict],
                # Last: whoever is told of it finds the others there.
                "Document": record.document,
            }
            for name, value in values.items():
                node, kind = self._variables[name]
                await node.write_value(value, kind)
            self._events.event.Document = record.document
            await self._events.trigger(message=f"fruit {record.key.fruit_id}: {verdict}")
