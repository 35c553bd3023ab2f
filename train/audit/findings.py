"""What an audit has to say: one record for each thing found, and one summary for each kind of thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from evaluation.page import Tone

SHOWN_FILES = 5


class Severity(StrEnum):
    """How bad. Only `SERIOUS` makes `ripeline audit` end with exit code 1."""

    SERIOUS = "serious"
    """Certain, and it spoils training or makes its figures lie."""
    WARNING = "warning"
    """Probable, or a limit on what to expect; look at it."""
    NOTE = "note"
    """Worth knowing."""


TONES: dict[Severity, Tone] = {Severity.SERIOUS: "bad", Severity.WARNING: "warn", Severity.NOTE: "plain"}


class Kind(StrEnum):
    """What was found, the worst kinds first."""

    LABELS = "labels"
    UNREADABLE = "unreadable"
    CONTRADICTION = "contradiction"
    LEAK = "leak"
    DUPLICATE = "duplicate"
    MISLABELLED = "mislabelled"
    CONFOUNDED = "confounded"
    FEW = "few"
    IMBALANCE = "imbalance"
    SMALL = "small"
    DARK = "dark"
    BRIGHT = "bright"
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    many: str
    remedy: str


WORDS = {
    Kind.LABELS: _Words(
        "Labels", "{n} problems with the labels", "Sort the pictures into one sub-folder a label, two labels or more."
    ),
    Kind.UNREADABLE: _Words(
        "Unreadable files", "{n} files damaged or no picture; training leaves them out",
        "Copy them again from their origin, or remove them.",
    ),
    Kind.CONTRADICTION: _Words(
        "One picture, two labels", "{n} pictures lie under more than one label",
        "Decide which label is right and remove the others.",
    ),
    Kind.LEAK: _Words(
        "The same picture in different groups",
        "{n} pictures are in several groups: a split keeps whole copies of a file together, but one picture can be in "
        "training and a changed copy of it in the test, which makes the figures look better than they are",
        "Keep one copy, or give all of them one group in manifest.csv; groups.csv beside the report does so.",
    ),
    Kind.DUPLICATE: _Words(
        "Copies", "{n} pictures are there more than once", "Keep one of each: copies add nothing and count double."
    ),
    Kind.MISLABELLED: _Words(
        "Labels to look at again", "{n} pictures look like another label",
        "Look at each, the first ones first; move those that are wrong, leave those that are right.",
    ),
    Kind.CONFOUNDED: _Words(
        "Source gives the label away", "{n} labels can be guessed from where a picture comes from",
        "Add pictures of every label from every source; until then trust only figures from a source held out.",
    ),
    Kind.FEW: _Words("Few pictures", "{n} labels have few pictures", "Add pictures, best from new places and days."),
    Kind.IMBALANCE: _Words(
        "Imbalance", "{n} labels are rare beside the most frequent one",
        "Add pictures of the rare label rather than removing others, and judge by balanced accuracy.",
    ),
    Kind.SMALL: _Words(
        "Too small", "{n} pictures are too small to show ripeness", "Take them again from nearer, or remove them."
    ),
    Kind.DARK: _Words("Too dark", "{n} pictures are too dark", "Remove them, unless the line is as dark."),
    Kind.BRIGHT: _Words("Too bright", "{n} pictures are too bright", "Remove them: colours that clipped are lost."),
    Kind.BLURRED: _Words(
        "Blurred", "{n} pictures are blurred", "Remove them, unless the line's pictures are as blurred."
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        kind: What it is.
        severity: How bad.
        sentence: For people, naming labels and figures but not the files.
        files: The pictures concerned, relative to the data folder; those of one finding belong together.
        score: Worse is larger; comparable within a kind.
        suggested_label: What the picture looks like, where that is the point.
    """

    kind: Kind
    severity: Severity
    sentence: str
    files: tuple[str, ...] = ()
    score: float = 0.0
    suggested_label: str | None = None

    @property
    def remedy(self) -> str:
        """What the reader can do about it."""
        return WORDS[self.kind].remedy


class Summary(BaseModel):
    """All findings of one kind and severity: how `ripeline train` and its report speak of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    severity: Severity
    count: int
    text: str
    remedy: str
    pictures: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What was found and what to do about it."""
        return f"{self.text} {self.remedy}"


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """By severity, then kind, then score; the order of names decides the rest."""
    severities, kinds = list(Severity), list(Kind)
    return tuple(sorted(findings, key=lambda f: (severities.index(f.severity), kinds.index(f.kind), -f.score, f.files)))


def summarise(findings: Sequence[Finding]) -> tuple[Summary, ...]:
    """One summary for each severity and kind, worst first, with every file of it, the worst first."""
    together: dict[tuple[Severity, Kind], list[Finding]] = {}
    for finding in worst_first(findings):
        together.setdefault((finding.severity, finding.kind), []).append(finding)
    return tuple(
        Summary(
            kind=kind,
            severity=severity,
            count=len(some),
            text=_text(kind, some),
            remedy=WORDS[kind].remedy,
            pictures=tuple(dict.fromkeys(file for finding in some for file in finding.files)),
        )
        for (severity, kind), some in together.items()
    )


def _text(kind: Kind, findings: Sequence[Finding]) -> str:
    if not findings[0].files:
        return " ".join(finding.sentence for finding in findings)
    named = ["  =  ".join(finding.files[:3]) for finding in findings[:SHOWN_FILES]]
    if len(findings) == 1:
        return f"{findings[0].sentence.removesuffix('.')}: {named[0]}."
    rest = len(findings) - len(named)
    return WORDS[kind].many.format(n=len(findings)) + ": " + ", ".join(named) + (f" and {rest} more." if rest else ".")
