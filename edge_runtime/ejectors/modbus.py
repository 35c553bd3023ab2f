"""Coils of a Modbus TCP device, as remote I/O and most PLCs offer them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from edge_runtime.errors import EjectorError, MissingExtraError
from edge_runtime.settings.output_settings import ModbusSettings

_TIMEOUT_S = 0.5


class ModbusSwitches:
    """Coils by their number in the list; a device is connected once, however many of its coils are used.

    Args:
        coils: Of one device or several; all are off from the start, and again at the end.

    Raises:
        MissingExtraError: pymodbus is not installed.
        EjectorError: A device does not answer or knows no such coil; names it.
    """

    def __init__(self, coils: Sequence[ModbusSettings]) -> None:
        try:
            from pymodbus.client import ModbusTcpClient
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "An output on a Modbus coil needs pymodbus.", remedy="pip install 'ripeline[modbus]'"
            ) from error
        self._coils = list(coils)
        self._clients: dict[tuple[str, int], Any] = {}
        try:
            for coil in coils:
                if (coil.host, coil.port) not in self._clients:
                    client: Any = ModbusTcpClient(coil.host, port=coil.port, timeout=_TIMEOUT_S, retries=0)
                    self._clients[coil.host, coil.port] = client
                    if not client.connect():
                        raise _unreachable(coil, "no connection")
            self._all_off()
        except EjectorError:
            self._disconnect()
            raise

    def switch(self, number: int, on: bool) -> None:
        """Write one coil; raises EjectorError when the device does not take it."""
        from pymodbus.exceptions import ModbusException

        coil = self._coils[number]
        try:
            answer = self._clients[coil.host, coil.port].write_coil(coil.coil, on, device_id=coil.unit)
        except (ModbusException, OSError) as error:
            raise _unreachable(coil, str(error)) from error
        if answer.isError():
            raise _unreachable(coil, f"the device refused: {answer}")

    def close(self) -> None:
        """All off, each tried whatever the others do, and the connections closed; raises the last EjectorError."""
        with ExitStack() as stack:
            stack.callback(self._disconnect)
            if self._clients:
                for number in reversed(range(len(self._coils))):  # the last that is pushed goes first
                    stack.callback(self.switch, number, False)

    def _all_off(self) -> None:
        for number in range(len(self._coils)):
            self.switch(number, False)

    def _disconnect(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients = {}


def _unreachable(coil: ModbusSettings, why: str) -> EjectorError:
    return EjectorError(
        f"Modbus coil {coil.coil} of unit {coil.unit} at {coil.host}:{coil.port} cannot be switched: {why}",
        expected="a Modbus TCP device that answers there and has that coil",
        remedy="Check address, cable and the numbers in line.toml.",
    )
