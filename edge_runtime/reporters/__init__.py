"""Ways for decisions out of the runtime; one file each. Those for receivers of the journal are found by their table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_runtime.ports import RecordReporter
from edge_runtime.reporters.jsonl import open_log
from edge_runtime.reporters.mqtt import MqttReporter
from edge_runtime.reporters.opcua import OpcUaReporter
from edge_runtime.settings.record_settings import ReportSettings

REPORTERS: dict[str, Callable[[Any, str], RecordReporter]] = {
    "mqtt": MqttReporter,
    "opcua": OpcUaReporter,
    "jsonl": open_log,
}


def open_reporter(settings: ReportSettings, line: str) -> RecordReporter:
    """Connect to the receiver that a `[[report]]` names; raises ReporterError where it cannot be reached."""
    return REPORTERS[settings.kind](getattr(settings, settings.kind), line)
