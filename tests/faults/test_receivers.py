"""Receivers that are away, hang, are slow or cannot begin: nothing is lost, nothing arrives twice, nobody waits."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, Subscriber, running_broker, slow_link, wait_until
from tests.faults.recording import Records, line_with, lost_and_doubled, numbers
from tests.faults.running import Line, rows, until

FaultTable = Callable[..., None]
REPORT = """
[[report]]
name = "plant"
[report.mqtt]
host = "127.0.0.1"
port = {port}
tls = false
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "broker").mkdir()
    with running_broker(tmp_path / "broker") as running:
        yield running


def caught_up(line: Records, subscriber: Subscriber) -> dict[str, float]:
    """Waits until a broker that is back has all, each once; what the table is told of it."""
    begun = time.monotonic()
    wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "the rest to arrive")
    took_ms = (time.monotonic() - begun) * 1000
    found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    return {**found, "recovered_ms": took_ms}


def test_a_reporter_that_is_killed_again_and_again(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        for round_ in range(3):
            line.decide(150)
            wait_until(lambda before=150 * round_: len(subscriber.payloads()) > before, "some decisions to arrive")
            line.kill()
            line.decide(50)
            line.start()
        wait_until(lambda: not line.everything() - numbers(subscriber.payloads()), "the rest to arrive")
        wait_until(lambda: not line.everything() - line.in_file(), "the rest to be in the file")
        found = [lost_and_doubled(numbers(subscriber.payloads()), line), lost_and_doubled(line.in_file(), line)]
        found.append(lost_and_doubled(line.recorded(), line))
    assert found == [{"lost": 0, "doubled": 0}] * 3
    fault_table("reporter process killed three times (SIGKILL)", **found[0], note="MQTT receiver, file and journal")


def test_a_broker_that_comes_late(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with Subscriber(broker, "ripeline/north/decisions") as subscriber:
        broker.end()
        with line_with(tmp_path, broker.port) as line:
            line.decide(300)
            wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all without a broker")
            wait_until(lambda: line.lacking("plant") == 300, "people to be told how many it lacks")
            broker.start()
            fault_table("broker down from the start", **caught_up(line, subscriber))


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        line.decide(200)
        wait_until(lambda: len(subscriber.payloads()) == 200, "the first to arrive")
        broker.end(signal.SIGTERM)
        line.decide(200)
        wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all without a broker")
        wait_until(lambda: line.lacking("plant") == 200, "people to be told how many it lacks")
        broker.start()
        line.decide(200)
        fault_table("broker restarted", **caught_up(line, subscriber))


def test_a_broker_that_hangs(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    with line_with(tmp_path, broker.port) as line, Subscriber(broker, "ripeline/north/decisions") as subscriber:
        line.decide(50)
        wait_until(lambda: len(subscriber.payloads()) == 50, "the first to arrive")
        broker.pause()
        line.decide(500)
        wait_until(lambda: line.recorded() == line.everything(), "the journal to hold all beside a broker that hangs")
        wait_until(lambda: line.in_file() == line.everything(), "the other receiver to get all")
        broker.resume()
        note = "the other receiver is not held up"
        fault_table("broker hangs (SIGSTOP)", **caught_up(line, subscriber), note=note)


def test_a_broker_that_is_slow(tmp_path: Path, broker: Broker, fault_table: FaultTable) -> None:
    """A batch of decisions takes this link longer than a broker that hangs would be given."""
    with (
        slow_link(broker.port, 6_000) as port,
        line_with(tmp_path, port) as line,
        Subscriber(broker, "ripeline/north/decisions") as subscriber,
    ):
        begun = time.monotonic()
        line.decide(300)
        wait_until(lambda: line.in_file() == line.everything(), "the other receiver to get all")
        assert len(subscriber.payloads()) < 200, "the link was slow"
        told = set()
        while line.everything() - numbers(subscriber.payloads()):
            assert time.monotonic() - begun < 120
            told |= {one.error for one in line.receivers()}
            time.sleep(0.2)
        took_ms = (time.monotonic() - begun) * 1000
        found = lost_and_doubled(numbers(subscriber.payloads()), line)
    assert found == {"lost": 0, "doubled": 0}
    assert told == {None}, "slow is not away"
    fault_table("broker slow (6 kB/s)", **found, recovered_ms=took_ms, note="the other receiver is not held up")


def test_a_port_that_is_taken_when_a_line_starts(tmp_path: Path, fault_table: FaultTable) -> None:
    """Whoever has it may go; the line does not wait for that, and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        line = Records(
            tmp_path, tmp_path / "journal.db", f'[[report]]\nname = "plc"\n[report.opcua]\nport = {port}\n', {}
        )
        try:
            line.start().decide(50)
            wait_until(lambda: line.in_file() == line.everything(), "the other receiver to get all")
            wait_until(lambda: any("choose a free port" in (one.error or "") for one in line.receivers()), "a remedy")
            holder.close()
            begun = time.monotonic()
            wait_until(
                lambda: any(one.connected and one.waiting == 0 and one.name == "plc" for one in line.receivers()),
                "the server to have all",
            )
            took_ms = (time.monotonic() - begun) * 1000
            found = lost_and_doubled(line.recorded(), line)
        finally:
            line.kill()
    assert found == {"lost": 0, "doubled": 0}
    fault_table("port of the OPC UA server taken", **found, recovered_ms=took_ms, note="sorts on; from when it is free")


def test_a_broker_that_is_down_for_the_whole_life_of_a_line_gets_all_of_it_at_the_next_start(
    start: Callable[..., Line], fault_table: FaultTable, tmp_path: Path
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
