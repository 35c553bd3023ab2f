"""Outputs: pulses in real time, Modbus against a real server on loopback, GPIO where the kernel simulates a chip."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.ejectors import Ejectors, output_kind
from edge_runtime.ejectors.pulse import Pulses
from edge_runtime.errors import ConfigError, EjectorError
from edge_runtime.settings.decision_settings import EjectorSettings
from edge_runtime.settings.output_settings import GpioSettings, ModbusSettings
from tests.coils import modbus_device


def until(condition: Any, *, seconds: float = 20.0) -> bool:
    """Wait for something that a thread is about to do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def test_a_pulse_goes_on_at_once_and_off_by_itself() -> None:
    switched: list[tuple[int, bool]] = []
    pulses = Pulses(lambda ejector, on: switched.append((ejector, on)), [30, 30])
    pulses.fire(1)
    assert switched == [(1, True)]
    assert until(lambda: switched == [(1, True), (1, False)])
    pulses.close()
    assert switched[2:] == [(0, False), (1, False)]


def test_an_order_during_a_pulse_lengthens_it() -> None:
    switched: list[tuple[float, bool]] = []
    pulses = Pulses(lambda _, on: switched.append((time.monotonic(), on)), [400])
    pulses.fire(0)
    time.sleep(0.2)
    pulses.fire(0)
    assert until(lambda: not switched[-1][1])
    pulses.close()
    assert [on for _, on in switched[:3]] == [True, True, False]
    assert switched[2][0] - switched[0][0] >= 0.6


def test_closing_during_a_pulse_switches_off() -> None:
    switched: list[bool] = []
    pulses = Pulses(lambda _, on: switched.append(on), [60_000])
    pulses.fire(0)
    pulses.close()
    pulses.close()
    assert switched == [True, False]


@pytest.fixture
def device() -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    with modbus_device() as found:
        yield found


def coil(port: int, number: int, unit: int = 1) -> EjectorSettings:
    modbus = ModbusSettings(host="127.0.0.1", port=port, unit=unit, coil=number)
    return EjectorSettings(at_mm=200, pulse_ms=30, modbus=modbus)


def test_a_modbus_coil_is_off_then_pulsed_then_off(device: tuple[int, list[tuple[int, bool]]]) -> None:
    port, written = device
    ejectors = Ejectors([coil(port, 3), coil(port, 5)])
    assert written == [(3, False), (5, False)]
    ejectors.fire(1, 17, 0)
    assert written[2:] == [(5, True)]
    assert until(lambda: written[3:] == [(5, False)])
    ejectors.fire(0, 18, 0)
    ejectors.close()
    assert written[4] == (3, True)
    assert written[-2:] == [(3, False), (5, False)]


def test_a_device_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EjectorError, match=f"127.0.0.1:{port}"):
        Ejectors([coil(port, 0)])


def test_a_coil_that_the_device_does_not_have_is_named(device: tuple[int, list[tuple[int, bool]]]) -> None:
    with pytest.raises(EjectorError, match="coil 4000"):
        Ejectors([coil(device[0], 4000)])


def test_a_chip_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gpiod")
    chip = str(tmp_path / "gpiochip9")
    with pytest.raises(EjectorError, match="gpiochip9"):
        Ejectors([EjectorSettings(at_mm=200, gpio=GpioSettings(chip=chip, line=4))])


def test_an_ejector_without_an_output_cannot_be_switched() -> None:
    plain = EjectorSettings(at_mm=200)
    assert output_kind(plain) is None
    with pytest.raises(ConfigError, match="Ejector 2 names no output"):
        Ejectors([EjectorSettings(at_mm=100, gpio=GpioSettings(line=1)), plain])
    with pytest.raises(ConfigError, match="no \\[\\[ejector"):
        Ejectors([])
