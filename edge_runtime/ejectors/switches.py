"""Outputs by number, whatever switches each: one file a kind of output."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from edge_runtime.ejectors.gpio import GpioSwitches
from edge_runtime.ejectors.modbus import ModbusSwitches
from edge_runtime.settings.output_settings import GpioSettings, ModbusSettings


class HasOutput(Protocol):
    """What names an output, or none: an `[[ejector]]`, the run permit, the heartbeat."""

    @property
    def gpio(self) -> GpioSettings | None: ...  # noqa: D102

    @property
    def modbus(self) -> ModbusSettings | None: ...  # noqa: D102


class _Switches(Protocol):
    def switch(self, number: int, on: bool) -> None: ...

    def close(self) -> None: ...


SWITCHES: dict[str, Callable[[Sequence[Any]], _Switches]] = {"gpio": GpioSwitches, "modbus": ModbusSwitches}


def output_kind(output: HasOutput) -> str | None:
    """Which of `SWITCHES` switches it; None where `line.toml` names no output."""
    return next((kind for kind in SWITCHES if getattr(output, kind) is not None), None)


class Switches:
    """All outputs of a line. One at a time is switched, from whichever thread.

    Args:
        outputs: Each with its `gpio` or `modbus`.

    Raises:
        EjectorError, MissingExtraError: As the adapters.
    """

    def __init__(self, outputs: Sequence[HasOutput]) -> None:
        self._lock = threading.Lock()
        self._open: list[_Switches] = []
        self._places: dict[int, tuple[_Switches, int]] = {}
        try:
            for kind, make in SWITCHES.items():
                numbers = [number for number, each in enumerate(outputs) if output_kind(each) == kind]
                if numbers:
                    switches = make([getattr(outputs[number], kind) for number in numbers])
                    self._open.append(switches)
                    self._places |= {number: (switches, place) for place, number in enumerate(numbers)}
        except Exception:
            self.close()
            raise

    def switch(self, number: int, on: bool) -> None:
        """Set one; a number without an output is ignored."""
        if number in self._places:
            switches, place = self._places[number]
            with self._lock:
                switches.switch(place, on)

    def close(self) -> None:
        """Everything off."""
        with self._lock:
            with ExitStack() as stack:  # each is tried, whatever the others do
                for switches in self._open:
                    stack.callback(switches.close)
            self._open, self._places = [], {}
