"""Ejectors on coils of a Modbus TCP device, as remote I/O and most PLCs offer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_runtime.config import EjectorSettings, ModbusSettings
from edge_runtime.ejectors.pulse import Pulses
from edge_runtime.errors import EjectorError, MissingExtraError

_TIMEOUT_S = 0.5


class ModbusEjectors:
    """A coil an ejector; a device is connected once, however many of its coils are used.

    Args:
        ejectors: Each with its `modbus`.

    Raises:
        MissingExtraError: pymodbus is not installed.
        EjectorError: A device does not answer or knows no such coil; names it.
    """

    def __init__(self, ejectors: Sequence[EjectorSettings]) -> None:
        try:
            from pymodbus.client import ModbusTcpClient
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "An ejector on a Modbus coil needs pymodbus.", remedy="pip install 'ripeline[modbus]'"
            ) from error
        self._coils = [_coil(each) for each in ejectors]
        self._clients: dict[tuple[str, int], Any] = {}
        try:
            for coil in self._coils:
                if (coil.host, coil.port) not in self._clients:
                    client: Any = ModbusTcpClient(coil.host, port=coil.port, timeout=_TIMEOUT_S, retries=0)
                    self._clients[coil.host, coil.port] = client
                    if not client.connect():
                        raise _unreachable(coil, "no connection")
            for number in range(len(self._coils)):
                self._switch(number, False)
        except EjectorError:
            self._disconnect()
            raise
        self._pulses = Pulses(self._switch, [each.pulse_ms for each in ejectors])

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:  # noqa: ARG002
        """See `edge_runtime.ports.Ejector`."""
        self._pulses.fire(ejector)

    def close(self) -> None:
        """All off, and the connections closed."""
        try:
            self._pulses.close()
        finally:
            self._disconnect()

    def _switch(self, ejector: int, on: bool) -> None:
        from pymodbus.exceptions import ModbusException

        coil = self._coils[ejector]
        try:
            answer = self._clients[coil.host, coil.port].write_coil(coil.coil, on, device_id=coil.unit)
        except (ModbusException, OSError) as error:
            raise _unreachable(coil, str(error)) from error
        if answer.isError():
            raise _unreachable(coil, f"the device refused: {answer}")

    def _disconnect(self) -> None:
        for client in self._clients.values():
            client.close()


def _coil(ejector: EjectorSettings) -> ModbusSettings:
    assert ejector.modbus is not None
    return ejector.modbus


def _unreachable(coil: ModbusSettings, why: str) -> EjectorError:
    return EjectorError(
        f"Modbus coil {coil.coil} of unit {coil.unit} at {coil.host}:{coil.port} cannot be switched: {why}",
        expected="a Modbus TCP device that answers there and has that coil",
        remedy="Check address, cable and the numbers under [ejector.modbus].",
    )
