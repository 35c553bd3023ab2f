"""Adapters for what a line switches: ejectors, the belt's run permit and the heartbeat."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.ejectors.pulse import Pulses
from edge_runtime.ejectors.switches import HasOutput, Switches, output_kind
from edge_runtime.errors import ConfigError
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.decision_settings import EjectorSettings

__all__ = ["Ejectors", "LineOutputs", "output_kind"]


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
        self._switches = Switches(ejectors)
        self._pulses = Pulses(self._switches.switch, [each.pulse_ms for each in ejectors])

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:  # noqa: ARG002
        """See `edge_runtime.ports.Ejector`."""
        self._pulses.fire(ejector)

    def close(self) -> None:
        """Everything off."""
        try:
            self._pulses.close()
        finally:
            self._switches.close()


class LineOutputs:
    """Ejectors, run permit and heartbeat of a line; see `edge_runtime.ports.Outputs`. What has no output stays silent.

    Args:
        config: `line.toml`.

    Raises:
        EjectorError, MissingExtraError: As the adapters.
    """

    def __init__(self, config: LineConfig) -> None:
        ejectors, safety = config.ejector, config.safety
        outputs: list[HasOutput] = list(ejectors)
        self._permit, self._beat = len(outputs), len(outputs) + 1
        outputs += [safety.run_permit or _NONE, safety.heartbeat or _NONE]
        self._switches = Switches(outputs)
        self._pulses = Pulses(self._switches.switch, [each.pulse_ms for each in ejectors])

    def fire(self, ejector: int, fruit_id: int, now_ns: int) -> None:  # noqa: ARG002
        """One pulse."""
        self._pulses.fire(ejector)

    def hold(self, on: bool) -> None:
        """See `edge_runtime.ports.Outputs`."""
        self._pulses.hold(on)

    def permit(self, on: bool) -> None:
        """See `edge_runtime.ports.Outputs`."""
        self._switches.switch(self._permit, on)

    def beat(self, on: bool) -> None:
        """See `edge_runtime.ports.Outputs`; raises EjectorError where an output cannot be switched any more."""
        self._pulses.check()
        self._switches.switch(self._beat, on)

    def close(self) -> None:
        """Everything off."""
        try:
            self._pulses.close()
        finally:
            self._switches.close()


class _NoOutput:
    gpio = None
    modbus = None


_NONE = _NoOutput()
