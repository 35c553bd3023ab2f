"""Is the line blind? What the processes show each other becomes a list of faults. Pure: times come with the facts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from edge_runtime.settings.safety_settings import SafetySettings

_MOVED_MM = 1.0
_MINUTE_NS = 60_000_000_000
_UNMEASURED_NS = 3_000_000_000
"""How long a belt that pictures measure may run before they do."""


class Fault(StrEnum):
    """Why a line cannot sort."""

    CAMERA_SILENT = "camera silent"
    CAMERA_FROZEN = "camera frozen"
    CAMERA_BLACK = "camera black"
    ENCODER = "encoder implausible"
    VISION_STALLED = "vision stalled"
    MODEL = "model fails its self-test"
    CLOCK = "clock jumped"
    DEADLINES = "too many orders too late"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment; times are monotonic, 0 means never.

    `frame_ns`: when the newest frame came. `changed_ns`: when a frame last differed from the one before. `lit_ns`: when
    one was last not black. `moving_ns`: since when every frame has shown movement, 0 if the last one did not.
    `vision_ns`: vision's last sign of life. `missed`: orders too late, ever. `belt_mm` is None where the encoder has no
    word; `has_encoder` says whether there is one, `needs_belt` whether fruit are thrown out by the belt's place.
    `wall_ns` is the machine's clock.
    """

    now_ns: int
    wall_ns: int
    period_ns: int
    frame_ns: int
    changed_ns: int
    lit_ns: int
    moving_ns: int
    vision_ns: int
    belt_mm: float | None
    has_encoder: bool
    model_bad: bool = False
    missed: int = 0
    needs_belt: bool = False


class Watch:
    """Turns facts into faults; to be asked every few milliseconds.

    Args:
        settings: The thresholds.
    """

    def __init__(self, settings: SafetySettings) -> None:
        self._settings = settings
        self._encoder = _EncoderWatch(settings)
        self._ahead_ns: int | None = None
        self._stepped_ns: int | None = None
        self._missed: deque[tuple[int, int]] = deque()

    def faults(self, facts: Facts) -> frozenset[Fault]:
        """The faults that hold now."""
        rules = self._settings

        def longer_ago(since_ns: int, frames: float) -> bool:
            return facts.now_ns - since_ns > frames * facts.period_ns

        moved_mm = self._encoder.update(facts)
        # Of the newest frame: one that does not come is neither black nor frozen.
        still, dark = facts.changed_ns < facts.frame_ns, facts.lit_ns < facts.frame_ns
        standing = moved_mm is not None and moved_mm < _MOVED_MM
        holds = {
            Fault.CAMERA_SILENT: longer_ago(facts.frame_ns, rules.silent_frames),
            Fault.CAMERA_FROZEN: still and not standing and longer_ago(facts.changed_ns, rules.frozen_frames),
            Fault.CAMERA_BLACK: dark and longer_ago(facts.lit_ns, rules.black_frames),
            Fault.ENCODER: self._encoder.is_implausible(facts),
            Fault.VISION_STALLED: longer_ago(facts.vision_ns, rules.vision_frames),
            Fault.MODEL: facts.model_bad,
            Fault.CLOCK: self._clock_jumped(facts),
            Fault.DEADLINES: self._too_many_late(facts),
        }
        return frozenset(fault for fault, held in holds.items() if held)

    def _clock_jumped(self, facts: Facts) -> bool:
        ahead_ns = facts.wall_ns - facts.now_ns
        # Followed slowly, so that a clock that is being steered does not add up to a step.
        if self._ahead_ns is not None and abs(ahead_ns - self._ahead_ns) > self._settings.clock_step_ms * 1e6:
            self._stepped_ns = facts.now_ns
        self._ahead_ns = ahead_ns
        return self._stepped_ns is not None and facts.now_ns - self._stepped_ns < facts.period_ns

    def _too_many_late(self, facts: Facts) -> bool:
        before = self._missed[-1][1] if self._missed else 0
        if facts.missed != before or not self._missed:
            self._missed.append((facts.now_ns, facts.missed))
        while len(self._missed) > 1 and facts.now_ns - self._missed[1][0] > _MINUTE_NS:
            self._missed.popleft()
        if len(self._missed) == 1 and facts.now_ns - self._missed[0][0] > _MINUTE_NS:
            return False
        return facts.missed - self._missed[0][1] > self._settings.max_misses


class _EncoderWatch:
    """Holds an encoder against itself (no jump, no way back) and against the picture."""

    def __init__(self, settings: SafetySettings) -> None:
        self._settings = settings
        self._last: tuple[int, float] | None = None
        self._furthest_mm = float("-inf")
        self._erred_ns: int | None = None
        self._word_ns: int | None = None
        self._stands_at: tuple[int, float] | None = None
        self._changed: tuple[int, float] | None = None

    def update(self, facts: Facts) -> float | None:
        """Take in a reading; how far the belt has run since a picture last changed, None where nobody knows."""
        belt_mm, now_ns = facts.belt_mm, facts.now_ns
        if self._word_ns is None:
            self._word_ns = now_ns
        if belt_mm is None:
            return None
        self._word_ns = now_ns
        if self._last is not None:
            seconds = (now_ns - self._last[0]) / 1e9
            way_mm = belt_mm - self._last[1]
            jumped = abs(way_mm) > self._settings.max_speed_mm_s * seconds + self._settings.slack_mm
            if jumped or belt_mm < self._furthest_mm - self._settings.slack_mm:
                self._erred_ns = now_ns
                self._furthest_mm = belt_mm
        self._last = (now_ns, belt_mm)
        self._furthest_mm = max(self._furthest_mm, belt_mm)
        if self._stands_at is None or abs(belt_mm - self._stands_at[1]) >= _MOVED_MM:
            self._stands_at = (now_ns, belt_mm)
        if self._changed is None or self._changed[0] != facts.changed_ns:
            self._changed = (facts.changed_ns, belt_mm)
        return abs(belt_mm - self._changed[1])

    def is_implausible(self, facts: Facts) -> bool:
        """Whether what it said, or that it said nothing, is a fault now."""
        if not facts.has_encoder:
            # Only while something moves: a belt that this line has stopped cannot be measured.
            return facts.needs_belt and facts.belt_mm is None and self._unmeasured(facts)
        patience_ns = self._settings.encoder_frames * facts.period_ns
        if self._erred_ns is not None and facts.now_ns - self._erred_ns < patience_ns:
            return True
        if facts.belt_mm is None:
            return self._word_ns is not None and facts.now_ns - self._word_ns > patience_ns
        # It stands, and for as long the picture has moved.
        if self._stands_at is None or not facts.moving_ns:
            return False
        return facts.frame_ns - max(self._stands_at[0], facts.moving_ns) > patience_ns

    def _unmeasured(self, facts: Facts) -> bool:
        since_ns = max(self._word_ns or facts.now_ns, facts.moving_ns)
        return bool(facts.moving_ns) and facts.now_ns - since_ns > _UNMEASURED_NS
