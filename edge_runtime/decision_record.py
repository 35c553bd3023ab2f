"""A decision as it is kept and handed on, with the key that makes one that comes twice one record."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from edge_runtime.records import Decision

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class RecordKey:
    """What makes a record that comes twice one record; `run_id` is new at each start of vision."""

    line: str
    run_id: str
    fruit_id: int


@dataclass(frozen=True, slots=True)
class Record:
    """A decision as it is kept and handed on.

    `decided_at` is the wall clock's time, for people (UTC, ISO 8601); `document` is what receivers get, one JSON object
    with the key, `boot_id`, `decided_at` and the fields of `Decision`.
    """

    key: RecordKey
    boot_id: str
    decided_at: str
    document: str

    @classmethod
    def from_document(cls, document: str) -> Self:
        """Read a document back; raises ValueError where it is none."""
        fields = json.loads(document)
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        texts = [fields.get(name) for name in ("line", "run_id", "boot_id", "decided_at")]
        fruit_id = fields.get("fruit_id")
        if type(fruit_id) is not int or not 0 <= fruit_id < 2**63 or not all(isinstance(text, str) for text in texts):
            raise ValueError("no key, boot or time of decision")
        line, run_id, boot_id, decided_at = map(str, texts)
        return cls(RecordKey(line, run_id, fruit_id), boot_id, decided_at, document)

    @property
    def outcome(self) -> tuple[str, str]:
        """Verdict and label."""
        fields = json.loads(self.document)
        return str(fields.get("verdict")), str(fields.get("label"))


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which line, which start of vision, which boot of the machine."""

    line: str
    run_id: str
    boot_id: str

    @classmethod
    def new(cls, line: str) -> Self:
        """An identity that no earlier run has, even where the clock stood wrong."""
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        boot_id = _BOOT_ID.read_text("ascii").strip() if _BOOT_ID.exists() else "unknown"
        return cls(line, run_id, boot_id)

    def record(self, decision: Decision, decided_at: datetime) -> Record:
        """The record of one decision of this run."""
        when = decided_at.astimezone(UTC).isoformat(timespec="milliseconds")
        about = {"line": self.line, "run_id": self.run_id, "boot_id": self.boot_id, "decided_at": when}
        document = json.dumps(about | asdict(decision), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return Record(RecordKey(self.line, self.run_id, decision.fruit_id), self.boot_id, when, document)
