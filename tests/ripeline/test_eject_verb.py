"""`ripeline eject test`, against a Modbus device on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_runtime.processes.lock import LineLock
from tests.coils import modbus_device

if TYPE_CHECKING:
    from tests.conftest import Outcome

Here = Callable[..., "Outcome"]

BELT = "[belt]\nmm_per_px = 0.4\n"


@pytest.fixture
def device() -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    with modbus_device() as found:
        yield found


def line_toml(folder: Path, port: int, *, pulse_ms: float = 20, coils: tuple[int, ...] = (3, 5)) -> Path:
    """A line of a name that no other test's line has."""
    file = folder / "line.toml"
    output = f'pulse_ms = {pulse_ms}\n[ejector.modbus]\nhost = "127.0.0.1"\nport = {port}\ncoil = '
    ejectors = "".join(f"[[ejector]]\nat_mm = {100 * coil}\n{output}{coil}\n" for coil in coils)
    file.write_text(f'name = "eject-{os.getpid()}"\n{BELT}{ejectors}')
    return file


def test_each_valve_opens_in_turn_and_all_are_off_at_the_end(
    tmp_path: Path, ripeline_here: Here, device: tuple[int, list[tuple[int, bool]]]
) -> None:
    port, written = device
    done = ripeline_here("eject", "test", "--config", line_toml(tmp_path, port), "--every", 0.05, "--json")
    assert done.code == 0
    assert done.document == {"ejectors": [1, 2], "strokes": 1}
    assert [coil for coil, on in written if on] == [3, 5]
    assert dict(written) == {3: False, 5: False}
    written.clear()
    wanted = ("--ejector", 2, "--strokes", 3, "--every", 0.05)
    done = ripeline_here("eject", "test", "--config", tmp_path / "line.toml", *wanted)
    assert [coil for coil, on in written if on] == [5, 5, 5]
    assert "Ejector 2 (modbus): stroke 3 of 3" in done.stderr


def test_the_last_stroke_is_a_whole_one_and_strokes_do_not_run_into_one(
    tmp_path: Path, ripeline_here: Here, device: tuple[int, list[tuple[int, bool]]]
) -> None:
    port, written = device
    file = line_toml(tmp_path, port, pulse_ms=400, coils=(3,))
    begun = time.monotonic()
    assert ripeline_here("eject", "test", "--config", file, "--every", 0.02).code == 0
    assert time.monotonic() - begun >= 0.4
    written.clear()
    done = ripeline_here("eject", "test", "--config", file, "--every", 0.4, "--strokes", 2)
    assert done.code == 2
    assert "give --every more than 0.4" in done.stderr
    assert written == []


def test_the_outputs_of_a_running_line_are_left_alone(
    tmp_path: Path, ripeline_here: Here, device: tuple[int, list[tuple[int, bool]]]
) -> None:
    port, written = device
    file = line_toml(tmp_path, port)
    with closing(LineLock(f"eject-{os.getpid()}")):
        done = ripeline_here("eject", "test", "--config", file)
    assert done.code == 2
    assert "already being run" in done.stderr
    assert written == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_valve_stays_open_when_the_test_is_ended(
    tmp_path: Path, device: tuple[int, list[tuple[int, bool]]], number: signal.Signals
) -> None:
    port, written = device
    file = line_toml(tmp_path, port, pulse_ms=2000, coils=(3,))
    command = [sys.executable, "-m", "ripeline.main", "eject", "test", "--config", str(file), "--every", "60"]
    # As a shell starts it in the background: SIGINT is ignored.
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(background, stderr=subprocess.DEVNULL) as running:
        while (3, True) not in written:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(number)
        assert running.wait(20) == 130
    assert written[-1] == (3, False)


def test_an_ejector_that_there_is_not_is_named(tmp_path: Path, ripeline_here: Here) -> None:
    file = line_toml(tmp_path, 1)
    done = ripeline_here("eject", "test", "--config", file, "--ejector", 4)
    assert "has no ejector 4" in done.stderr
    assert "1 to 2" in done.stderr
    file.write_text(BELT)
    assert "an [[ejector]] in it first" in ripeline_here("eject", "test", "--config", file, "--ejector", 1).stderr


def test_eject_test_without_a_chip_says_so(tmp_path: Path, ripeline_here: Callable[..., Outcome]) -> None:
    file = tmp_path / "line.toml"
    file.write_text(f'{BELT}[[ejector]]\nat_mm = 200.0\n[ejector.gpio]\nline = 17\nchip = "{tmp_path}/gpiochip0"')
    done = ripeline_here("eject", "test", "--config", file)
    assert done.code == 2
    assert "gpiochip0, line 17 cannot be used" in done.stderr
