"""A Modbus TCP device on loopback, as remote I/O is one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def modbus_device() -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    """A Modbus TCP device with coils 0 to 15, unit 1: its port, and what was written to it."""
    server_module = pytest.importorskip("pymodbus.server")
    from pymodbus.pdu.bit_message import WriteSingleCoilRequest
    from pymodbus.simulator import DataType, SimData, SimDevice

    written: list[tuple[int, bool]] = []

    def note(sending: bool, pdu: Any) -> Any:
        if not sending and isinstance(pdu, WriteSingleCoilRequest):
            written.append((pdu.address, bool(pdu.bits[0])))
        return pdu

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    coils = [SimData(0, count=1, values=[False] * 16, datatype=DataType.BITS)]
    words = [SimData(0, count=4, values=0, datatype=DataType.REGISTERS)]
    loop = asyncio.new_event_loop()
    started = threading.Event()
    server: list[Any] = []

    async def serve() -> None:
        block = SimDevice(id=1, simdata=(coils, coils, words, words))
        server.append(server_module.ModbusTcpServer(block, address=("127.0.0.1", port), trace_pdu=note))
        await server[0].serve_forever(background=True)
        started.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield port, written
    finally:
        asyncio.run_coroutine_threadsafe(server[0].shutdown(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
