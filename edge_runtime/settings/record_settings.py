"""Tables of `line.toml` about records: how long they stay here, who gets them, and what the machine tells of itself."""

from __future__ import annotations

from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from edge_runtime.settings.section import Section


class JournalSettings(Section):
    """`[journal]`: how long records of decisions stay on this machine."""

    file: str | None = Field(
        default=None,
        min_length=1,
        description="The journal; left out: in the service's state folder, or without one in the output folder.",
    )
    keep_days: FiniteFloat = Field(
        default=30.0, gt=0, le=3650, description="Older records go, once every receiver has acknowledged them."
    )
    max_mb: FiniteFloat = Field(
        default=500.0, ge=1, description="Beyond this the oldest go, acknowledged ones first; the others are counted."
    )
    keep_free_mb: FiniteFloat = Field(
        default=100.0, ge=0, description="Room to leave on the disk: with less, what everybody has acknowledged goes."
    )


class MqttSettings(Section):
    """`[report.mqtt]`: an MQTT 5 broker."""

    host: str = Field(min_length=1, description="Name or address of the broker.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Left out: 8883 with TLS, 1883 without.")
    topic: str = Field(
        default="ripeline", min_length=1, pattern=r"^[^#+\x00]+$", description="Before /LINE/decisions and /LINE/state."
    )
    tls: bool = Field(default=True, description="Encrypted, the broker's certificate checked.")
    ca_file: str | None = Field(default=None, description="Who signs the broker's; left out: the system's list.")
    certificate_file: str | None = Field(default=None, description="This machine's certificate, where the broker asks.")
    key_file: str | None = Field(default=None, description="The key of that certificate.")
    username: str | None = None
    password_file: str | None = Field(default=None, description="A file that holds the password and nothing else.")


class OpcUaSettings(Section):
    """`[report.opcua]`: an OPC UA server on this machine."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=4840, ge=1, le=65535)


class JsonlSettings(Section):
    """`[report.jsonl]`: a file with a line a decision."""

    file: str = Field(min_length=1, description="Appended to; its folder must exist.")


REPORT_KINDS = ("mqtt", "opcua", "jsonl")


class ReportSettings(Section):
    """One `[[report]]`: somebody who gets every decision, each until they have acknowledged it."""

    name: str = Field(
        min_length=1, max_length=100, description="Under which the journal keeps how far this receiver has come."
    )
    mqtt: MqttSettings | None = None
    opcua: OpcUaSettings | None = None
    jsonl: JsonlSettings | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in REPORT_KINDS) != 1:
            raise ValueError(f"give exactly one of {', '.join(REPORT_KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Which of the ways it is."""
        return next(kind for kind in REPORT_KINDS if getattr(self, kind) is not None)


class HealthSettings(Section):
    """`[health]`: what this machine tells of itself, on its own loopback address alone."""

    port: int | None = Field(
        default=None, ge=1, le=65535, description="For /healthz and /metrics; left out: only `ripeline status`."
    )
