"""When the line goes to its safe state and when it leaves it. Pure: faults and times in, state out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_runtime.monitoring.watch import Fault
from edge_runtime.settings.safety_settings import Resume, SafetySettings


class LineState(StrEnum):
    """What the outputs do: only RUNNING sorts, the others rest as `on_blind` says."""

    STARTING = "starting"
    RUNNING = "running"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state, since when, and the faults that hold now."""

    state: LineState
    since_ns: int
    faults: frozenset[Fault]


class SafeState:
    """Starts blind. Any fault makes it SAFE at once; it runs when all has been well for `good_s`.

    With `resume = "operator"` a line that was SAFE also needs a word, given after the last fault has gone.

    Args:
        settings: `[safety]`.
        restarted: Whether it takes over a line that was being run: then it begins SAFE and not STARTING.
    """

    def __init__(self, settings: SafetySettings, *, restarted: bool = False) -> None:
        self._settings = settings
        self._first = LineState.SAFE if restarted else LineState.STARTING
        self._good_ns = round(settings.good_s * 1e9)
        self._standing: Standing | None = None
        self._well_since_ns: int | None = None
        self._released = False

    def update(self, now_ns: int, faults: frozenset[Fault], *, released: bool = False) -> Standing:
        """Take in the faults that hold at `now_ns`; `released` says that an operator has spoken since the last time."""
        before = self._standing or Standing(self._first, now_ns, faults)
        state = before.state
        if faults:
            self._well_since_ns, self._released = None, False
            if state is LineState.RUNNING:
                state = LineState.SAFE
        else:
            if self._well_since_ns is None:
                self._well_since_ns = now_ns
            self._released = self._released or released
            waits_for_word = state is LineState.SAFE and self._settings.resume is Resume.OPERATOR
            if now_ns - self._well_since_ns >= self._good_ns and (self._released or not waits_for_word):
                state = LineState.RUNNING
        since_ns = before.since_ns if state is before.state else now_ns
        self._standing = Standing(state, since_ns, faults)
        return self._standing
