"""Errors that a person can act on: what happened, what was expected, what to do."""

from __future__ import annotations


class RipelineError(Exception):
    """Base of every error that Ripeline raises on purpose.

    Args:
        what: What happened, naming the file or device.
        expected: What would have been right; omitted where `what` says it already.
        remedy: What the reader can do about it.
    """

    def __init__(self, what: str, *, expected: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.expected = expected
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected:
            parts.append(f"Expected: {self.expected}")
        if self.remedy:
            parts.append(f"To do: {self.remedy}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip between processes, which re-creates exceptions from their arguments."""
        return (_rebuild, (type(self), self.what, self.expected, self.remedy))


def _rebuild(kind: type[RipelineError], what: str, expected: str | None, remedy: str | None) -> RipelineError:
    return kind(what, expected=expected, remedy=remedy)


class InputError(RipelineError):
    """A file, folder or value that a person gave cannot be used."""


class ConfigError(InputError):
    """`line.toml` or another settings file is wrong."""


class BundleError(RipelineError):
    """A bundle is damaged, unknown, rejected or does not behave on this machine as it did when exported."""


class EngineError(RipelineError):
    """An inference engine is missing or cannot run an artefact."""


class CameraError(RipelineError):
    """A picture source cannot be opened or stopped giving pictures."""


class EncoderError(RipelineError):
    """Belt positions are missing or contradict themselves."""


class EjectorError(RipelineError):
    """An ejector's output cannot be used."""


class ReporterError(RipelineError):
    """Somebody who is to get decisions cannot be reached, or does not take them."""


class MissingExtraError(RipelineError):
    """A verb needs packages that are not installed."""
