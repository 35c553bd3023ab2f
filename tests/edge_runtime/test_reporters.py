from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_runtime.decision_record import Record, RunIdentity
from edge_runtime.errors import ReporterError
from edge_runtime.ports import RecordReporter
from edge_runtime.records import Verdict
from edge_runtime.reporters import open_reporter
from edge_runtime.reporters.jsonl import JsonlLog
from edge_runtime.reporters.mqtt import MqttReporter
from edge_runtime.reporters.opcua import NAMESPACE, OpcUaReporter
from edge_runtime.settings.record_settings import JsonlSettings, MqttSettings, OpcUaSettings, ReportSettings
from tests.broker import Broker, Subscriber, free_port, running_broker, wait_until
from tests.decisions import decision

RUN = RunIdentity("north", "run", "boot")
DECISIONS, STATE = "ripeline/north/decisions", "ripeline/north/state"


def record(number: int, verdict: Verdict = Verdict.ACCEPT) -> Record:
    return RUN.record(decision(number, verdict), datetime(2026, 5, 1, 12, tzinfo=UTC))


def numbers(documents: list[str]) -> list[int]:
    return [json.loads(one)["fruit_id"] for one in documents]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path) as running:
        yield running


def mqtt(broker: Broker, **more: Any) -> ReportSettings:
    return ReportSettings(name="plant", mqtt=MqttSettings(host="127.0.0.1", port=broker.port, tls=False, **more))


# What every one must do.


