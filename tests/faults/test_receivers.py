"""Receivers of a whole line that are away."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.broker import Broker, Subscriber
from tests.faults.running import Line, rows, until

REPORT = """
[[report]]
name = "plant"
[report.mqtt]
host = "127.0.0.1"
port = {port}
tls = false
"""


def test_a_broker_that_is_down_for_the_whole_life_of_a_line_gets_all_of_it_at_the_next_start(
    start: Callable[..., Line], fault_table: Callable[..., None], tmp_path: Path
) -> None:
    broker = Broker(tmp_path)
    line = start(more=REPORT.format(port=broker.port))
    until(lambda: len(rows(line.output / "decisions.jsonl")) >= 8, what="decisions")
    _end(line)
    left = re.search(r"reporter left by ([\d.]+) s", line.says())
    assert left is not None, "a broker that is away does not hold up the end"
    before = line.journalled()
    assert len(before) == json.loads((line.output / "summary.json").read_text("utf-8"))["fruits"]
    broker.start()
    try:
        with Subscriber(broker, f"ripeline/{line.name}/decisions") as subscriber:

            def delivered() -> Counter[tuple[str, int]]:
                documents = map(json.loads, subscriber.payloads())
                return Counter((one["run_id"], one["fruit_id"]) for one in documents)

            begun = time.monotonic()
            again = line.begin_again()
            try:
                until(lambda: before <= set(delivered()), what=f"the first run's to arrive: {again.says()}")
                took_ms = (time.monotonic() - begun) * 1000
                until(lambda: set(delivered()) - before, what="the second run's to arrive")
                _end(again)
            finally:
                again.process.kill()
            found = delivered()
    finally:
        broker.end()
    lost, doubled = len(before - set(found)), sum(found.values()) - len(found)
    fault_table(
        "broker down for the whole life of a line",
        lost=lost,
        doubled=doubled,
        recovered_ms=took_ms,
        note=f"the reporter leaves by {left[1]} s all the same; from the next start until all of the first has arrived",
    )
    assert (lost, doubled) == (0, 0)
    assert set(found) <= line.journalled()


def _end(line: Line) -> None:
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(60) == 0, line.says()
