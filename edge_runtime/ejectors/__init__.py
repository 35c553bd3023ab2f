"""Adapters for ejectors: what opens a valve, one file a kind of output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge_runtime.config import EjectorSettings
from edge_runtime.ejectors.gpio import GpioEjectors
from edge_runtime.ejectors.modbus import ModbusEjectors
from edge_runtime.errors import ConfigError
from edge_runtime.ports import Ejector

__all__ = ["EJECTORS", "Ejectors", "output_kind"]


class _Output(Ejector, Protocol):
    def close(self) -> None: ...


EJECTORS: dict[str, Callable[[Sequence[EjectorSettings]], _Output]] = {"gpio": GpioEjectors, "modbus": ModbusEjectors}


def output_kind(ejector: EjectorSettings) -> str | None:
    """Which of `EJECTORS` switches it; None where `line.toml` names no output."""
    return next((kind for kind in EJECTORS if getattr(ejector, kind) is not None), None)


class Ejectors:
    """All ejectors of a line by their number, whatever switches each.

    Args:
        ejectors: As in `line.toml`, each with an output.

    Raises:
        ConfigError: There is none, or one has no output.
        EjectorError, MissingExtraError: As the adapters.
    """

    def __init__(self, ejectors: Sequence[EjectorSettings]) -> None:
        kinds = [output_kind(each) for each in ejectors]
        if not kinds or None in kinds:
            raise ConfigError(
                f"Ejector {kinds.index(None) + 1} names no output." if kinds else "There is no [[ejector]].",
                expected="a table [ejector.gpio] or [ejector.modbus] for each ejector",
                remedy="Add it to line.toml.",
            )
        self._outputs: list[tuple[_Output, int]] = []
        self._open: list[_Output] = []
        places: dict[int, tuple[_Output, int]] = {}
        try:
            for kind, make in EJECTORS.items():
                numbers = [number for number, each in enumerate(kinds) if each == kind]
                if numbers:
                    output = make([ejectors[number] for number in numbers])
                    self._open.append(output)
                    places |= {number: (output, place) for place, number in enumerate(numbers)}
        except Exception:
            self.close()
            raise
        self._outputs = [places[number] for number in range(len(ejectors))]

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:
        """See `edge_runtime.ports.Ejector`."""
        output, place = self._outputs[ejector]
        output.fire(place, fruit_id, now_ns)

    def close(self) -> None:
        """Everything off."""
        for output in self._open:
            output.close()
        self._open = []