@pytest.fixture(params=["jsonl", "mqtt", "opcua"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ReportSettings:
    match request.param:
        case "jsonl":
            return ReportSettings(name="file", jsonl=JsonlSettings(file=str(tmp_path / "decisions.jsonl")))
        case "mqtt":
            return mqtt(request.getfixturevalue("broker"))
    return ReportSettings(name="scada", opcua=OpcUaSettings(port=free_port()))


def test_takes_records_and_is_opened_again_after_it_was_closed(settings: ReportSettings) -> None:
    for begin in (1, 3):
        reporter: RecordReporter = open_reporter(settings, "north")
        reporter.deliver([record(begin), record(begin + 1)])
        reporter.deliver([])
        reporter.check()
        reporter.close()


# JSON lines.


def test_a_log_gets_each_record_once_whatever_its_predecessor_left(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    first = JsonlLog(file)
    first.deliver([record(1), record(2), record(3)])
    first.close()
    with file.open("ab") as stream:
        stream.write(record(4).document.encode()[:50])  # killed in the middle of a line
    second = JsonlLog(file)
    second.deliver([record(2), record(3), record(4), record(5)])
    second.deliver([record(6)])
    second.close()
    assert numbers(file.read_text("utf-8").splitlines()) == [1, 2, 3, 4, 5, 6]


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    log = JsonlLog(file)
    file.rename(tmp_path / "decisions.1.jsonl")
    with pytest.raises(ReporterError, match="gone"):
        log.check()


def test_a_log_leaves_other_peoples_files_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear all,\nthis has no last newline")
    with pytest.raises(ReporterError, match=r"no file of decisions[\s\S]*To do"):
        JsonlLog(file)
    assert file.read_text() == "Dear all,\nthis has no last newline"
    with pytest.raises(ReporterError, match="cannot be written"):
        JsonlLog(tmp_path / "missing" / "decisions.jsonl")


# MQTT.


def test_a_broker_gets_decisions_in_order_and_the_lines_state(broker: Broker) -> None:
    with Subscriber(broker, "ripeline/#") as subscriber:
        reporter = open_reporter(mqtt(broker), "north")
        reporter.deliver([record(number) for number in range(50)])
        wait_until(lambda: len(subscriber.payloads(DECISIONS)) == 50, "50 decisions")
        assert subscriber.payloads(DECISIONS) == [record(number).document for number in range(50)]
        assert subscriber.payloads(STATE) == ["online"]
        reporter.close()
        wait_until(lambda: subscriber.payloads(STATE) == ["online", "offline"], "the goodbye")


def test_the_last_will_says_that_a_line_died(broker: Broker) -> None:
    with Subscriber(broker, STATE) as subscriber:
        reporter = open_reporter(mqtt(broker), "north")
        assert isinstance(reporter, MqttReporter)
        wait_until(lambda: subscriber.payloads() == ["online"], "the greeting")
        reporter._client.socket().shutdown(socket.SHUT_RDWR)  # as the kernel does for a process that is killed
        wait_until(lambda: subscriber.payloads() == ["online", "offline"], "the last will")
        wait_until(lambda: reporter._lost, "the reporter to notice")
        with pytest.raises(ReporterError, match="is lost"):
            reporter.check()
        with pytest.raises(ReporterError, match=r"lost|does not take"):
            reporter.deliver([record(1)])
        reporter.close()


def test_what_the_broker_has_is_not_sent_again(broker: Broker) -> None:
    with Subscriber(broker, DECISIONS) as subscriber:
        first = open_reporter(mqtt(broker), "north")
        first.deliver([record(1), record(2), record(3)])
        first.close()
        second = open_reporter(mqtt(broker), "north")
        second.deliver([record(1), record(2), record(3), record(4)])
        second.deliver([record(5)])
        second.close()
        wait_until(lambda: len(subscriber.payloads()) >= 5, "five decisions")
        assert numbers(subscriber.payloads()) == [1, 2, 3, 4, 5]


def test_no_broker_no_answer_and_a_refusal_are_told_apart(tmp_path: Path) -> None:
    nobody = MqttSettings(host="127.0.0.1", port=free_port(), tls=False)
    with pytest.raises(ReporterError, match=r"cannot be reached at port[\s\S]*records wait"):
        MqttReporter(nobody, "north")
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)
    (tmp_path / "pw").write_text("wrong\n")
    with running_broker(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'passwords'}") as strict:
        known = {"username": "line", "password_file": str(tmp_path / "pw")}
        with pytest.raises(ReporterError, match="refuses this line: Not authorized"):
            open_reporter(mqtt(strict, **known), "north")
    with pytest.raises(ReporterError, match="cannot be read"):
        MqttReporter(nobody.model_copy(update={"username": "x", "password_file": "/nonexistent"}), "north")


def test_a_broker_that_forbids_the_topic_acknowledges_nothing(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic read #\ntopic write ripeline/north/state\n")
    (tmp_path / "acl").chmod(0o600)
    with running_broker(tmp_path, f"acl_file {tmp_path / 'acl'}") as strict:
        reporter = open_reporter(mqtt(strict), "north")
        with pytest.raises(ReporterError, match="refuses decisions: Not authorized"):
            reporter.deliver([record(1)])
        reporter.close()


def test_tls_checks_who_the_broker_is(tmp_path: Path) -> None:
    authority, broker_files = certificates(tmp_path)
    with running_broker(tmp_path, *broker_files) as broker:
        settings = MqttSettings(host="localhost", port=broker.port, ca_file=str(authority))
        reporter = MqttReporter(settings, "north")
        reporter.deliver([record(1)])
        reporter.close()
        with pytest.raises(ReporterError, match=r"certificate that is not trusted[\s\S]*ca_file"):
            MqttReporter(settings.model_copy(update={"ca_file": None}), "north")
        with pytest.raises(ReporterError, match="not trusted"):
            MqttReporter(settings.model_copy(update={"host": "127.0.0.1"}), "north")  # the certificate says localhost


def certificates(folder: Path) -> tuple[Path, list[str]]:
    """An authority, and what mosquitto needs to be `localhost` by its word."""
    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("plant"))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

    own, brokers = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = builder("plant", own).add_extension(x509.BasicConstraints(True, None), critical=True)
    usage = x509.KeyUsage(*[False] * 5, True, True, False, False)
    authority_file = folder / "ca.pem"
    authority_file.write_bytes(
        authority.add_extension(usage, critical=True)
        .sign(own, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    known = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    server = builder("localhost", brokers).add_extension(known, critical=False).sign(own, hashes.SHA256())
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        brokers.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return authority_file, [f"certfile {folder / 'server.pem'}", f"keyfile {folder / 'server.key'}"]


# OPC UA.


class _Heard:
    def __init__(self) -> None:
        self.documents: list[str] = []

    def event_notification(self, event: Any) -> None:
        self.documents.append(event.Document)


def test_a_client_reads_the_last_decision_and_counts_and_hears_each() -> None:
    from asyncua import Client, ua

    settings = OpcUaSettings(port=free_port())
    reporter = OpcUaReporter(settings, "north")

    async def watch() -> None:
        async with Client(f"opc.tcp://127.0.0.1:{settings.port}/ripeline") as client:
            space = await client.get_namespace_index(NAMESPACE)
            line = await client.nodes.objects.get_child(f"{space}:north")
            kind = await client.nodes.base_event_type.get_child(f"{space}:DecisionEvent")
            heard = _Heard()
            subscription = await client.create_subscription(50, heard)
            await subscription.subscribe_events(line, kind)
            verdicts = [Verdict.ACCEPT, Verdict.DIVERT, Verdict.ACCEPT, Verdict.UNDECIDED]
            await asyncio.to_thread(reporter.deliver, [record(n, one) for n, one in enumerate(verdicts, 1)])

            async def value(*path: str) -> Any:
                return await (await line.get_child([f"{space}:{part}" for part in path])).read_value()

            assert (await value("FruitId"), await value("Verdict")) == (4, "UNDECIDED")
            assert (await value("Label"), await value("Probability")) == ("ripe", 0.9)
            assert await value("Document") == record(4, Verdict.UNDECIDED).document
            assert await value("DecidedAt") == datetime(2026, 5, 1, 12, tzinfo=UTC)
            assert [await value("Counts", one) for one in ("ACCEPT", "DIVERT", "UNDECIDED")] == [2, 1, 1]
            for _ in range(100):
                if len(heard.documents) == 4:
                    break
                await asyncio.sleep(0.05)
            assert numbers(heard.documents) == [1, 2, 3, 4]
            with pytest.raises(ua.UaStatusCodeError):
                await (await line.get_child(f"{space}:Verdict")).write_value("ACCEPT")

    try:
        asyncio.run(watch())
    finally:
        reporter.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ReporterError, match=rf"cannot start at 127.0.0.1:{port}[\s\S]*free port"):
            OpcUaReporter(OpcUaSettings(port=port), "north")
