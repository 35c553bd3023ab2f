"""Output pins of this machine, through the kernel's GPIO character device (libgpiod 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_runtime.errors import EjectorError, MissingExtraError
from edge_runtime.settings.output_settings import GpioSettings


class GpioSwitches:
    """Pins by their number in the list; all are off from the start, and again at the end.

    Args:
        pins: Of one chip or several.

    Raises:
        MissingExtraError: gpiod is not installed.
        EjectorError: A chip or pin does not exist, is in use, or may not be used; names it.
    """

    def __init__(self, pins: Sequence[GpioSettings]) -> None:
        try:
            import gpiod
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "An output on a GPIO pin needs gpiod.", remedy="pip install 'ripeline[gpio]'"
            ) from error
        self._gpiod: Any = gpiod
        self._pins = list(pins)
        self._requests: dict[str, Any] = {}
        try:
            for chip in sorted({pin.chip for pin in pins}):
                self._requests[chip] = self._request(chip)
        except EjectorError:
            self.close()
            raise

    def switch(self, number: int, on: bool) -> None:
        """Set one pin."""
        pin, value = self._pins[number], self._gpiod.line.Value
        self._requests[pin.chip].set_value(pin.line, value.ACTIVE if on else value.INACTIVE)

    def close(self) -> None:
        """All off, and the pins free for others."""
        for number, pin in enumerate(self._pins):
            if pin.chip in self._requests:
                self.switch(number, False)
        for request in self._requests.values():
            request.release()
        self._requests = {}

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
                remedy="Correct chip and line in line.toml; the user needs the right to the chip's file.",
            ) from error
