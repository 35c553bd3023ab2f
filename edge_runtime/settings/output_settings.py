"""Tables of `line.toml` that name an output."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from edge_runtime.settings.section import Section


class GpioSettings(Section):
    """`gpio`: an output pin of this machine."""

    chip: str = Field(default="/dev/gpiochip0", description="The chip's device file.")
    line: int = Field(ge=0, le=1023, description="The pin's number on that chip.")
    active_low: bool = Field(default=False, description="Whether the valve opens at the low level.")


class ModbusSettings(Section):
    """`modbus`: a coil of a Modbus TCP device."""

    host: str = Field(min_length=1, description="Name or address of the device.")
    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255, description="The device's number behind that address.")
    coil: int = Field(ge=0, le=65535, description="Address of the coil, from 0.")


class OutputSettings(Section):
    """An output that is switched on and off: `gpio` or `modbus`."""

    gpio: GpioSettings | None = None
    modbus: ModbusSettings | None = None

    @model_validator(mode="after")
    def _one_output(self) -> Self:
        if (self.gpio is None) == (self.modbus is None):
            raise ValueError("give either gpio or modbus, one of the two")
        return self
