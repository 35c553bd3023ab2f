"""Health as Prometheus reads it: figures of one line in the text format, by prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import MissingExtraError
from edge_runtime.monitoring.health import HealthReport

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(report: HealthReport) -> bytes:
    """The whole page.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise MissingExtraError(
            "Metrics need a library that is not installed.", remedy="pip install 'ripeline[metrics]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(_Collector(report))
    return generate_latest(registry)


class _Collector:
    def __init__(self, report: HealthReport) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily as Counter
        from prometheus_client.core import GaugeMetricFamily as Gauge

        report, facts = self._report, self._report.facts
        line = facts.line

        def gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
            made = Gauge(f"ripeline_{name}", text, labels=("line", *labels))
            for of, value in values.items():
                made.add_metric((line, *of), value)
            return made

        def counter(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
            made = Counter(f"ripeline_{name}", text, labels=("line", *labels))
            for of, value in values.items():
                made.add_metric((line, *of), value)
            return made

        yield gauge("sorting", "1 while the line sorts.", {(): float(report.sorts)})
        yield gauge(
            "alarm", "1 for each alarm that stands.", {(a.code, a.about): 1.0 for a in report.alarms}, "code", "about"
        )
        yield counter("fruit", "Fruit decided.", {(v,): float(n) for v, n in facts.decided.items()}, "verdict")
        yield counter("strokes", "Strokes of ejectors.", {(): float(facts.fired)})
        yield counter("late_orders", "Orders that came too late.", {(): float(facts.missed)})
        yield counter("records_lost", "Decisions that no journal will have.", {(): float(facts.records_lost)})
        yield counter("rows_lost", "Firings and states that no file will have.", {(): float(facts.rows_lost)})
        yield gauge("rows_waiting", "Firings and states to be written.", {(): float(facts.rows_waiting)})
        if facts.frame_ms_p99 is not None:
            yield gauge("frame_seconds_p99", "Time for a frame, 99th percentile.", {(): facts.frame_ms_p99 / 1000})
        cameras = facts.cameras
        yield counter("frames", "Frames seen.", {(c.name,): float(c.frames) for c in cameras}, "camera")
        yield counter("frames_dropped", "Frames passed over.", {(c.name,): float(c.dropped) for c in cameras}, "camera")
        ages = {(c.name,): c.age_ms / 1000 for c in cameras if c.age_ms is not None}
        yield gauge("frame_age_seconds", "Since the newest frame.", ages, "camera")
        for what in ("light", "focus", "red", "blue"):
            values = {(c.name,): v for c in cameras if (v := getattr(c.scene, what)) is not None}
            yield gauge(f"scene_{what}_ratio", f"{what} on the belt against the reference.", values, "camera")
        processes = {(p.name,): float(p.restarts) for p in facts.processes}
        yield counter("process_restarts", "Starts of a process after its first.", processes, "process")
        if report.journal is not None:
            yield gauge(
                "journal_ok", "1 while the journal can be written.", {(): float(report.journal.trouble is None)}
            )
            yield gauge("journal_bytes", "Size of the journal.", {(): report.journal.used_mb * 1e6})
            yield gauge(
                "spool_bytes", "Decisions that wait for the journal.", {(): float(report.journal.waiting_bytes)}
            )
            labels = {(label,): float(n) for label, n in report.journal.labels.items()}
            yield counter("fruit_by_label", "Fruit recorded since the reporter's start.", labels, "label")
        receivers = report.reporters
        up = {(r.name,): float(r.connected) for r in receivers}
        yield gauge("receiver_up", "1 while a receiver takes records.", up, "receiver")
        waiting = {(r.name,): float(r.waiting) for r in receivers}
        yield gauge("receiver_waiting", "Records that a receiver lacks.", waiting, "receiver")
