"""The capture process: camera to ring. It may hang in a read and be killed at any moment; it holds nothing of value."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from edge_runtime.cameras.lock import HELD, unheld
from edge_runtime.cameras.stream import hide_password
from edge_runtime.errors import CameraError, RipelineError
from edge_runtime.monitoring.picture_watch import PictureWatch, same_colours, thumbnail
from edge_runtime.ports import Camera, Encoder
from edge_runtime.processes import trouble
from edge_runtime.processes.board import Board, Cell, Stop
from edge_runtime.processes.child import begin, failed, log
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.ring import FrameRing
from edge_runtime.records import Frame, Image

_NAME = "capture"
_OPENING_S = 15.0
"""More than a network camera may take to answer."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_USUAL_PERIOD_NS = 33_333_333
_MOVES_MM = 0.1


def run_capture(plan: LinePlan, memory: Memory) -> None:
    """Deliver frames until the line ends or the source does, connecting again as often as it breaks."""
    begin(_NAME)
    with closing(Board.open(memory.board)) as board, closing(FrameRing.open(memory.ring, memory.frame_bytes)) as ring:
        Capture(plan, board, ring).run()


class Capture:
    """One camera.

    A live source that breaks is opened again, after a pause that doubles; any other ends there.
    """

    def __init__(self, plan: LinePlan, board: Board, ring: FrameRing) -> None:
        self._ports, self._board, self._ring, self._folder = plan.ports, board, ring, plan.runtime
        self._watch = PictureWatch(plan.config.safety.black_level)
        self._encoder: Encoder | None = None
        self._troubled = True  # perhaps, by what a predecessor told
        self._belt_from_mm = 0.0
        self._before_mm: float | None = None
        newest = ring.newest(after=0)
        self._known: Image | None = thumbnail(newest.frame.image) if newest is not None else None

    def run(self) -> None:
        """Until the end."""
        pause_s = _FIRST_PAUSE_S
        self._alive(for_s=_OPENING_S)
        self._encoder = self._ports.open_encoder()
        while not self._ended:
            frames = self._board[Cell.CAPTURE_FRAMES]
            self._alive(for_s=_OPENING_S)
            try:
                self._deliver(self._ports.open_camera())
                self._board[Cell.CAPTURE_ENDED] = 1
                return
            except RipelineError as error:
                if not self._ports.live or not self._board[Cell.CAPTURE_FRAMES]:
                    # What has never worked is a mistake to be corrected, not a fault to be waited out.
                    failed(self._folder, error)
                if self._board[Cell.CAPTURE_FRAMES] > frames:
                    pause_s = _FIRST_PAUSE_S
                trouble.tell(self._folder, _NAME, error)
                self._troubled = True
                log.warning("%s. Trying again in %.2g s.", error.what.rstrip("."), pause_s)
                self._pause(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _deliver(self, camera: Camera) -> None:
        self._board.add(Cell.CAPTURE_CONNECTIONS)
        self._board[Cell.CAPTURE_UNHELD] = sum(1 << HELD.index(name) for name in unheld(camera))
        period_ns = round(1e9 / camera.frame_rate_hz) if camera.frame_rate_hz else _USUAL_PERIOD_NS
        self._board[Cell.CAPTURE_PERIOD_NS] = period_ns
        lost_before, proven = self._board[Cell.CAPTURE_DROPPED], False
        self._belt_from_mm = self._board[Cell.CAPTURE_BELT_UM] / 1000
        self._alive(for_s=_OPENING_S)  # until the first frame
        try:
            for frame in camera.frames():
                if self._ended:
                    return
                self._alive()
                proven = proven or self._has_its_colours(frame.image)
                self._publish(frame)
                self._board[Cell.CAPTURE_DROPPED] = lost_before + camera.dropped
        finally:
            camera.close()

    def _publish(self, frame: Frame) -> None:
        came_ns, board = time.monotonic_ns(), self._board
        before_mm, frame = self._before_mm, replace(frame, belt_mm=self._belt_mm(frame))
        self._before_mm = frame.belt_mm
        moves = None if before_mm is None or frame.belt_mm is None else abs(frame.belt_mm - before_mm) >= _MOVES_MM
        look = self._watch.look(frame.image, belt_moves=moves)
        if look.torn:
            board.add(Cell.CAPTURE_TORN)
            return
        if not self._ports.live:
            while not self._ring.wait_for_room(board[Cell.VISION_TAKEN], 0.1):
                if self._ended:
                    return
                self._alive()
        self._ring.write(frame)
        if self._troubled:
            trouble.forget(self._folder, _NAME)
            self._troubled = False
        if not board[Cell.CAPTURE_FIRST_NS]:
            board[Cell.CAPTURE_FIRST_NS] = frame.captured_ns
        if look.changed:
            board[Cell.CAPTURE_CHANGED_NS] = came_ns
        if look.lit:
            board[Cell.CAPTURE_LIT_NS] = came_ns
        if not look.moving:
            board[Cell.CAPTURE_MOVING_NS] = 0
        elif not board[Cell.CAPTURE_MOVING_NS]:
            board[Cell.CAPTURE_MOVING_NS] = came_ns
        board[Cell.CAPTURE_FRAME_NS] = came_ns
        board.add(Cell.CAPTURE_FRAMES)

    def _belt_mm(self, frame: Frame) -> float | None:
        """By the encoder; a belt that is measured in the pictures goes on from where the last connection left it."""
        if self._encoder is not None:
            return frame.belt_mm if frame.belt_mm is not None else self._encoder.position_mm(frame.captured_ns)
        if frame.belt_mm is None:
            return None
        belt_mm = frame.belt_mm + self._belt_from_mm
        self._board[Cell.CAPTURE_BELT_UM] = round(belt_mm * 1000)
        return belt_mm

    def _has_its_colours(self, image: Image) -> bool:
        """Whether a picture proves that this connection gives colours in the order of the last; grey ones do not."""
        now = thumbnail(image)
        if self._known is None:
            self._known = now
            return True
        same = same_colours(self._known, now)
        if same is False:
            raise CameraError(
                f"Camera {hide_password(self._ports.source)} came back with red and blue exchanged.",
                remedy="Unplug it and plug it in again; if it stays so, look at the camera's own settings.",
            )
        return same is True

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._ended:
            self._alive()
            time.sleep(0.05)

    def _alive(self, for_s: float = 0.0) -> None:
        """Show life; what takes long by its nature says so ahead."""
        self._board[Cell.CAPTURE_BEAT_NS] = time.monotonic_ns() + round(for_s * 1e9)

    @property
    def _ended(self) -> bool:
        return self._board[Cell.SUPERVISOR_STOP] >= Stop.SEEING
