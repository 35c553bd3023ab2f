"""Ejectors on output pins of this machine, through the kernel's GPIO character device (libgpiod 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_runtime.config import EjectorSettings, GpioSettings
from edge_runtime.ejectors.pulse import Pulses
from edge_runtime.errors import EjectorError, MissingExtraError


class GpioEjectors:
    """A pin an ejector; all are off from the start, and again at the end.

    Args:
        ejectors: Each with its `gpio`.

    Raises:
        MissingExtraError: gpiod is not installed.
        EjectorError: A chip or pin does not exist, is in use, or may not be used; names it.
    """

    def __init__(self, ejectors: Sequence[EjectorSettings]) -> None:
        try:
            import gpiod
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "An ejector on a GPIO pin needs gpiod.", remedy="pip install 'ripeline[gpio]'"
            ) from error
        self._gpiod: Any = gpiod
        self._pins = [_pin(each) for each in ejectors]
        self._requests: dict[str, Any] = {}
        try:
            for chip in sorted({pin.chip for pin in self._pins}):
                self._requests[chip] = self._request(chip)
        except EjectorError:
            self._release()
            raise
        self._pulses = Pulses(self._switch, [each.pulse_ms for each in ejectors])

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:  # noqa: ARG002
        """See `edge_runtime.ports.Ejector`."""
        self._pulses.fire(ejector)

    def close(self) -> None:
        """All off, and the pins free for others."""
        self._pulses.close()
        self._release()

    def _request(self, chip: str) -> Any:
        line = self._gpiod.line
        settings = {
            pin.line: self._gpiod.LineSettings(
                direction=line.Direction.OUTPUT, active_low=pin.active_low, output_value=line.Value.INACTIVE
            )
            for pin in self._pins
            if pin.chip == chip
        }
        try:
            return self._gpiod.request_lines(chip, consumer="ripeline", config=settings)
        except (OSError, ValueError) as error:
            raise EjectorError(
                f"GPIO {chip}, line {', '.join(map(str, settings))} cannot be used: {error}",
                expected="a GPIO chip with free lines of those numbers (`gpioinfo` lists them)",
                remedy="Correct chip and line under [ejector.gpio]; the user needs the right to the chip's file.",
            ) from error

    def _switch(self, ejector: int, on: bool) -> None:
        pin, value = self._pins[ejector], self._gpiod.line.Value
        self._requests[pin.chip].set_value(pin.line, value.ACTIVE if on else value.INACTIVE)

    def _release(self) -> None:
        for request in self._requests.values():
            request.release()
        self._requests = {}


def _pin(ejector: EjectorSettings) -> GpioSettings:
    assert ejector.gpio is not None
    return ejector.gpio
