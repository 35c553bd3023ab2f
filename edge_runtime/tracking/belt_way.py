"""How far the belt has run, in picture pixels: by its encoder, else as one rigid shift of the fruit on it."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence

from edge_runtime.records import BeltDirection, Frame
from edge_runtime.tracking.belt_motion import Extent, Motion, agree, overlap, shift_px
from edge_runtime.tracking.fruit_track import FruitTrack

SPEED_SMOOTHING = 0.4
SPEED_CHANGE = 0.35
LYING_OVERLAP = 0.7
LYING_TRAVEL = 0.5
STANDING = 0.1
REMEMBERED_FRAMES = 600
MOST_MM_S2 = 30_000.0
"""Three times gravity: no fruit stays on a belt that gains or loses speed so fast."""


class BeltWay:
    """The belt's way since the first frame and what is known of its motion.

    Args:
        direction: If known.
        mm_per_px: Scale, which makes an encoder's distance useful; None if not known.
        gate: Largest error of a prediction, as a share of the diameter.
    """

    def __init__(self, direction: BeltDirection | None, mm_per_px: float | None, gate: float) -> None:
        self.direction = direction
        self.way_px = 0.0
        self.speed_px_s: float | None = None
        self.is_contradicted = False
        """Whether in the latest frame the fruit moved otherwise than the encoder says: nobody knows their place."""
        self._mm_per_px = mm_per_px
        self._gate = gate
        self._last_ns: int | None = None
        self._last_mm: float | None = None
        self._places: list[tuple[Extent, float]] = []
        self._ways: deque[float] = deque(maxlen=REMEMBERED_FRAMES)

    def frames_since(self, way_px: float) -> int:
        """In how many frames, this one included, the belt had run at least so far; of those still remembered."""
        return len(self._ways) - bisect.bisect_left(self._ways, way_px)

    def discount(self) -> None:
        """The latest frame shows next to nothing of what rides by: no fruit should have been seen in it."""
        self._ways.pop()

    def shift_by_encoder_px(self, frame: Frame) -> float | None:
        """The belt's way since the last frame; 0 in the first one, None without scale or encoder, in either frame."""
        if frame.belt_mm is None or self._mm_per_px is None:
            return None
        if self._last_mm is None:
            return 0.0 if self._last_ns is None else None
        return (frame.belt_mm - self._last_mm) / self._mm_per_px

    def advance(
        self, frame: Frame, tracks: Sequence[FruitTrack], seen: Sequence[Extent], by_encoder_px: float | None
    ) -> float:
        """Move the belt on to this frame.

        Args:
            frame: Its time is used.
            tracks: What is being followed.
            seen: Where things are in this frame.
            by_encoder_px: What fruit ride, by the encoder, since the last frame; None to find it from the fruit.

        Returns:
            How far it moved, pixels.
        """
        seconds = 0.0 if self._last_ns is None else (frame.captured_ns - self._last_ns) / 1e9
        expected = (self.speed_px_s or 0.0) * seconds
        known = [track for track in tracks if track.fruit_id is not None]
        self.is_contradicted = False
        if by_encoder_px is None:
            found = self._common_shift_px(known, seen, expected)
            shift = expected if found is None else found[0]
        else:
            instead = self._against_encoder(by_encoder_px, expected, seconds, known, seen)
            self.is_contradicted = instead is not None
            shift = by_encoder_px if instead is None else instead
        if seconds > 0:
            smoothing = SPEED_SMOOTHING if by_encoder_px is None else 1.0
            old = self.speed_px_s or 0.0
            self.speed_px_s = old + smoothing * (shift / seconds - old)
        self.way_px += shift
        # In order, for `frames_since`: a belt that runs back undoes its way.
        while self._ways and self._ways[-1] > self.way_px:
            self._ways.pop()
        self._ways.append(self.way_px)
        return shift

    def passed(self, frame: Frame) -> None:
        """Remember what the next frame is measured from."""
        self._last_ns, self._last_mm = frame.captured_ns, frame.belt_mm

    def adopt(self, found: Motion, fruit_seen: bool, direction_is_sure: bool) -> tuple[bool, bool]:
        """Take over a motion seen in things that no track explains.

        Fruit that are being followed know better, unless they hardly move: then they were none, or the belt stands and
        what moves is a hand; only one of these can be right about the direction, and early on it is the newer.

        Returns:
            Whether the ways measured so far were wrong, and whether the fruit followed so far are to end.
        """
        if self.direction is None or self.speed_px_s is None:
            self.direction, self.speed_px_s = found.direction, found.speed_px_s
            return False, False
        if fruit_seen and self.speed_px_s > STANDING * found.speed_px_s:
            return False, False
        if found.direction != self.direction and direction_is_sure:
            return False, False
        turned = found.direction != self.direction
        wrong = turned or not agree(self.speed_px_s, found.speed_px_s)
        self.direction, self.speed_px_s = found.direction, found.speed_px_s
        return wrong, fruit_seen or turned

    def riding(self, seen: Sequence[Extent], moved_px: float) -> list[bool]:
        """Which things have not been lying in one place while the belt moved on beneath them.

        Where the belt moves by more than the gate between frames, no track can be drawn onto such a thing, and what
        looks like one may be a row of fruit that moves by its own spacing.
        """
        places, riding = [], []
        for each in seen:
            place = (each, self.way_px)
            if moved_px <= self._gate * each.diameter:
                place = min(self._lying(each), key=lambda place: place[1], default=place)
            places.append(place)
            riding.append(self.way_px - place[1] < LYING_TRAVEL * each.length)
        self._places = places
        return riding

    def _lying(self, seen: Extent) -> list[tuple[Extent, float]]:
        """What lay where this lies in the frame before."""
        low, length, across, width = seen.low, seen.length, seen.across, seen.width
        # What shares so much with it begins and is centred less than half its size from it.
        near = [
            place
            for place in self._places
            if abs(place[0].low - low) < length / 2 and abs(place[0].across - across) < width / 2
        ]
        return [place for place in near if overlap(place[0], seen) >= LYING_OVERLAP]

    def _against_encoder(
        self,
        by_encoder_px: float,
        expected_px: float,
        seconds: float,
        known: Sequence[FruitTrack],
        seen: Sequence[Extent],
    ) -> float | None:
        """The belt's way where the encoder cannot be believed, as it slips, jumps or counts anew; None where it can.

        What a belt can do is doubted only where fruit that are seen whole move otherwise; what none can do is believed
        only where fruit do move so.
        """
        error_px = abs(by_encoder_px - expected_px)
        # Without fruit there is nothing to lose by believing it, and at the start nothing else to go by.
        if not known or error_px <= SPEED_CHANGE * abs(expected_px) + 1.0:
            return None
        is_possible = error_px * (self._mm_per_px or 0.0) <= MOST_MM_S2 * seconds**2
        whole = [each for each in seen if each.whole] if is_possible else seen
        found = self._common_shift_px(known, whole, expected_px, alike=is_possible)
        as_told = sum(any(_carries(track, each, by_encoder_px, self.way_px) for each in seen) for track in known)
        if is_possible:
            return found[0] if found is not None and found[1] > 2 * as_told else None
        if as_told > (0 if found is None else found[1]):
            return None
        return expected_px if found is None else found[0]

    def _common_shift_px(
        self, tracks: Sequence[FruitTrack], seen: Sequence[Extent], expected_px: float, *, alike: bool = False
    ) -> tuple[float, int] | None:
        """The shift near the expected one that carries most fruit onto a detection, and how many it carries.

        With `alike` only onto such as are as long as they are.
        """
        shifts: list[tuple[float, float]] = []
        for track in tracks:
            here = track.predicted(self.way_px)
            for each in seen:
                shift = shift_px(here, each)
                if alike and abs(each.length - (track.high - track.low)) > _tolerance_px(track):
                    continue
                allowed = SPEED_CHANGE * abs(expected_px) + 0.15 * track.diameter + 1.0
                if shift is not None and abs(shift - expected_px) <= allowed and track.is_aligned(each):
                    shifts.append((shift, _tolerance_px(track)))
        if not shifts:
            return None
        groups = [[s for s, _ in shifts if abs(s - centre) <= tolerance] for centre, tolerance in shifts]
        best = max(groups, key=lambda group: (len(group), -abs(sum(group) / len(group) - expected_px)))
        return max(0.0, sum(best) / len(best)), len(best)


def _tolerance_px(track: FruitTrack) -> float:
    """How far a fruit's own shift may lie from that of the belt."""
    return 0.1 * track.diameter + 1.0


def _carries(track: FruitTrack, seen: Extent, by_px: float, way_px: float) -> bool:
    shift = shift_px(track.predicted(way_px), seen)
    return shift is not None and abs(shift - by_px) <= _tolerance_px(track) and track.is_aligned(seen)
