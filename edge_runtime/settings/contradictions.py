"""What is right by itself in `line.toml` and wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_runtime.settings.decision_settings import EjectorSettings
from edge_runtime.settings.output_settings import GpioSettings, ModbusSettings
from edge_runtime.settings.record_settings import ReportSettings
from edge_runtime.settings.safety_settings import SafetySettings
from edge_runtime.settings.vision_settings import BeltSettings

Place = tuple[str | int, ...]


class ContradictionError(ValueError):
    """Two statements that cannot both hold.

    Args:
        place: Path of the one to be corrected.
        words: What is wrong.
    """

    def __init__(self, place: Place, words: str) -> None:
        self.place = place
        super().__init__(words)


def refuse_contradictions(
    belt: BeltSettings, ejectors: Sequence[EjectorSettings], safety: SafetySettings, reports: Sequence[ReportSettings]
) -> None:
    """Raise ContradictionError for the first that there is."""
    for number, one in enumerate(ejectors):
        if one.lane is not None and one.lane >= belt.lanes:
            raise ContradictionError(
                ("ejector", number, "lane"),
                f"ejector {number + 1} stands at lane {one.lane}, but the belt's last is {belt.lanes - 1}, "
                f"as belt.lanes is {belt.lanes} and they are counted from 0",
            )
    if ejectors and belt.mm_per_px is None:
        raise ContradictionError(
            ("ejector", 0), "an ejector needs belt.mm_per_px, or nobody knows when a fruit is before it"
        )
    outputs: dict[object, str] = {}
    for place, name, output in _outputs(ejectors, safety):
        if output in outputs:
            raise ContradictionError(place, f"{name} has the output of {outputs[output]}")
        outputs[output] = name
    names = [one.name for one in reports]
    for number, report in enumerate(names):
        if report in names[:number]:
            raise ContradictionError(
                ("report", number, "name"), f"two reports are named {report}, and one would take the other's place"
            )


def idle_ejectors(ejectors: Sequence[EjectorSettings]) -> list[tuple[int, int]]:
    """Ejectors, from 0, that never get a fruit, each with the one before it that takes all of theirs."""
    found = []
    for number, one in enumerate(ejectors):
        for earlier, other in enumerate(ejectors[:number]):
            same_lane = other.lane is None or other.lane == one.lane
            labels = other.labels is None or (one.labels is not None and set(one.labels) <= set(other.labels))
            if same_lane and labels and set(one.verdicts) <= set(other.verdicts):
                found.append((number, earlier))
                break
    return found


def _outputs(ejectors: Sequence[EjectorSettings], safety: SafetySettings) -> Iterator[tuple[Place, str, object]]:
    """Every output with its place, its name in words and what it is, the same for the same pin or coil."""
    holders: list[tuple[Place, str, GpioSettings | None, ModbusSettings | None]] = [
        (("ejector", number), f"ejector {number + 1}", one.gpio, one.modbus) for number, one in enumerate(ejectors)
    ]
    holders += [
        (("safety", name), f"safety.{name}", output.gpio, output.modbus)
        for name in ("run_permit", "heartbeat")
        if (output := getattr(safety, name)) is not None
    ]
    for place, name, gpio, modbus in holders:
        if gpio is not None:
            yield (*place, "gpio"), name, (gpio.chip, gpio.line)
        if modbus is not None:
            yield (*place, "modbus"), name, (modbus.host, modbus.port, modbus.unit, modbus.coil)
