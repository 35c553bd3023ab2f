"""Work that may wait for a disk, in a thread of its own, so that who hands it over does not."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Self

log = logging.getLogger("ripeline")

_WAITING = 8
_LAST_S = 0.5


class Aside:
    """Does what it is given, in order; what comes while much waits is left out. Ends with the first OSError.

    Args:
        what: Is done here, for people who read the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(_WAITING)
        self._thread = Thread(target=self._work, name="aside", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Hand it over; never waits."""
        with suppress(queue.Full):
            self._waiting.put_nowait(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What waits is done, but for a disk that hangs: it is left behind with its thread."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=_LAST_S)
        self._thread.join(_LAST_S)

    def _work(self) -> None:
        try:
            while (work := self._waiting.get()) is not None:
                work()
        except OSError as error:
            log.warning("%s end here: %s", self._what, error)
